"""Raw documents: from plain text, JSON lines, folders and patterns of them, or TFDS."""

import dataclasses
import glob
import importlib
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.data import text_files
from tfzoo.data.preparation import Preparation

PLAIN = (".txt", ".text")
JSON_LINES = (".jsonl", ".ndjson")
_TFDS = "tfds:"
_GZIP_RATIO = 3  # how much larger text is than its gzip, about


@dataclasses.dataclass(frozen=True)
class Source:
    """One file, or one split of a data set.

    Attributes:
        place: Its path, or tfds:NAME#SPLIT.
        size: Bytes on disk.
    """

    place: str
    size: int

    @property
    def text_bytes(self) -> int:
        """About how much text it holds."""
        return self.size * (_GZIP_RATIO if self.place.lower().endswith(".gz") else 1)


def find(inputs: Sequence[str]) -> tuple[Source, ...]:
    """The files that paths, folders and patterns name, sorted, each once.

    Folders are searched for files that end in .txt, .text, .jsonl or .ndjson, or in .gz after that.

    Raises:
        UserError: for an input that names nothing, or none at all.
    """
    found = {source for name in inputs for source in _named(name)}
    if not found:
        raise UserError(
            "inputs must name files, folders, patterns or tfds:NAME. Received: inputs=[]. "
            "Add --set 'inputs=[texts/*.txt]'."
        )
    return tuple(sorted(found, key=lambda source: source.place))


def documents(source: Source, how: Preparation) -> Iterator[str]:
    """The documents of a source as they are written there; blank ones may be among them.

    Raises:
        UserError: with file and line, for what cannot be read, is not UTF-8, or has no such key.
    """
    if source.place.startswith(_TFDS):
        return _of_tfds(source.place, how.text_key)
    path = pathlib.Path(source.place)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if plain.suffix.lower() in JSON_LINES:
        return _of_objects(path, how.text_key)
    return _of_lines((line for _, line in text_files.lines(path)), how)


def _named(name: str) -> list[Source]:
    if name.startswith(_TFDS):
        split = _tfds_split(name)
        return [Source(name if "#" in name else f"{name}#train", int(split.num_bytes))]
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and _is_text(p.relative_to(path)))
    elif path.exists():
        inside = [path]
    else:
        matches = sorted(glob.glob(str(path), recursive=True))
        inside = [p for p in map(pathlib.Path, matches) if p.is_file()]
    if not inside:
        raise UserError(
            f"No text files there. Expected a file, a folder that holds files ending in "
            f"{', '.join(PLAIN + JSON_LINES)} or in .gz after that, or a pattern. "
            f"Received: inputs={name!r}."
        )
    return [Source(str(p), p.stat().st_size) for p in inside]


def _is_text(path: pathlib.Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    is_hidden = any(part.startswith(".") for part in path.parts)
    return name.endswith(PLAIN + JSON_LINES) and not is_hidden


def _of_lines(lines: Iterator[str], how: Preparation) -> Iterator[str]:
    if how.documents == "line":
        yield from lines
    elif how.documents == "file":
        yield "".join(lines)
    elif how.documents == "blank_lines":
        for is_blank, group in itertools.groupby(lines, str.isspace):
            if not is_blank:
                yield "".join(group)
    else:
        heading = re.compile(how.heading or "")
        held: list[str] = []
        for line in lines:
            if held and heading.match(line):
                yield "".join(held)
                held = []
            held.append(line)
        yield "".join(held)


def _of_objects(path: pathlib.Path, key: str) -> Iterator[str]:
    for number, row in text_files.objects(path):
        if row is None:
            continue
        if key not in row:
            raise UserError(
                f"{path}:{number} has no key {key!r}. Say which one holds the text with "
                f"text_key=NAME. Received: {', '.join(map(repr, row))}."
            )
        text = row[key]
        if not isinstance(text, str) or not text_files.encodes(text):
            raise UserError(
                f"{path}:{number}: {key!r} must hold text. Received: {ascii(text)[:60]}."
            )
        yield text


def _of_tfds(place: str, key: str) -> Iterator[str]:
    name, _, split = place.removeprefix(_TFDS).partition("#")
    data = _tfds().load(name, split=split, shuffle_files=False)
    if key not in data.element_spec:
        raise UserError(
            f"{place} has no feature {key!r}. Say which one holds the text with text_key=NAME. "
            f"Received: {', '.join(sorted(data.element_spec))}."
        )
    for number, text in enumerate(data.map(lambda row: row[key]).as_numpy_iterator()):
        try:
            yield text.decode("utf-8")
        except (AttributeError, UnicodeDecodeError):
            raise UserError(
                f"{place}, example {number}: {key!r} must hold UTF-8 text. Received: {text!r:.60}."
            ) from None


def _tfds_split(place: str) -> Any:
    name, _, split = place.removeprefix(_TFDS).partition("#")
    try:
        splits = _tfds().builder(name).info.splits
        return splits[split or "train"]
    except (ImportError, KeyError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"TFDS has no such data set, configuration or split. Received: {place} ({reason})."
        ) from None


def _tfds() -> Any:
    try:
        return importlib.import_module("tensorflow_datasets")
    except ImportError:
        raise UserError(
            "Inputs that begin with tfds: need the package tensorflow-datasets. "
            "Run `pip install tfzoo[tfds]`."
        ) from None
