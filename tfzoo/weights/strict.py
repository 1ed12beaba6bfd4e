"""Builds a model out of a checkpoint, or says everything that does not fit."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from tfzoo.core import renames
from tfzoo.core.errors import UserError
from tfzoo.core.renames import Rename
from tfzoo.weights.stored import Array, Checkpoint, StoredTensor, shorten


@dataclasses.dataclass(frozen=True)
class Match:
    """One of our weights, the rule about it, and the foreign names that the rule gives."""

    variable: Any
    rule: Rename
    names: tuple[str, ...]
    num_heads: int = 1

    @property
    def part_shape(self) -> tuple[int, ...]:
        """The shape of each foreign tensor."""
        return renames.part_shape(self.rule, tuple(self.variable.shape))


def matches(model: Any, rules: Sequence[Rename] | None) -> Iterator[Match]:
    """Every weight of a Keras model with its foreign names, in the model's order.

    Without rules the foreign names are our own paths.
    """
    num_heads = getattr(getattr(model, "config", None), "num_heads", 1)
    for variable in model.weights:
        if rules is None:
            names: tuple[str, ...] = (variable.path,)
            yield Match(variable, Rename(variable.path, names), names)
        else:
            yield Match(variable, *renames.find(rules, variable.path), num_heads)


def build(
    make: Callable[[], Any],
    rules: Sequence[Rename] | None,
    tensors: Checkpoint,
    where: str,
    is_fresh: Callable[[str], bool] = lambda path: False,
) -> tuple[Any, list[str]]:
    """Builds a Keras model whose weights are read from `tensors`, one at a time.

    No initial value is drawn for them, so the memory needed is that of the weights and of the one
    being read.

    Args:
        make: Builds the model.
        rules: Our weights <- foreign ones; None where the names are ours.
        tensors: The checkpoint, by the names that the rules know. All of it must be used.
        where: What to call the checkpoint in an error.
        is_fresh: Whether the weight at a path keeps its initial value.

    Returns:
        The model, and the paths of the weights that keep their initial values.

    Raises:
        UserError: listing every weight that is missing, unexpected, of another shape, or not of a
            floating-point type; or for a file that breaks off.
    """
    errors: list[UserError] = []
    with keras.StatelessScope():  # variables get their values when it ends
        model = make()
        found = list(matches(model, rules))
        kept = [match for match in found if not is_fresh(match.variable.path)]
        # Keras has no public way to say where a variable's first value comes from (3.15).
        for match in kept:
            match.variable._initializer = _Reader(match, tensors, errors)
        try:
            _check(kept, tensors, where)
        except UserError as error:
            errors.append(error)
            # The model is thrown away, and its sizes may be wild: it may not take memory.
            for variable in model.variables:
                variable._initializer = _nothing
    if errors:
        raise errors[0]
    return model, [m.variable.path for m in found if is_fresh(m.variable.path)]


def without(tensors: Checkpoint, prefixes: tuple[str, ...], where: str) -> dict[str, StoredTensor]:
    """The tensors whose names do not begin with any of `prefixes`; the log names the others."""
    dropped = {name for name in tensors if prefixes and name.startswith(prefixes)}
    if dropped:
        listed = shorten(sorted(dropped), 4)
        logging.info("%s: %d weights are not needed: %s.", where, len(dropped), listed)
    return {name: tensor for name, tensor in tensors.items() if name not in dropped}


class _Reader:
    """An initializer that reads a weight, and keeps quiet so that Keras leaves its scope whole."""

    def __init__(self, match: Match, tensors: Checkpoint, errors: list[UserError]):
        self.match = match
        self.tensors = tensors
        self.errors = errors

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if not self.errors:
            try:
                return keras.ops.convert_to_tensor(_join(self.match, self.tensors), dtype)
            except UserError as error:
                self.errors.append(error)
        return _nothing(shape, dtype)


def _nothing(shape: Any, dtype: Any = None) -> Any:
    return keras.ops.zeros((), dtype)


def _check(found: list[Match], tensors: Checkpoint, where: str) -> None:
    missing, misshaped, mistyped = [], [], []
    for match in found:
        for name in match.names:
            tensor = tensors.get(name)
            if tensor is None:
                missing.append(_with_ours(name, match))
            elif tensor.shape != match.part_shape:
                shapes = f"{list(tensor.shape)}, not {list(match.part_shape)}"
                misshaped.append(f"{_with_ours(tensor.name, match)} {shapes}")
            elif not tensor.is_float:
                mistyped.append(f"{tensor.name} is {tensor.dtype}")
    expected = {name for match in found for name in match.names}
    unexpected = [tensor.name for name, tensor in tensors.items() if name not in expected]
    kinds = {
        "missing from the checkpoint": missing,
        "unexpected in the checkpoint": unexpected,
        "of another shape": misshaped,
        "not F32, F16 or BF16": mistyped,
    }
    faults = [f"{len(v)} {kind}: {shorten(v)}" for kind, v in kinds.items() if v]
    if faults:
        raise UserError(f"The weights of {where} do not fit its config.json. {'. '.join(faults)}.")


def _with_ours(name: str, match: Match) -> str:
    ours = match.variable.path
    return name if name == ours else f"{name} (our {ours})"


def _join(match: Match, tensors: Checkpoint) -> Array:
    parts = [tensors[name].read() for name in match.names]
    if match.rule.transpose:
        parts = [part.T for part in parts]
    if match.rule.row:
        parts = [part[0] for part in parts]
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return _regrouped(joined, match.num_heads, 3) if match.rule.interleaved else joined


def split(match: Match) -> list[Array]:
    """The foreign tensors of one of our weights: the inverse of what `build` joins."""
    value = np.asarray(match.variable.numpy(), np.float32)
    if match.rule.interleaved:
        value = _regrouped(value, 3, match.num_heads)
    parts = np.split(value, len(match.names), axis=-1) if len(match.names) > 1 else [value]
    if match.rule.row:
        parts = [part[np.newaxis] for part in parts]
    return [part.T for part in parts] if match.rule.transpose else parts


def _regrouped(value: Array, outer: int, inner: int) -> Array:
    """A last axis of `outer` groups of `inner` groups, with the two levels exchanged."""
    grouped = value.reshape(*value.shape[:-1], outer, inner, -1)
    return np.moveaxis(grouped, -3, -2).reshape(value.shape)
