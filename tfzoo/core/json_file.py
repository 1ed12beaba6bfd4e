"""Reads and writes the JSON files of model folders, with one-line errors."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tfzoo.core.errors import UserError


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: when the file is missing, unreadable, not UTF-8, not JSON, or not an object.
    """
    values = read(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold a JSON object. Received: {type(values).__name__}.")
    return values


def read(path: pathlib.Path) -> Any:
    """The JSON value in a file.

    Raises:
        UserError: when the file is missing, unreadable, not UTF-8, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: byte {error.start} is invalid.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise UserError(f"{where} is not valid JSON: {error.msg.lower()}.") from None
    except RecursionError:
        raise UserError(f"{path} is not valid JSON: it is nested too deeply.") from None


def write(path: pathlib.Path, values: Mapping[str, Any] | list[Any]) -> None:
    """Writes a value as indented JSON with a final line break."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
