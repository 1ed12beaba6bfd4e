"""The options that say where texts and labels stand in a file, shared by two commands."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfzoo.data.tables import Columns


def add_columns(parser: argparse.ArgumentParser, labels: str) -> None:
    """Adds `--text`, `--pair`, `--label` and `--header`.

    Args:
        parser: That of the command.
        labels: Where or when the labels are read, for the help.
    """
    group = parser.add_argument_group("columns, by name or by number from 0")
    group.add_argument("--text", type=_column, default="text", metavar="COLUMN")
    group.add_argument("--pair", type=_column, metavar="COLUMN", help="that of the second text")
    group.add_argument(
        "--label",
        type=_column,
        default="label",
        metavar="COLUMN",
        help=f"that of labels, {labels}",
    )
    group.add_argument(
        "--header",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether the first row holds names; auto: when a column is given by name",
    )


def columns(options: argparse.Namespace, pairs: bool, label: bool = True) -> "Columns":
    """Where the texts stand, and the labels if they are wanted; a task of pairs takes the column
    `pair` by default.

    Raises:
        UserError: for columns that contradict each other.
    """
    from tfzoo.data.tables import Columns

    header: Any = {"auto": "auto", "yes": True, "no": False}[options.header]
    pair = "pair" if options.pair is None and pairs else options.pair
    return Columns(options.text, options.label if label else None, pair, header)


def _column(text: str) -> str | int:
    return int(text) if text.isdigit() else text
