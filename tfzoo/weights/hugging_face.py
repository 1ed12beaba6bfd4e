"""Hugging Face model folders: config.json and weight names, read strictly and written back."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import HuggingFace
from tfzoo.weights import folders, heads, layouts, safetensors_file, strict
from tfzoo.weights import hugging_face_config as config
from tfzoo.weights.stored import Array, Checkpoint, StoredTensor


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a Hugging Face folder asks us to build, and the weights for it.

    Attributes:
        fields: The fields of our config.
        labels: Names of the classes; None under a head that has none.
        tensors: The checkpoint by the names that the rules know, without what is left out.
        fresh: How the foreign names begin of weights that it does not have and that were asked for.
    """

    fields: dict[str, Any]
    labels: tuple[str, ...] | None
    tensors: Checkpoint
    fresh: tuple[str, ...]


def plan(
    folder: pathlib.Path,
    layout: HuggingFace,
    head: str | None = None,
    new_head: bool = False,
    num_labels: int | None = None,
) -> Plan:
    """Reads config.json and the names of the weights, and decides what to build.

    Args:
        folder: A Hugging Face model folder, or one that `layouts` reads as such.
        layout: What our architecture says about it.
        head: The head to build; None means the one that the folder holds.
        new_head: Whether that head keeps its initial values.
        num_labels: Number of classes of a new head.

    Raises:
        UserError: for a key or value of config.json that is not supported, and for a head that is
            not in the checkpoint and was not asked for as a new one.
    """
    where = str(folder / config.NAME)
    source = layouts.read(folder)
    values = config.unaliased(source.values, layout)
    fields = config.fields(values, layout, where)
    tied = bool(fields.get("tied_output", True))
    tensors = canonical(source.tensors, layout, str(folder))
    if tied and layout.untied_by_values and _differ(tensors, layout.tied):
        tied = fields["tied_output"] = False
    asked = head is not None
    if head is None:
        head = _stored_head(values, layout, heads.stored(layout, tensors, tied), where, tied)
    elif head != "none" and not new_head:
        _check_same_form(values, layout, head, where)
    choice = heads.choose(layout, tensors, head, asked, new_head, str(folder), tied)
    fields |= {"head": head, **choice.fields}
    labels = None
    if head in layout.label_heads and new_head:
        fields["num_labels"] = num_labels
    elif head in layout.label_heads:
        labels = config.labels(values, where)
        fields["num_labels"] = len(labels)
        if head == "classification":
            config.check_problem(values, len(labels), where)
    kept = strict.without(tensors, choice.left_out, f"{folder}, head={head}")
    kept = _untwinned(kept, layout, tied, str(folder))
    return Plan(fields, labels, kept, choice.fresh)


# Weight names.


def canonical(tensors: Checkpoint, layout: HuggingFace, where: str) -> dict[str, StoredTensor]:
    """The tensors by today's names: legacy names renamed, the encoder's prefix put in front.

    Raises:
        UserError: when two names mean the same weight, or a counter does not count.
    """
    of_heads = tuple(p for head in layout.heads for p in layout.head_weights(head, tied=False))
    headless = not any(name.startswith(layout.prefix) for name in tensors)
    renamed: dict[str, StoredTensor] = {}
    for stored, tensor in tensors.items():
        name = stored
        for pattern, replacement in layout.legacy:
            name = re.sub(pattern, replacement, name)
        if headless and not name.startswith(of_heads):
            name = layout.prefix + name
        if any(re.fullmatch(pattern, name) for pattern in layout.constants):
            continue
        if _is_computed(name, tensor, layout, where):
            continue
        if name in renamed:
            raise UserError(f"{where} holds one weight twice: {renamed[name].name} and {stored}.")
        renamed[name] = tensor
    for name in layout.counters:
        if name in renamed:
            _check_counter(renamed.pop(name), where)
    return _without_copies(renamed, layout.copies, where)


def _is_computed(name: str, tensor: StoredTensor, layout: HuggingFace, where: str) -> bool:
    for pattern, compute in layout.computed.items():
        if re.fullmatch(pattern, name):
            # As near as the types of 16 bits store numbers up to 1.
            if np.abs(tensor.read() - compute(*tensor.shape)).max(initial=0) > 4e-3:
                raise UserError(
                    f"{where}: {tensor.name} must hold the table that every such model computes, "
                    f"and holds another."
                )
            return True
    return False


def _check_counter(tensor: StoredTensor, where: str) -> None:
    if tensor.is_float or not np.array_equal(
        tensor.read().reshape(-1), np.arange(int(np.prod(tensor.shape)))
    ):
        raise UserError(f"{where}: {tensor.name} must hold 0, 1, 2, ... and holds something else.")


def _stored_head(
    values: Mapping[str, Any], layout: HuggingFace, stored: set[str], where: str, tied: bool
) -> str:
    """The head that a folder holds: the one it declares, or a larger one that its weights show."""
    fitting = [head for head in layout.heads if set(layout.head_weights(head, tied)) == stored]
    declared = _declared_head(values, layout, where)
    if declared is None:
        if len(fitting) != 1:
            raise UserError(
                f"{where} does not say which head the model has. Pass head=..., one of "
                f"{', '.join(layout.heads)}. Received: {heads.describe(stored)}."
            )
        return fitting[0]
    wanted = set(layout.head_weights(declared, tied))
    # bert-base-uncased declares BertForMaskedLM and holds all of BertForPreTraining.
    if wanted < stored and len(fitting) == 1:
        logging.info("%s declares head %s; its weights are of %s.", where, declared, fitting[0])
        return fitting[0]
    return declared


def _declared_head(values: Mapping[str, Any], layout: HuggingFace, where: str) -> str | None:
    declared = values.get("architectures") or []
    classes = {layout.heads[head][0]: head for head in layout.heads}
    known = isinstance(declared, list) and all(name in list(classes) for name in declared)
    if not known or len(declared) > 1:
        raise UserError(
            f"{where}: tfzoo reads one of the architectures {', '.join(classes)}. For the encoder "
            f"alone pass head='none'. Received: architectures={declared!r}."
        )
    return classes[declared[0]] if declared else None


def _check_same_form(values: Mapping[str, Any], layout: HuggingFace, head: str, where: str) -> None:
    """Refuses to read, say, a classifier of texts as one of tokens: their weights look alike."""
    declared = _declared_head(values, layout, where)
    if declared in (None, head):
        return
    own = layout.head_weights(head)
    if own and layout.head_weights(declared) == own:
        raise UserError(
            f"{where} holds head {declared}, whose weights look like those of the head asked "
            f"for. For a new, untrained one pass labels=[...]. Received: head={head}."
        )


def _without_copies(
    tensors: dict[str, StoredTensor], copies: Mapping[str, str], where: str
) -> dict[str, StoredTensor]:
    if _differ(tensors, copies):
        raise UserError(
            f"{where} stores different values for weights that are always one: "
            f"{', '.join(sorted({*copies, *copies.values()}))}."
        )
    for name, twin in copies.items():
        if name in tensors:
            tensors.setdefault(twin, tensors[name])
            del tensors[name]
    return tensors


def _differ(tensors: Checkpoint, twins: Mapping[str, str]) -> bool:
    """Whether any weight has other values than its twin, both being stored."""
    return any(
        not np.array_equal(tensors[name].read(), tensors[twin].read())
        for name, twin in twins.items()
        if name in tensors and twin in tensors
    )


def _untwinned(
    tensors: dict[str, StoredTensor], layout: HuggingFace, tied: bool, where: str
) -> dict[str, StoredTensor]:
    """Without the second names of weights that have two, after checking that they agree."""
    for name, twin in (layout.tied if tied else layout.untied).items():
        if name not in tensors:
            continue
        second = tensors.pop(name)
        if twin not in tensors:
            tensors[twin] = second
        elif tied and not np.array_equal(second.read(), tensors[twin].read()):
            raise UserError(
                f"{where} ties {name} to {twin}, but stores other values for it. Set "
                f"tie_word_embeddings to false in config.json if they are two weights."
            )
    return tensors


# Writing.


def write(
    folder: pathlib.Path,
    model: Any,
    layout: HuggingFace,
    labels: Sequence[str] | None,
    pad_id: int = 0,
) -> None:
    """Writes config.json and model.safetensors of a model into an existing folder.

    Args:
        folder: Where to.
        model: A model of the zoo.
        layout: What its architecture says about the form it has there.
        labels: Names of the classes, under a head that has them.
        pad_id: Id of the padding token.

    Raises:
        UserError: when the model has a value that transformers has no word for.
        OSError: when a file cannot be written.
    """
    values = config.values(model.config, layout, labels, pad_id)
    json_file.write(folder / config.NAME, values)
    safetensors_file.write(folder / folders.SINGLE, _foreign_tensors(model, layout))


def _foreign_tensors(model: Any, layout: HuggingFace) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for match in strict.matches(model, layout.renames):
        for i, name in enumerate(match.names):
            tensors[name] = (match.part_shape, functools.partial(_part, match, i))
    if not getattr(model.config, "tied_output", True):
        for name, twin in layout.untied.items():
            if twin in tensors:
                tensors[name] = tensors[twin]
    if model.config.head in layout.bare:
        # The headless class is the encoder itself, so its names have no prefix.
        tensors = {name.removeprefix(layout.prefix): value for name, value in tensors.items()}
    return tensors


def _part(match: strict.Match, i: int) -> Array:
    return strict.split(match)[i]
