"""NumPy arrays and the tensors of TensorFlow's C API: checked, copied in, copied out, freed.

Easy to get wrong: a TF_Tensor does not free the strings inside it, so each one that was put in is
freed by hand; NumPy cuts NUL bytes off the end of its own byte strings, so they stay objects.

Source: tensorflow/c/tf_tensor.h, tf_tstring.h.
"""

import ctypes
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import c_api, meta_graph
from tfzoo.export.meta_graph import TensorSpec

_CODES = {name: code for code, name in meta_graph.DTYPES.items() if name != "bfloat16"}
_STRING = _CODES["string"]
_STRING_BYTES = 24  # sizeof(TF_TString)


def to_array(spec: TensorSpec, value: Any) -> np.ndarray:
    """Returns `value` as an array of the dtype and a shape that `spec` allows.

    Raises:
        UserError: when it is ragged, of another kind, out of range, or of another shape.
    """
    array = _strings(spec, value) if spec.dtype == "string" else _numbers(spec, value)
    allowed = spec.shape
    if allowed is not None and (
        len(allowed) != array.ndim
        or any(want not in (None, size) for want, size in zip(allowed, array.shape, strict=True))
    ):
        raise UserError(
            f"input {spec.name!r} has the wrong shape. Expected {shape_text(allowed)}. "
            f"Received: shape={list(array.shape)}"
        )
    return array


def shape_text(shape: Iterable[int | None]) -> str:
    """Returns a shape as people write it: [any, 128]."""
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _strings(spec: TensorSpec, value: Any) -> np.ndarray:
    array = np.asarray(value, dtype=object)
    out = np.empty(array.size, dtype=object)
    for index, item in enumerate(array.reshape(-1)):
        if isinstance(item, str):
            try:
                out[index] = item.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"input {spec.name!r} holds text that is not Unicode (a lone surrogate). "
                    f"Received: item {index}={item[:40]!r}"
                ) from None
        elif isinstance(item, bytes):
            out[index] = item
        else:
            raise UserError(
                f"input {spec.name!r} takes strings, all lists of one length. "
                f"Received: item {index}={str(item)[:40]!r} of type {type(item).__name__}"
            )
    return out.reshape(array.shape)


def _numbers(spec: TensorSpec, value: Any) -> np.ndarray:
    if spec.dtype not in _CODES:
        raise UserError(f"input {spec.name!r} is of a type that cannot be fed: {spec.dtype}")
    target = np.dtype(spec.dtype)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # NumPy's words for a ragged list
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"input {spec.name!r} takes {spec.dtype} numbers, all lists of one length. "
            f"Received: {spec.name}={str(value)[:60]!r}"
        )
    if array.size and not _fits(array, target):
        raise UserError(
            f"input {spec.name!r} takes {spec.dtype}. "
            f"Received: {array.dtype} values such as {array.reshape(-1)[0]}"
        )
    return np.ascontiguousarray(array, dtype=target).reshape(array.shape)


def _fits(array: np.ndarray, target: np.dtype[Any]) -> bool:
    if array.dtype.kind in "iu" and target.kind in "iu":
        limits = np.iinfo(target)
        return int(array.min()) >= limits.min and int(array.max()) <= limits.max
    if "b" in (array.dtype.kind, target.kind):
        return array.dtype.kind == target.kind
    return bool(np.can_cast(array.dtype, target, "same_kind"))


def to_tensor(library: c_api.Library, array: np.ndarray) -> int:
    """Returns a new TF_Tensor with a copy of the array; `free_input` frees it.

    Raises:
        UserError: when there is no memory for it.
    """
    shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
    code = _STRING if array.dtype == object else _CODES[array.dtype.name]
    size = array.size * _STRING_BYTES if code == _STRING else array.nbytes
    tensor = library.TF_AllocateTensor(code, shape, array.ndim, size)
    if not tensor:
        raise UserError(f"no memory for an input of {size} bytes. Received: shape={array.shape}")
    data = library.TF_TensorData(tensor)
    if code != _STRING:
        if size:
            ctypes.memmove(data, array.ctypes.data, size)
        return int(tensor)
    for index, item in enumerate(array.reshape(-1)):
        library.TF_StringInit(data + index * _STRING_BYTES)
        library.TF_StringCopy(data + index * _STRING_BYTES, item, len(item))
    return int(tensor)


def free_input(library: c_api.Library, tensor: int, array: np.ndarray) -> None:
    """Frees what `to_tensor` made of the array."""
    if array.dtype == object:
        data = library.TF_TensorData(tensor)
        for index in range(array.size):
            library.TF_StringDealloc(data + index * _STRING_BYTES)
    library.TF_DeleteTensor(tensor)


def from_tensor(library: c_api.Library, tensor: int) -> np.ndarray:
    """Returns a copy of a TF_Tensor; strings as bytes in an object array.

    Raises:
        UserError: when it is of a type that NumPy does not have.
    """
    code = library.TF_TensorType(tensor)
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    data = library.TF_TensorData(tensor)
    if code == _STRING:
        out = np.empty(math.prod(shape), dtype=object)
        for index in range(out.size):
            place = data + index * _STRING_BYTES
            out[index] = ctypes.string_at(
                library.TF_StringGetDataPointer(place), library.TF_StringGetSize(place)
            )
        return out.reshape(shape)
    dtype = meta_graph.DTYPES.get(code, "")
    if dtype not in _CODES:
        raise UserError(f"an output is of a type that cannot be read: {dtype or code}")
    # A copy of the model's memory, in an array that owns its own.
    array = np.empty(shape, dtype=dtype)
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    return array
