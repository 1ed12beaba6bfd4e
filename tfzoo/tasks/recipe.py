"""What a model folder says, read before anything large is built.

Both kinds of folder, tfzoo's and Hugging Face's, end in a `Recipe`, from which `tfzoo.tasks.folder`
builds model, tokenizer and task.
"""

import dataclasses
import pathlib
from typing import Any

from absl import logging

import tfzoo
from tfzoo import models
from tfzoo.core import json_file
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import HuggingFace
from tfzoo.core.renames import Rename, find
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding.config import DecodingConfig
from tfzoo.weights import (
    heads,
    hugging_face,
    keras_file,
    layouts,
    sentence_transformers,
    strict,
)
from tfzoo.weights.stored import Checkpoint

FORMAT = 1  # of config.json; a reader refuses a higher one
CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "encoder_bpe_40000.json",
    "vocab_40000.bpe",
    "spiece.model",
    "source.spm",
    "target.spm",
)
# Head -> the task that reads it; the others answer with what the head computes.
_TASKS = {
    "none": "embedding",
    "encoder": "embedding",
    "classification": "classification",
    "causal_lm": "language_model",
    "conditional_generation": "sequence_to_sequence",
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a model folder says.

    Attributes:
        name: The architecture.
        fields: The fields of its config.
        task: The name of the task.
        options: The options of the task.
        tokenizer: The kind of tokenizer, or None where there is none.
        folder: Where the tokenizer's files are.
        rules: The names of our weights in the checkpoint; None where they are our own.
        tensors: The checkpoint.
        fresh: How the foreign names of weights begin that keep their initial values.
    """

    name: str
    fields: dict[str, Any]
    task: str
    options: dict[str, Any]
    tokenizer: str | None
    folder: pathlib.Path
    rules: tuple[Rename, ...] | None
    tensors: Checkpoint
    fresh: tuple[str, ...]

    def build(self, **fields: Any) -> Any:
        """The model with its weights, and with `fields` instead of those of its config.

        Raises:
            UserError: when the weights do not fit.
        """
        layout = models.module(self.name).HUGGING_FACE

        def is_fresh(path: str) -> bool:
            return bool(self.fresh) and _foreign(layout, path).startswith(self.fresh)

        def make() -> Any:
            return models.build(self.name, **{**self.fields, **fields})

        where = str(self.folder)
        model, fresh = strict.build(make, self.rules, self.tensors, where, is_fresh)
        if fresh:
            logging.info("New, untrained weights, as asked for: %s.", ", ".join(fresh))
        return model


def _foreign(layout: HuggingFace, path: str) -> str:
    return find(layout.renames, path)[1][0]


def read_decoding(folder: pathlib.Path) -> DecodingConfig:
    """How the model of a folder writes text: its generation_config.json, or, in folders of older
    versions of transformers, what config.json says about it.

    Raises:
        UserError: naming the file, when it is broken or asks for what is not supported.
    """
    path, values = folder / GENERATION, dict[str, Any]()
    if path.exists():
        values = json_file.read_object(path)
    elif (folder / CONFIG).exists() and not is_tfzoo(folder):
        path = folder / CONFIG
        known = {field.name for field in dataclasses.fields(DecodingConfig)}
        values = {k: v for k, v in json_file.read_object(path).items() if k in known}
    try:
        return decoding_config.of_generation_config(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def is_tfzoo(folder: pathlib.Path) -> bool:
    """Whether the config.json of a folder is tfzoo's own."""
    path = folder / CONFIG
    return path.exists() and "tfzoo" in json_file.read_object(path)


def read_tfzoo(
    folder: pathlib.Path, head: str | None, new_head: bool, labels: tuple[str, ...] | None
) -> Recipe:
    """The recipe of a tfzoo folder, with the head asked for.

    Raises:
        UserError: for what is missing, broken or not supported.
    """
    path = folder / CONFIG
    values = json_file.read_object(path)
    if type(values.get("format")) is not int or not 1 <= values["format"] <= FORMAT:
        raise UserError(
            f"{path} has a format that this tfzoo ({tfzoo.__version__}) does not read. Expected "
            f"format {FORMAT}; upgrade tfzoo. Received: format={values.get('format')!r}, "
            f"written by tfzoo {values['tfzoo']}."
        )
    for key in ("model", "task"):
        if not isinstance(values.get(key), dict) or not isinstance(values[key].get("name"), str):
            raise UserError(f"{path} does not say its `{key}`.")
    name = values["model"].pop("name")
    recipe = Recipe(
        name=name,
        fields=values["model"],
        task=values["task"].pop("name"),
        options=values["task"],
        tokenizer=values.get("tokenizer"),
        folder=folder,
        rules=None,
        tensors=keras_file.read(folder / keras_file.NAME),
        fresh=(),
    )
    if new_head or head not in (None, recipe.fields.get("head", "none")):
        return _with_head(recipe, str(head), new_head, labels)
    return recipe


def _with_head(recipe: Recipe, head: str, new_head: bool, labels: tuple[str, ...] | None) -> Recipe:
    """The recipe for the same encoder under another head."""
    layout = models.module(recipe.name).HUGGING_FACE
    where = str(recipe.folder)
    _check_head(layout, head, new_head, labels)
    own, stored_head = layout.head_weights(head), recipe.fields.get("head", "none")
    if own and not new_head and own == layout.head_weights(stored_head):
        raise UserError(
            f"{where} holds head {stored_head}, whose weights look like those of the head asked "
            f"for. For a new, untrained one pass labels=[...]. Received: head={head}."
        )
    foreign = {_foreign(layout, path): path for path in recipe.tensors}
    tied = bool(recipe.fields.get("tied_output", True))
    choice = heads.choose(layout, foreign, head, True, new_head, where, tied)
    kept = strict.without(
        {n: recipe.tensors[p] for n, p in foreign.items()}, choice.left_out, where
    )
    fields = {**recipe.fields, "head": head, **choice.fields}
    options = {k: v for k, v in recipe.options.items() if k == "max_length"}
    if labels is not None:
        fields["num_labels"] = len(labels)
        options["labels"] = labels
    return dataclasses.replace(
        recipe,
        fields=fields,
        task=_task_of(layout, head),
        options=options,
        tensors={foreign[name]: tensor for name, tensor in kept.items()},
        fresh=choice.fresh,
    )


def read_hugging_face(
    folder: pathlib.Path, head: str | None, new_head: bool, labels: tuple[str, ...] | None
) -> Recipe:
    """The recipe of a Hugging Face or sentence-transformers folder, with the head asked for.

    Raises:
        UserError: for what is missing, broken or not supported.
    """
    encoder, pooling = sentence_transformers.read(folder)
    name = _model_of_type(layouts.read(encoder).values["model_type"], encoder)
    layout = models.module(name).HUGGING_FACE
    if head is not None:
        _check_head(layout, head, new_head, labels)
    plan = hugging_face.plan(encoder, layout, head, new_head, labels and len(labels))
    head = plan.fields["head"]
    task = _task_of(layout, head)
    options: dict[str, Any] = dict(pooling) if task == "embedding" else {}
    if head in layout.label_heads:
        options["labels"] = labels or plan.labels
    has_tokenizer = any((encoder / file).exists() for file in TOKENIZER_FILES)
    return Recipe(
        name=name,
        fields=plan.fields,
        task=task,
        options=options,
        tokenizer=layout.tokenizer if has_tokenizer else None,
        folder=encoder,
        rules=layout.renames,
        tensors=plan.tensors,
        fresh=plan.fresh,
    )


def _task_of(layout: HuggingFace, head: str) -> str:
    if head == "none" and "conditional_generation" in layout.heads:
        return "sequence_to_sequence"
    return _TASKS.get(head, "head")


def _model_of_type(model_type: str, folder: pathlib.Path) -> str:
    found = {}
    for name in models.names():
        layout = getattr(models.module(name), "HUGGING_FACE", None)
        if layout is not None:
            found |= dict.fromkeys((layout.model_type, *layout.aliases), name)
    if model_type not in found:
        raise UserError(
            f"{folder / CONFIG} is of an architecture that tfzoo does not have. Expected "
            f"model_type {' or '.join(sorted(found))}. Received: model_type={model_type!r}."
        )
    return found[model_type]


def _check_head(layout: Any, head: str, new_head: bool, labels: tuple[str, ...] | None) -> None:
    if head not in layout.heads:
        raise UserError(unknown_name("head", head, layout.heads))
    if new_head and head in layout.label_heads and labels is None:
        raise UserError(f"A new head={head} needs the names of its classes: pass labels=[...].")
    if labels is not None and head not in layout.label_heads:
        raise UserError(
            f"Only {' and '.join(layout.label_heads)} have labels. Received: head={head}."
        )
