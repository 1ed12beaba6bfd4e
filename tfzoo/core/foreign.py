"""What an architecture's file says about the form it has in another library."""

import dataclasses
from collections.abc import Mapping
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model that not every checkpoint has, such as BERT's pooler.

    Attributes:
        field: The boolean of our config that says whether it is there.
        prefix: How the foreign names of its weights begin.
        heads: The heads that read it. Under any other head it is not drawn.
    """

    field: str
    prefix: str
    heads: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Alias:
    """Another `model_type` that is the same architecture with other defaults, such as mT5.

    Attributes:
        class_prefix: How its classes begin, where those of the architecture begin with
            `HuggingFace.class_prefix`.
        defaults: The values of keys that its config.json may leave out.
    """

    class_prefix: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """How Hugging Face's transformers writes an architecture: config.json and weight names.

    Keys of config.json that are named nowhere here, nor in `tfzoo.weights.hugging_face.HARMLESS`,
    are refused.

    Attributes:
        model_type: The key `model_type`.
        tokenizer: Our tokenizer, a module of `tfzoo.text`.
        prefix: What the names of the encoder's weights begin with, except in its headless class.
        heads: Our head -> its class in `architectures`, then how the foreign names of the weights
            that only it has begin. A whole name that is also in `tied` counts only when they are
            not tied.
        label_heads: The heads whose number of outputs is the number of labels.
        fields: Key -> field of our config.
        renames: Our weights <- theirs.
        values: Key -> their value -> our value. A value not named is refused.
        fallbacks: Key -> the key to read when it is absent or null.
        fixed: Key without a field of ours -> the values accepted, or None for any. Goes before
            `HARMLESS`.
        parts: The parts that not every checkpoint has.
        legacy: `(pattern, replacement)` for names of older checkpoints.
        tied: Name -> the weight that it repeats when the embeddings are tied.
        untied: Name -> the weight that it is written as when they are not; it is never read.
        counters: Integer buffers that hold 0, 1, 2, ... and nothing else.
        constants: Patterns of names of what every model of the architecture computes anew: causal
            masks, sinusoids.
        class_prefix: How all names in `heads` begin.
        aliases: Other model types that are read as this one, by their `model_type`.
    """

    model_type: str
    tokenizer: str
    prefix: str
    heads: Mapping[str, tuple[str, ...]]
    label_heads: tuple[str, ...]
    fields: Mapping[str, str]
    renames: tuple[Rename, ...]
    values: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    fallbacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, ...] | None] = dataclasses.field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    legacy: tuple[tuple[str, str], ...] = ()
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    untied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counters: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    class_prefix: str = ""
    aliases: Mapping[str, Alias] = dataclasses.field(default_factory=dict)

    def head_weights(self, head: str, tied: bool = True) -> tuple[str, ...]:
        """How the foreign names of the weights that only `head` has begin.

        Args:
            head: One of `heads`.
            tied: Whether the embeddings are tied, so that the names in `self.tied` are no weights.
        """
        return tuple(name for name in self.heads[head][1:] if not (tied and name in self.tied))
