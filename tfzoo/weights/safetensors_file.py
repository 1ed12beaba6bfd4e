"""The safetensors format, one tensor at a time.

A file is an 8-byte length, a JSON header of that length, and the tensors' bytes
(https://github.com/huggingface/safetensors, "Format"). It is read here, and not with the package of
that name, for three reasons: the package maps the whole file, which counts as memory of ours; its
NumPy side does not give bfloat16; and its writer wants all tensors at once. The tests compare with
it.
"""

import functools
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor, float32

# Type in the header -> (NumPy type that holds its bits, whether `read` gives float32).
_DTYPES: dict[str, tuple[str, bool]] = {
    "F32": ("<f4", True),
    "F16": ("<f2", True),
    "BF16": ("<u2", True),
    "F64": ("<f8", False),
    "I64": ("<i8", False),
    "I32": ("<i4", False),
    "I16": ("<i2", False),
    "I8": ("i1", False),
    "U64": ("<u8", False),
    "U32": ("<u4", False),
    "U16": ("<u2", False),
    "U8": ("u1", False),
    "BOOL": ("?", False),
    "F8_E4M3": ("u1", False),
    "F8_E5M2": ("u1", False),
}
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors package


def read(path: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name; only its header is read.

    Raises:
        UserError: naming the file, when it is missing, truncated or not in this format.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or header_size > min(size - 8, _MAX_HEADER_BYTES):
                raise _broken(path, "its header does not fit into the file; it may be cut off")
            header = json.loads(file.read(header_size))
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise _broken(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    return _tensors(path, header, 8 + header_size, size)


def write(
    path: pathlib.Path, tensors: Mapping[str, tuple[tuple[int, ...], Callable[[], Array]]]
) -> None:
    """Writes float32 tensors, given as shape and a function that gives the array, one by one.

    Raises:
        OSError: when the file cannot be written.
    """
    # transformers refuses a file that does not say which library's layout it has.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, _) in tensors.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, give in tensors.values():
            file.write(np.ascontiguousarray(give(), "<f4").reshape(-1).data.cast("B"))


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _tensors(
    path: pathlib.Path, header: Mapping[str, Any], start: int, size: int
) -> dict[str, StoredTensor]:
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    position = 0
    for entry in sorted(entries.values(), key=lambda e: (e.begin, e.end)):
        if entry.begin != position:
            raise _broken(path, "its tensors overlap or leave gaps")
        position = entry.end
    if start + position != size:
        raise _broken(
            path,
            f"its tensors take {start + position} bytes and the file has {size}; it is cut off",
        )
    return {
        name: StoredTensor(
            name,
            entry.dtype,
            entry.shape,
            _DTYPES[entry.dtype][1],
            functools.partial(_read_tensor, path, start, entry),
        )
        for name, entry in entries.items()
    }


def _entry(path: pathlib.Path, name: str, value: Any) -> _Entry:
    try:
        dtype, shape = str(value["dtype"]), tuple(value["shape"])
        begin, end = value["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise _broken(path, f"the header says nothing usable about `{name}`") from None
    numbers = (*shape, begin, end)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise _broken(path, f"the shape or place of `{name}` is not made of whole numbers")
    if dtype not in _DTYPES:
        raise UserError(
            f"{path}: `{name}` has a type that tfzoo cannot read. Expected F32, F16 or BF16. "
            f"Received: {dtype}."
        )
    if end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype][0]).itemsize:
        raise _broken(path, f"the bytes of `{name}` do not match its shape {list(shape)}")
    return _Entry(dtype, shape, begin, end)


def _read_tensor(path: pathlib.Path, start: int, entry: _Entry) -> Array:
    stored = np.empty(entry.shape, _DTYPES[entry.dtype][0])
    try:
        # Unbuffered, so that a tensor is in memory once.
        with path.open("rb", buffering=0) as file:
            file.seek(start + entry.begin)
            _read_into(path, file, stored.reshape(-1).data.cast("B"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    return float32(stored, entry.dtype) if _DTYPES[entry.dtype][1] else stored


def _read_into(path: pathlib.Path, file: Any, view: memoryview) -> None:
    filled = 0
    while filled < len(view):  # one call reads 2 GB at most
        count = file.readinto(view[filled:])
        if not count:
            raise _broken(path, "it became shorter while it was read")
        filled += count


def _broken(path: pathlib.Path, why: str) -> UserError:
    return UserError(f"{path} is not a whole safetensors file: {why}. Fetch or convert it again.")
