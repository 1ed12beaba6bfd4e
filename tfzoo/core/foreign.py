"""What an architecture's file says about the form it has in another library."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.core.renames import Rename

# transformers.activations.ACT2FN, as far as our layers go -> `tfzoo.layers.activations`.
HIDDEN_ACT: Mapping[str, str] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
# The key `feed_forward_proj` of T5; ours begin with `gated_` where a second layer is multiplied.
T5_FEED_FORWARD: Mapping[str, str] = {
    **HIDDEN_ACT,
    **{f"gated-{theirs}": f"gated_{ours}" for theirs, ours in HIDDEN_ACT.items()},
    "gated-gelu": "gated_gelu_tanh",
}


def synonyms(names: Mapping[str, str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A `HuggingFace.modern` for files that say keys by other names.

    Args:
        names: Other name -> key. What stands under the other name counts, as in transformers.
    """

    def modern(values: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in values.items() if key not in names}
        given = {key: values.get(other) for other, key in names.items()}
        return found | {key: value for key, value in given.items() if value is not None}

    return modern


# Keys of transformers' ports from fairseq (BART, Marian) -> fields of our configs, and their names
# of the one token table -> the first of them.
_SIDES = ("encoder", "decoder")
FAIRSEQ_FIELDS: Mapping[str, str] = {
    "vocab_size": "vocab_size",
    **{f"{side}_layers": f"num_{side}_layers" for side in _SIDES},
    **{f"{side}_attention_heads": f"num_{side}_heads" for side in _SIDES},
    **{f"{side}_ffn_dim": f"{side}_feed_forward_dim" for side in _SIDES},
    "d_model": "width",
    "max_position_embeddings": "max_length",
    "activation_function": "activation",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "init_std": "initializer_range",
    "scale_embedding": "scale_embedding",
    "pad_token_id": "pad_id",
    "eos_token_id": "eos_id",
    "decoder_start_token_id": "decoder_start_id",
}
FAIRSEQ_TIED: Mapping[str, str] = {
    "lm_head.weight": "model.shared.weight",
    **{f"model.{side}.embed_tokens.weight": "model.shared.weight" for side in _SIDES},
}


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model that not every checkpoint has, such as BERT's pooler.

    Attributes:
        field: The boolean of our config that says whether it is there. None: the head alone does.
        prefix: How the foreign names of its weights begin.
        heads: The heads that read it. Under any other head it is not drawn.
    """

    field: str | None
    prefix: str
    heads: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Alias:
    """Another `model_type` that is the same architecture with other defaults, such as mT5.

    Attributes:
        class_prefix: How its classes begin, where those of the architecture begin with
            `HuggingFace.class_prefix`.
        defaults: The values of keys that its config.json may leave out.
        fixed: The values of keys that its classes do not read, whatever the file says.
    """

    class_prefix: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """How Hugging Face's transformers writes an architecture: config.json and weight names.

    Keys of config.json that are named nowhere here, nor in `tfzoo.weights.hugging_face.HARMLESS`,
    are refused.

    Attributes:
        model_type: The key `model_type`.
        tokenizer: Our tokenizer, a module of `tfzoo.text`.
        prefix: What the names of the encoder's weights begin with, except in the classes of `bare`.
        bare: The heads in whose classes they begin with nothing.
        heads: Our head -> its class in `architectures`, then how the foreign names of the weights
            that only it has begin. A whole name that is also in `tied` counts only when they are
            not tied.
        label_heads: The heads whose number of outputs is the number of labels.
        fields: Key -> field of our config.
        renames: Our weights <- theirs.
        values: Key -> their value -> our value. A value not named is refused.
        defaults: The values that transformers takes for keys that a config.json leaves out, where
            those of our config are others.
        fallbacks: Key -> the key to read when it is absent or null.
        fixed: Key without a field of ours -> the values accepted, or None for any. Goes before
            `HARMLESS`.
        parts: The parts that not every checkpoint has.
        legacy: `(pattern, replacement)` for names of older checkpoints.
        tied: Name -> the weight that it repeats when the embeddings are tied.
        untied: Name -> the weight that it is written as when they are not; it is never read.
        counters: Integer buffers that hold 0, 1, 2, ... and nothing else.
        constants: Patterns of names of what every model of the architecture computes anew, such as
            causal masks.
        computed: The same -> the function of the shape that computes it; another table is refused.
        zeros: Weights of heads that are zero in a checkpoint that does not hold them.
        class_prefix: How all names in `heads` begin.
        aliases: Other model types that are read as this one, by their `model_type`.
        copies: Name -> the weight that it repeats whatever the config says. It is never written.
        untied_by_values: Whether what `tied` says is no longer so when other values are stored
            under the two names; otherwise that is an error.
        modern: The values of config.json with what older files say in other keys said in those of
            `fields`, and without keys that only repeat others. May raise UserError.
    """

    model_type: str
    tokenizer: str
    prefix: str
    heads: Mapping[str, tuple[str, ...]]
    label_heads: tuple[str, ...]
    fields: Mapping[str, str]
    renames: tuple[Rename, ...]
    values: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fallbacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, ...] | None] = dataclasses.field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    legacy: tuple[tuple[str, str], ...] = ()
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    untied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counters: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    computed: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    zeros: tuple[str, ...] = ()
    class_prefix: str = ""
    aliases: Mapping[str, Alias] = dataclasses.field(default_factory=dict)
    bare: tuple[str, ...] = ("none",)
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    untied_by_values: bool = False
    modern: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    def head_weights(self, head: str, tied: bool = True) -> tuple[str, ...]:
        """How the foreign names of the weights that only `head` has begin.

        Args:
            head: One of `heads`.
            tied: Whether the embeddings are tied, so that the names in `self.tied` are no weights.
        """
        return tuple(name for name in self.heads[head][1:] if not (tied and name in self.tied))


def t5_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """`HuggingFace.modern` of T5.

    Raises:
        UserError: when the keys that transformers derives from `feed_forward_proj` contradict it.
    """
    found = dict(values)
    form = str(found.get("feed_forward_proj", "relu"))
    function = "gelu_new" if form == "gated-gelu" else form.removeprefix("gated-")
    derived = {"dense_act_fn": function, "is_gated_act": form.startswith("gated-")}
    for key, expected in derived.items():
        if found.pop(key, expected) != expected:
            raise UserError(
                f"config.json contradicts itself: feed_forward_proj={form} means "
                f"{key}={expected}. Received: {key}={values[key]!r}."
            )
    # To transformers 4 a table of its own for the output meant that the output is not scaled.
    # transformers 5 writes tie_word_embeddings=true whatever the weights are, and this key.
    found.setdefault("scale_decoder_outputs", found.get("tie_word_embeddings") is not False)
    if found.get("architectures") == ["T5WithLMHeadModel"]:  # before transformers 3
        found["architectures"] = ["T5ForConditionalGeneration"]
    return found
