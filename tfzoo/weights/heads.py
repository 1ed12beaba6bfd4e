"""Which weights of a checkpoint serve the head that is wanted, and which are new or left out."""

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.core.foreign import HuggingFace


@dataclasses.dataclass(frozen=True)
class Choice:
    """What follows from wanting a head. Prefixes are those of foreign names.

    Attributes:
        fields: The fields of our config that say which parts the model has.
        left_out: How the names of stored weights begin that are not read.
        fresh: How the names of weights begin that keep their initial values.
    """

    fields: dict[str, Any]
    left_out: tuple[str, ...]
    fresh: tuple[str, ...]


def stored(layout: HuggingFace, names: Iterable[str], tied: bool) -> set[str]:
    """The prefixes of head weights that occur in foreign names."""
    prefixes = {p for head in layout.heads for p in layout.head_weights(head, tied)}
    return {prefix for name in names for prefix in prefixes if name.startswith(prefix)}


def describe(prefixes: Iterable[str]) -> str:
    """The heads of a checkpoint, for a message."""
    listed = ", ".join(f"{prefix}*" for prefix in sorted(prefixes))
    return f"weights of {listed}" if listed else "no head"


def choose(
    layout: HuggingFace,
    names: Collection[str],
    head: str,
    asked: bool,
    new: bool,
    where: str,
    tied: bool = True,
) -> Choice:
    """Decides over every weight of a checkpoint by its foreign name.

    Args:
        layout: What the architecture says about foreign names.
        names: The foreign names in the checkpoint.
        head: The head that the model gets.
        asked: Whether the user named it. Only then are the weights of another head left out.
        new: Whether it keeps its initial values.
        where: What to call the checkpoint in an error.
        tied: Whether the embeddings are tied.

    Raises:
        UserError: when the head is not in the checkpoint and not asked for as a new one.
    """
    present, wanted = stored(layout, names, tied), layout.head_weights(head, tied)
    if not new and not set(wanted) <= present.union(layout.zeros):
        raise UserError(
            f"{where} holds no weights for head={head}. For a new, untrained one pass "
            f"labels=[...] or new_head=True; for the encoder alone pass head='none'. "
            f"Received: {describe(present)}."
        )
    left_out = sorted(present if new else present - set(wanted) if asked else ())
    fresh = [name for name in wanted if new or name not in present]
    fields = {}
    for part in layout.parts:
        is_stored = any(name.startswith(part.prefix) for name in names)
        optional = part.field is not None
        is_drawn = head in part.heads or (optional and head == "none" and is_stored)
        if part.field is not None:
            fields[part.field] = is_drawn
        if not is_drawn:
            left_out.append(part.prefix)
        elif new and optional and not is_stored:
            fresh.append(part.prefix)
    return Choice(fields, tuple(left_out), tuple(fresh))
