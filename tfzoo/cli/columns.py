"""The options that say where texts and labels stand in a file, shared by two commands."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfzoo.data.tables import Columns


def add_columns(parser: argparse.ArgumentParser, label: bool) -> None:
    """Adds `--text`, `--pair`, `--header`, and `--label` where it is wanted."""
    group = parser.add_argument_group("columns, by name or by number from 0")
    group.add_argument("--text", type=_column, default="text", metavar="COLUMN")
    group.add_argument("--pair", type=_column, metavar="COLUMN", help="that of the second text")
    if label:
        group.add_argument("--label", type=_column, default="label", metavar="COLUMN")
    group.add_argument(
        "--header",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether the first row holds names; auto: when a column is given by name",
    )


def columns(options: argparse.Namespace, pairs: bool) -> "Columns":
    """Where the texts and labels stand; a task of pairs takes the column `pair` by default.

    Raises:
        UserError: for columns that contradict each other.
    """
    from tfzoo.data.tables import Columns

    header: Any = {"auto": "auto", "yes": True, "no": False}[options.header]
    pair = "pair" if options.pair is None and pairs else options.pair
    return Columns(options.text, getattr(options, "label", None), pair, header)


def _column(text: str) -> str | int:
    return int(text) if text.isdigit() else text
