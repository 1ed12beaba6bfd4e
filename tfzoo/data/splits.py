"""Keeping a part of a table for evaluation."""

import hashlib

from tfzoo.core.errors import UserError
from tfzoo.data.tables import Table


def by_text(table: Table, share: float) -> tuple[Table, Table]:
    """Two parts, the second of about `share` of the rows, decided by each row's (first) text alone.

    Equal texts come into the same part, and a row stays where it is when others are added.

    Raises:
        UserError: when one of the parts has no rows.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for i, text in enumerate(table.texts):
        digest = hashlib.blake2b(text.strip().encode(), digest_size=8).digest()
        sides[int.from_bytes(digest) < share * 2**64].append(i)
    if not all(sides):
        raise UserError(
            f"{table.path} has too few different texts to keep some for evaluation. Give a file, "
            f"data.evaluate=FILE, or another data.evaluate_share. Received: {len(table)} rows, "
            f"evaluate_share={share}."
        )
    return table.select(sides[0]), table.select(sides[1])
