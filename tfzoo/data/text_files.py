"""Lines of text files and JSON-lines files, plain or .gz, decoded strictly.

Every complaint names the file and the line, because the person who gets it has a file of ten
thousand lines open.
"""

import gzip
import json
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from tfzoo.core.errors import UserError

_BOM = b"\xef\xbb\xbf"


def lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Decoded lines with their ends, numbered from 1.

    Raises:
        UserError: with file and line, for a file that is missing, not UTF-8 or holds a NUL byte.
    """
    offset = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, 1):
                yield number, _decoded(path, number, raw, offset)
                offset += len(raw)
    except FileNotFoundError:
        raise UserError(f"No such file. Received: {path}.") from None
    except IsADirectoryError:
        raise UserError(f"Expected a file, not a folder. Received: {path}.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


def _open(path: pathlib.Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path)  # type: ignore[return-value]
    return path.open("rb")


def _decoded(path: pathlib.Path, number: int, raw: bytes, offset: int) -> str:
    if number == 1:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UserError(f"{path}:1 begins as UTF-16 does. Save the file as UTF-8.")
        raw = raw.removeprefix(_BOM)
    if b"\0" in raw:
        raise UserError(f"{path}:{number} holds a NUL byte. Expected text. Is it UTF-16?")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number} is not UTF-8: byte {offset + error.start} of the file is "
            f"0x{raw[error.start]:02x}. Save the file as UTF-8."
        ) from None


def objects(path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The object on each line, numbered from 1; None for a blank line.

    Raises:
        UserError: as `lines`, and for what is no JSON object.
    """
    for number, line in lines(path):
        if not line.strip():
            yield number, None
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise UserError(
                f"{path}:{number} is not JSON{where}. Expected one object on each line."
            ) from None
        if not isinstance(row, dict):
            raise UserError(
                f"{path}:{number} must be a JSON object. Received: {type(row).__name__}."
            )
        yield number, row


def encodes(text: str) -> bool:
    """Whether UTF-8 can hold a text that was read from JSON."""
    # JSON can spell half of a surrogate pair, "\ud83d", which no encoding can hold.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
