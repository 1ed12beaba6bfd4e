"""One JSON value to one array: its shape, its leaves, and what fits which type.

Easy to get wrong: the shape is that of the first elements, and everything else must fit it; a whole
number fits a float, but 1.0 does not fit an int; true is no number.

Checked against: tensorflow/serving 00e459f, util/json_tensor.cc.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfzoo.serve.errors import RequestError, shown, type_name

# The names of types in TensorFlow Serving's messages, and what fits them.
_TYPE_NAMES = {"float32": "float", "float64": "double"}
_FLOAT_LIMITS = {
    "float32": (2**24 - 1, float(np.finfo(np.float32).max)),
    "float64": (2**53 - 1, float(np.finfo(np.float64).max)),
}
_INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")
_MOST_AXES = 254  # of a TensorFlow tensor


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: an object with the one key "b64" and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: Mapping[str, str]) -> bytes:
    """Returns the bytes of {"b64": ...}; the padding may be left out, as TensorFlow Serving allows.

    Raises:
        RequestError: when it is not base64.
    """
    text = value["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("Unable to base64 decode") from None


def encode_text(value: str) -> bytes:
    """Returns UTF-8.

    Raises:
        RequestError: for half of a surrogate pair, which JSON's escapes can write.
    """
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"JSON Parse error: The surrogate pair in string is invalid. in: {value[:100]!a}"
        ) from None


def fits_float(value: float, dtype: str) -> bool:
    """Whether a JSON number can be stored: in range, and exactly when it is a whole number."""
    largest_int, largest = _FLOAT_LIMITS[dtype]
    if isinstance(value, int) and -(2**63) <= value < 2**64:  # a longer one is read as a float
        return abs(value) <= largest_int
    return abs(value) <= largest or not math.isfinite(value)


def shape_of(value: Any) -> list[int]:
    """Returns the shape that the first elements of nested lists have.

    Raises:
        RequestError: when they are nested deeper than a tensor can be.
    """
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MOST_AXES:
            raise RequestError(f"Lists are nested deeper than a tensor's {_MOST_AXES} dimensions")
        if not value:
            break
        value = value[0]
    return shape


def flatten(value: Any, shape: list[int], level: int, dtype: str, out: list[Any]) -> None:
    """Appends the leaves of nested lists to `out`, converted to `dtype`.

    Raises:
        RequestError: when the lists are ragged, or a leaf is of another type or out of range.
    """
    if not isinstance(value, list):
        if level != len(shape):
            raise RequestError(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        out.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise RequestError(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise RequestError(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        flatten(item, shape, level + 1, dtype, out)


def _leaf(value: Any, dtype: str) -> Any:
    kind = type(value)  # not isinstance: a bool is an int to Python
    if dtype == "string":
        if kind is str:
            return encode_text(value)
        if is_base64(value):
            return decode_base64(value)
        if kind is dict:
            raise RequestError(
                f"JSON Value: {shown(value)} not formatted correctly for base64 data"
            )
    elif dtype in _FLOAT_LIMITS:
        if kind is float or kind is int:
            if fits_float(value, dtype):
                return value
            raise RequestError(
                f"Cannot convert JSON value: {shown(value)} to {_TYPE_NAMES[dtype]} "
                "without loss of precision."
            )
    elif dtype in _INTEGERS:
        limits = np.iinfo(dtype)
        if kind is int and limits.min <= value <= limits.max:
            return value
    elif dtype == "bool":
        if kind is bool:
            return value
    else:
        message = f"Conversion of JSON Value: {shown(value)} to type: {dtype}"
        raise RequestError(message, "UNIMPLEMENTED")
    raise RequestError(
        f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: "
        f"{_TYPE_NAMES.get(dtype, dtype)}"
    )


def to_array(leaves: list[Any], shape: list[int], dtype: str) -> np.ndarray:
    """Returns the leaves that `flatten` collected as an array."""
    if dtype != "string":
        return np.array(leaves, dtype=dtype).reshape(shape)
    array = np.empty(len(leaves), dtype=object)
    array[:] = leaves
    return array.reshape(shape)
