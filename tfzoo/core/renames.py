"""Rules between the weight names of a foreign checkpoint and ours, readable in both directions."""

import dataclasses
import re
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Rename:
    """One of our weights and the foreign tensors that it is made of.

    `{i}` in the names stands for a layer number, the same on both sides. Several foreign tensors
    are joined along our last axis (one fused qkv kernel out of three), in equal parts.

    Attributes:
        ours: Path of our weight, such as `block_{i}/attention/qkv/kernel`.
        theirs: Names of the foreign tensors.
        transpose: Whether theirs is stored `(outputs, inputs)`, as PyTorch's Linear does.
        interleaved: Whether theirs holds the query, key and value of one head after another, and
            ours all queries, then all keys, then all values (BLOOM).
        row: Whether theirs has a first axis of 1 that ours has not.
    """

    ours: str
    theirs: tuple[str, ...]
    transpose: bool = False
    interleaved: bool = False
    row: bool = False

    def match(self, path: str) -> tuple[str, ...] | None:
        """The foreign names for our weight at `path`, or None when this rule is not about it."""
        pattern = re.escape(self.ours).replace(r"\{i\}", r"(\d+)")
        found = re.fullmatch(pattern, path)
        if not found:
            return None
        number = found[1] if found.groups() else ""
        return tuple(name.replace("{i}", number) for name in self.theirs)


def part_shape(rule: Rename, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of each foreign tensor that makes up our weight of `shape`."""
    *rows, columns = shape
    part = (*rows, columns // len(rule.theirs))
    if rule.row:
        part = (1, *part)
    return part[::-1] if rule.transpose else part


def find(rules: Iterable[Rename], path: str) -> tuple[Rename, tuple[str, ...]]:
    """The rule about our weight at `path`, and the foreign names that it gives.

    Raises:
        KeyError: when no rule is about it, which is a fault of the model's file.
    """
    for rule in rules:
        names = rule.match(path)
        if names is not None:
            return rule, names
    raise KeyError(f"No rename rule covers the weight `{path}`.")


def dense(ours: str, *theirs: str) -> tuple[Rename, Rename]:
    """The kernel and bias of a dense layer stored as PyTorch's Linear, one or several fused."""
    return (
        Rename(f"{ours}/kernel", tuple(f"{name}.weight" for name in theirs), transpose=True),
        Rename(f"{ours}/bias", tuple(f"{name}.bias" for name in theirs)),
    )


def table(ours: str, theirs: str) -> Rename:
    """A table of embeddings stored as PyTorch's Embedding."""
    return Rename(f"{ours}/embeddings", (f"{theirs}.weight",))


def norm(ours: str, theirs: str) -> tuple[Rename, Rename]:
    """The gain and shift of a layer norm stored as PyTorch's LayerNorm."""
    return (
        Rename(f"{ours}/gamma", (f"{theirs}.weight",)),
        Rename(f"{ours}/beta", (f"{theirs}.bias",)),
    )
