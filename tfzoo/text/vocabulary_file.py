"""vocab.txt: one token a line, UTF-8, the line number less one is the id."""

import os
import pathlib
from collections.abc import Sequence

from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside


def read_text(path: str | os.PathLike[str]) -> str:
    """A text file's contents.

    Raises:
        UserError: naming file and line, when the file is missing or not UTF-8.
    """
    path = pathlib.Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read. Received: {error.strerror}.") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: expected UTF-8. Received: byte 0x{raw[error.start]:02X}. "
            "Save the file as UTF-8."
        ) from error


def read_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """The tokens of a vocab.txt.

    Raises:
        UserError: naming file and line, for a file that is missing, empty or not UTF-8, and for a
            blank or repeated line.
    """
    # As Python reads text files and so as transformers does: \r\n and \r end a line too.
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.removesuffix("\n").split("\n")
    if not text.strip():
        raise UserError(f"{path}: expected one token a line. Received: an empty file.")
    first: dict[str, int] = {}
    for number, token in enumerate(lines, 1):
        if not token:
            raise UserError(f"{path}:{number}: expected a token. Received: a blank line.")
        if token in first:
            raise UserError(
                f"{path}:{number}: every token must occur once. "
                f"Received: {token!r}, which is on line {first[token]} already."
            )
        first[token] = number
    return lines


def write_vocabulary(path: str | os.PathLike[str], tokens: Sequence[str]) -> None:
    """Writes a vocab.txt.

    Raises:
        UserError: for a token that holds a line break.
    """
    for token in tokens:
        if "\n" in token or "\r" in token:
            raise UserError(f"{path}: a token cannot hold a line break. Received: {token!r}.")
    with write_aside(path) as aside:
        aside.write_bytes("".join(f"{token}\n" for token in tokens).encode())
