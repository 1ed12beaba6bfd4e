"""The config.json of Hugging Face's transformers: every key is used, known, or refused by name."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import HuggingFace

NAME = "config.json"

# Keys that say nothing about what an encoder computes -> the values accepted, or None for any.
# transformers 2 to 4 wrote its generation settings into every config.json.
HARMLESS: Mapping[str, tuple[Any, ...] | None] = {
    **dict.fromkeys(
        "_name_or_path name_or_path transformers_version _commit_hash _attn_implementation "
        "attn_implementation use_cache gradient_checkpointing chunk_size_feed_forward "
        "output_attentions output_hidden_states output_past return_dict torchscript "
        "finetuning_task task_specific_params tokenizer_class language xla_device tf_legacy_loss "
        "transformers.js_config pad_token_id bos_token_id eos_token_id eos_token_ids sep_token_id "
        "decoder_start_token_id do_sample early_stopping num_beams num_beam_groups temperature "
        "top_k top_p typical_p repetition_penalty length_penalty diversity_penalty "
        "no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences "
        "min_length max_length output_scores return_dict_in_generate forced_bos_token_id "
        "forced_eos_token_id remove_invalid_values suppress_tokens begin_suppress_tokens "
        "exponential_decay_length_penalty prefix "
        # Sizes that google-research/bert's multilingual config lists for a pooler it never had.
        "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
        "pooler_type".split()
    ),
    **dict.fromkeys(("dtype", "torch_dtype"), ("float32", "float16", "bfloat16", "auto", None)),
    "position_embedding_type": ("absolute",),
    "directionality": ("bidi",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({}, None),
    "use_bfloat16": (False,),
    "is_encoder_decoder": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
}
_READ_HERE = (
    "model_type architectures id2label label2id num_labels _num_labels problem_type".split()
)

_MOST_LABELS = 1_000_000


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The values of config.json.

    Raises:
        UserError: when it is missing, not JSON, or does not say its `model_type`.
    """
    values = json_file.read_object(folder / NAME)
    if not isinstance(values.get("model_type"), str):
        raise UserError(
            f"{folder / NAME} has no `model_type`, so it is neither a Hugging Face nor a tfzoo "
            f"model folder."
        )
    return values


def unaliased(values: Mapping[str, Any], layout: HuggingFace) -> dict[str, Any]:
    """The values of a model type that is read as another one, such as mT5, as that other one's.

    Raises:
        UserError: when keys contradict each other.
    """
    alias = layout.aliases.get(values["model_type"])
    if alias is None:
        return layout.modern(values)
    found = {**alias.defaults, **values, **alias.fixed, "model_type": layout.model_type}
    classes = values.get("architectures")
    if isinstance(classes, list):
        found["architectures"] = [
            layout.class_prefix + name.removeprefix(alias.class_prefix)
            if isinstance(name, str) and name.startswith(alias.class_prefix)
            else name
            for name in classes
        ]
    return layout.modern(found)


def fields(values: Mapping[str, Any], layout: HuggingFace, where: str) -> dict[str, Any]:
    """The fields of our config from the values of config.json; every key is accounted for.

    Raises:
        UserError: for a key that is not known, or a value that is not supported.
    """
    if values.get("model_type") != layout.model_type:
        raise UserError(
            f"{where} must be of model_type {layout.model_type}. "
            f"Received: model_type={values.get('model_type')!r}."
        )
    values = {**layout.defaults, **values}
    for key, value in values.items():
        if key in layout.fields or key in _READ_HERE:
            continue
        if key not in layout.fixed and key not in HARMLESS:
            raise UserError(
                f"{where} has the key `{key}`, which tfzoo does not know. Remove it if it changes "
                f"nothing that the model computes. Received: {key}={value!r}."
            )
        accepted = layout.fixed.get(key, HARMLESS.get(key))
        if accepted is not None and value not in accepted:
            raise UserError(_unsupported(where, key, value, accepted))
    found = {}
    for key, field in layout.fields.items():
        value = values.get(key)
        if value is None and key in layout.fallbacks:
            value = values.get(layout.fallbacks[key])
        if value is None and (key not in values or key in layout.fallbacks):
            continue  # transformers' default is ours
        if key in layout.values:
            if value not in list(layout.values[key]):
                raise UserError(_unsupported(where, key, value, tuple(layout.values[key])))
            value = layout.values[key][value]
        found[field] = value
    return found


def labels(values: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the classes: those of id2label, else LABEL_0, LABEL_1, ...

    transformers never reads label2id to name an answer, and files where it says something else
    than id2label are common.

    Raises:
        UserError: when the numbers are not 0, 1, 2, ... or contradict num_labels.
    """
    names = values.get("id2label")
    count = values.get("num_labels", values.get("_num_labels"))
    if count is not None and (type(count) is not int or not 1 <= count <= _MOST_LABELS):
        raise UserError(
            f"{where}: num_labels must be from 1 to {_MOST_LABELS}. Received: {count!r}."
        )
    if names is None:
        names = {i: f"LABEL_{i}" for i in range(2 if count is None else count)}
    try:
        by_number = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        by_number = {}
    if not by_number or sorted(by_number) != list(range(len(names))):
        raise UserError(
            f"{where}: id2label must map 0, 1, 2, ... to the names of the classes. "
            f"Received: {str(names)[:200]!r}."
        )
    if count is not None and count != len(names):
        raise UserError(f"{where}: num_labels is {count}, but id2label has {len(names)} names.")
    return tuple(by_number[i] for i in range(len(names)))


def check_problem(values: Mapping[str, Any], num_labels: int, where: str) -> None:
    """Refuses regression and multi-label classification, whose scores are no softmax.

    Raises:
        UserError: naming the problem type.
    """
    problem = values.get("problem_type")
    if problem is None and num_labels == 1:
        problem = "regression"  # as transformers takes it
    if problem not in (None, "single_label_classification"):
        raise UserError(
            f"{where} asks for what tfzoo's classification does not compute. Expected "
            f"problem_type=single_label_classification and at least 2 labels; pass head='none' for "
            f"the encoder alone. Received: problem_type={problem!r}, {num_labels} labels."
        )


def _unsupported(where: str, key: str, value: Any, accepted: Sequence[Any]) -> str:
    listed = ", ".join(str(v).lower() if isinstance(v, bool) else str(v) for v in accepted)
    return f"{where}: tfzoo supports only {key} = {listed}. Received: {key}={value!r}."


def values(
    config: Any, layout: HuggingFace, names: Sequence[str] | None, pad_id: int
) -> dict[str, Any]:
    """Our config as the values of config.json."""
    written: dict[str, Any] = {
        "architectures": [layout.heads[config.head][0]],
        "model_type": layout.model_type,
        "dtype": "float32",
        "pad_token_id": pad_id,
        **{key: only[0] for key, only in layout.fixed.items() if only and len(only) == 1},
    }
    for key, field in layout.fields.items():
        value = getattr(config, field)
        if key in layout.values:
            theirs = [t for t, ours in layout.values[key].items() if ours == value]
            if not theirs:
                raise UserError(
                    f"transformers has no {key} for our {field}. Received: {field}={value!r}."
                )
            value = theirs[0]
        written[key] = value
    if config.head in layout.label_heads:
        names = names or [f"LABEL_{i}" for i in range(config.num_labels)]
        written["id2label"] = {str(i): name for i, name in enumerate(names)}
        written["label2id"] = {name: i for i, name in enumerate(names)}
    if config.head == "classification":
        written["problem_type"] = "single_label_classification"
    return written
