"""Arrays as the JSON text of a reply, by the rules of TensorFlow Serving's REST API.

A single output is given bare, several as an object. Bytes come as {"b64": "..."} where the output's
name ends in `_bytes`, as text elsewhere. NaN, Infinity and -Infinity are written as such.

Numbers are printed in the fewest digits that give the same float back, where TensorFlow Serving
takes six or nine: the values are the same.

Checked against: tensorflow/serving 00e459f, util/json_tensor.cc.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfzoo.serve.errors import RequestError


def write_outputs(outputs: Mapping[str, np.ndarray], rows: bool) -> str:
    """Returns the body of a predict reply.

    Raises:
        RequestError: in row format, when the outputs do not have one row an example.
    """
    texts = {name: _Text(name, array) for name, array in outputs.items()}
    if not rows:
        if len(texts) == 1:
            return _body("outputs", next(iter(texts.values())).whole())
        members = (f"{_string(name)}: {text.whole()}" for name, text in texts.items())
        return _body("outputs", "{" + ", ".join(members) + "}")
    size = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise RequestError(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise RequestError(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    if len(texts) == 1:
        return _body("predictions", next(iter(texts.values())).whole())
    columns = [(_string(name), text.rows()) for name, text in texts.items()]
    entries = (
        "{" + ", ".join(f"{name}: {column[row]}" for name, column in columns) + "}"
        for row in range(size)
    )
    return _body("predictions", "[" + ",\n        ".join(entries) + "]")


def write_results(results: list[Any]) -> str:
    """Returns the body of a classify or regress reply; floats in it are NumPy's float32."""
    return _body("results", _nested(results))


class _Text:
    """An array as JSON text: the elements are written once, then laid out."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._shape = array.shape
        self._items = _elements(array.reshape(-1), name.endswith("_bytes"))

    def whole(self) -> str:
        return self._layout(0, 0, len(self._items))

    def rows(self) -> list[str]:
        size = len(self._items) // max(1, self._shape[0])
        return [self._layout(1, row * size, (row + 1) * size) for row in range(self._shape[0])]

    def _layout(self, axis: int, start: int, stop: int) -> str:
        if axis == len(self._shape):
            return self._items[start]
        if axis == len(self._shape) - 1:
            return "[" + ", ".join(self._items[start:stop]) + "]"
        size = (stop - start) // max(1, self._shape[axis])
        parts = (
            self._layout(axis + 1, start + index * size, start + (index + 1) * size)
            for index in range(self._shape[axis])
        )
        return "[" + ", ".join(parts) + "]"


def _elements(flat: np.ndarray, as_bytes: bool) -> list[str]:
    if flat.dtype == object:
        return [_base64(item) if as_bytes else _string(item) for item in flat]
    if flat.dtype.kind == "b":
        return ["true" if item else "false" for item in flat]
    texts: list[str] = flat.astype("U32").tolist()
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        return [words.get(text, text) for text in texts]
    return texts


def _base64(item: bytes) -> str:
    return f'{{"b64": "{base64.b64encode(item).decode()}"}}'


def _string(item: bytes | str) -> str:
    # A JSON body must be UTF-8, so bytes that are not are replaced; `_bytes` outputs keep them.
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
    return json.dumps(text, ensure_ascii=False)


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_nested, value)) + "]"
    return _string(value) if isinstance(value, bytes) else _elements(np.array([value]), False)[0]


def _body(key: str, value: str) -> str:
    return f'{{\n    "{key}": {value}\n}}'
