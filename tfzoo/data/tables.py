"""Tables of labelled texts: TSV, CSV and JSON-lines files, plain or .gz, read strictly.

Every complaint names the file and the line, because the person who gets it has a file of ten
thousand lines open.
"""

import collections
import csv
import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from tfzoo.core.errors import UserError
from tfzoo.data import text_files

FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")

Column = str | int
Record = Any  # the fields of a row, its JSON object, or None for a blank line


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where in a file the texts and labels stand.

    Attributes:
        text: Name of the column of the text, or its number, counted from 0.
        label: That of the label. None reads none.
        pair: That of the second text. None means that there is one text in a row.
        header: Whether the first row holds names. `auto` means: when a column is given by name.
            JSON lines have names in every row and no header.

    Raises:
        UserError: for a negative number, one column asked for twice, or names without a header.
    """

    text: Column = "text"
    label: Column | None = "label"
    pair: Column | None = None
    header: Literal["auto", True, False] = "auto"

    def __post_init__(self) -> None:
        wanted = self.wanted()
        for role, column in wanted.items():
            if isinstance(column, int) and column < 0:
                raise UserError(f"Columns are counted from 0. Received: {role}={column}.")
            if self.header is False and isinstance(column, str):
                raise UserError(
                    f"Without a header, columns are given by number, from 0. "
                    f"Received: {role}={column!r}."
                )
        if len(set(wanted.values())) < len(wanted):
            raise UserError(f"One column cannot be two things. Received: {_listed(wanted)}.")

    def wanted(self) -> dict[str, Column]:
        """The columns that are read, by what they hold."""
        roles = {"text": self.text, "pair": self.pair, "label": self.label}
        return {role: column for role, column in roles.items() if column is not None}


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of texts, all columns of one length.

    Attributes:
        path: The file.
        lines: Line of the file on which each row starts, counted from 1.
        texts: The texts, none of them blank.
        pairs: The second texts, or None.
        labels: The labels as they are written, without surrounding space, or None.
    """

    path: str
    lines: tuple[int, ...]
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, rows: Sequence[int]) -> "Table":
        """The table of these rows, in this order."""

        def column(values: tuple[Any, ...] | None) -> Any:
            return None if values is None else tuple(values[i] for i in rows)

        columns = (self.lines, self.texts, self.pairs, self.labels)
        return Table(self.path, *map(column, columns))

    def spread(self, max_rows: int | None) -> "Table":
        """At most `max_rows` rows, spread over the whole file: files are often sorted by label.

        Always the same ones, as if by chance: labels may also come in turns.
        """
        if max_rows is None or max_rows >= len(self):
            return self

        def rank(row: int) -> bytes:
            return hashlib.blake2b(str(row).encode(), digest_size=8).digest()

        return self.select(sorted(sorted(range(len(self)), key=rank)[:max_rows]))

    def label_ids(self, names: Sequence[str]) -> list[int]:
        """The number of each row's label in `names`.

        Raises:
            UserError: for the first label that is not in `names`, with its line.
        """
        numbers = {name: i for i, name in enumerate(names)}
        for line, label in zip(self.lines, self.labels or (), strict=True):
            if label not in numbers:
                raise UserError(
                    f"{self.path}:{line} has a label that the training data has not. "
                    f"Expected one of {_shortened(names)}. Received: label={label!r}."
                )
        return [numbers[label] for label in self.labels or ()]


def read(path: str | pathlib.Path, columns: Columns | None = None) -> Table:
    """Reads a table of texts.

    TSV is plain: a row is a line, split at tabs, and quotes are letters like others (as in SST-2).
    CSV is what Python's csv module reads: quoted fields may hold commas and line ends. JSON lines
    hold one object a line.

    Args:
        path: A file whose name ends in .tsv, .csv, .jsonl or .ndjson, and .gz after that or not.
        columns: Where texts and labels are. None means the columns named text and label.

    Raises:
        UserError: with file and line, for a file that is missing, empty, not UTF-8, or of another
            format; a row of another number of columns; a missing column or key; a blank text or
            label; a value of a wrong type; a NUL byte.
    """
    columns = columns or Columns()
    name = pathlib.Path(path).expanduser()
    plain = name.with_suffix("") if name.suffix.lower() == ".gz" else name
    kind = FORMATS.get(plain.suffix.lower())
    if kind is None:
        raise UserError(
            f"Expected a file that ends in {', '.join(FORMATS)}, or in .gz after that. "
            f"Received: {path}."
        )
    records = _no_gaps(name, {"tsv": _tsv, "csv": _csv, "jsonl": text_files.objects}[kind](name))
    cells = _objects(name, columns, records) if kind == "jsonl" else _fields(name, columns, records)
    rows = [(line, _checked(f"{name}:{line}", found)) for line, found in cells]
    if not rows:
        raise UserError(f"{path} holds no rows. Expected at least one text with its label.")

    def column(role: str) -> Any:
        return tuple(found[role] for _, found in rows) if role in columns.wanted() else None

    lines = tuple(line for line, _ in rows)
    return Table(str(path), lines, column("text"), column("pair"), column("label"))


def label_names(table: Table) -> tuple[str, ...]:
    """The different labels, sorted; as numbers when all of them are.

    Raises:
        UserError: when there is only one, or when the column cannot be one of classes.
    """
    counts = collections.Counter(table.labels)
    if len(counts) == 1:
        raise UserError(
            f"{table.path} has one class only. Expected at least two. Received: {len(table)} rows, "
            f"all of label {next(iter(counts))!r}."
        )
    if len(counts) > 20 and len(counts) > len(table) / 2:
        raise UserError(
            f"{table.path} has nearly as many labels as rows; the label column must hold classes. "
            f"Received: {len(counts)} different labels in {len(table)} rows, such as "
            f"{next(iter(counts))!r}."
        )
    if all(_NUMBER.fullmatch(name) for name in counts):
        return tuple(sorted(counts, key=lambda name: (float(name), name)))
    return tuple(sorted(counts))


def fingerprint(*found: Table) -> str:
    """A digest of the tables' texts and labels, by which changed data are noticed."""
    digest = hashlib.blake2b(digest_size=16)
    for table in found:
        for column in (table.texts, table.pairs, table.labels):
            digest.update(json.dumps(column).encode())
    return digest.hexdigest()


def _tsv(path: pathlib.Path) -> Iterator[tuple[int, Record]]:
    for number, line in text_files.lines(path):
        line = line.removesuffix("\n").removesuffix("\r")
        yield number, line.split("\t") if line else None


def _csv(path: pathlib.Path) -> Iterator[tuple[int, Record]]:
    reader = csv.reader((line for _, line in text_files.lines(path)), strict=True)
    start = 1
    try:
        for fields in reader:
            yield start, fields or None
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{start} is not CSV: {error}. Is a quote left open there?"
        ) from None


def _no_gaps(
    path: pathlib.Path, records: Iterator[tuple[int, Record]]
) -> Iterator[tuple[int, Record]]:
    """Drops blank lines at the end, and refuses them elsewhere."""
    blank = 0
    for number, record in records:
        if record is None:
            blank = blank or number
        elif blank:
            raise UserError(f"{path}:{blank} is blank. Expected a row. Delete the line.")
        else:
            yield number, record


def _fields(
    path: pathlib.Path, columns: Columns, records: Iterator[tuple[int, Record]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Picks the wanted columns of a TSV or CSV file by position."""
    wanted = columns.wanted()
    by_name = any(isinstance(column, str) for column in wanted.values())
    has_header = by_name if columns.header == "auto" else columns.header
    positions: dict[str, int] = {}
    width = 0
    for number, fields in records:
        if not width:
            width = len(fields)
            names = [field.strip() for field in fields] if has_header else None
            positions = {r: _position(path, r, c, names, fields) for r, c in wanted.items()}
            if has_header:
                continue
        if len(fields) != width:
            raise UserError(
                f"{path}:{number} has another number of columns than the first row. "
                f"Expected {width}. Received: {len(fields)}."
            )
        yield number, {role: fields[position] for role, position in positions.items()}


def _position(
    path: pathlib.Path, role: str, column: Column, names: list[str] | None, fields: list[str]
) -> int:
    if isinstance(column, int):
        if column >= len(fields):
            raise UserError(
                f"{path}:1 has no column {column}, counted from 0. Expected it to hold the {role}. "
                f"Received: {len(fields)} columns."
            )
        return column
    found = (names or []).count(column)
    if found != 1:
        problem = "has no column" if found == 0 else "has two columns"
        first = ", ".join(repr(_cut(field)) for field in fields[:8])
        raise UserError(
            f"{path}:1 {problem} called {column!r} for the {role}. Say which one it is with "
            f"data.{role}=NAME, or, for a file without a header, by number, data.{role}=0. "
            f"Received: {first}."
        )
    return (names or []).index(column)


def _objects(
    path: pathlib.Path, columns: Columns, records: Iterator[tuple[int, Record]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Picks the wanted keys of a file of JSON lines."""
    for number, row in records:
        for role, column in columns.wanted().items():
            if isinstance(column, int):
                raise UserError(
                    f"JSON lines have names, not numbers. Received: {role}={column} for {path}."
                )
            if column not in row:
                raise UserError(
                    f"{path}:{number} has no key {column!r} for the {role}. Say which one it is "
                    f"with data.{role}=NAME. Received: {', '.join(map(repr, row))}."
                )
        yield number, {role: row[column] for role, column in columns.wanted().items()}


def _checked(where: str, found: dict[str, Any]) -> dict[str, str]:
    """The cells as strings; texts as they are, labels without surrounding space."""
    for role in ("text", "pair"):
        if role in found and not isinstance(found[role], str):
            raise UserError(
                f"{where}: the {role} must be a string. Received: {json.dumps(found[role])[:60]}."
            )
    if "label" in found:
        label = found["label"]
        if isinstance(label, bool | int | float):
            label = json.dumps(label)
        if not isinstance(label, str):
            raise UserError(
                f"{where}: the label must be a string or a number. "
                f"Received: {json.dumps(label)[:60]}."
            )
        found["label"] = label.strip()
    for role, cell in found.items():
        if not cell.strip():
            raise UserError(f"{where}: the {role} is empty. Fill it in or delete the row.")
        if "\0" in cell or not text_files.encodes(cell):
            raise UserError(f"{where}: the {role} holds a character that is no text (NUL or half).")
    return found


def _listed(values: dict[str, Column]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _shortened(names: Sequence[str], most: int = 8) -> str:
    text = ", ".join(repr(_cut(name)) for name in names[:most])
    return f"{text} and {len(names) - most} more" if len(names) > most else text


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
