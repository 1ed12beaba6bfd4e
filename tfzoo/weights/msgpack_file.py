"""Flax's files: nested dictionaries of arrays in MessagePack, whose arrays are left in the file.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md, and flax/serialization.py: an array
is an extension of type 1 that holds its shape, the name of its type and its bytes; one of more than
2^30 bytes is a dictionary of pieces. It is read here, and not with the package msgpack, which wants
the whole file in memory.
"""

import functools
import math
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor, float32

_CHUNKED = "__msgpack_chunked_array__"
_MAX_DEPTH = 100
# Type in the file -> the NumPy type of its bits.
_DTYPES = {
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "uint32": "<u4",
    "uint8": "u1",
    "bool": "?",
}
_FLOATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
# First byte of a kind -> how many bytes say its length.
_BINARY = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_STRING = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_LIST = {0xDC: 2, 0xDD: 4}
_DICTIONARY = {0xDE: 2, 0xDF: 4}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def read(path: pathlib.Path) -> dict[str, Any]:
    """What a file holds: dictionaries, lists, numbers, texts, and arrays as `StoredTensor`.

    Raises:
        UserError: naming the file, when it is missing, truncated or not in this format.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            tree = _Reader(path, file, size).value(0)
            if file.tell() != size:
                raise ValueError("there is something after its end")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, struct.error, TypeError, KeyError) as error:
        raise UserError(f"{path} is not a whole file of Flax: {error}.") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path} is not a whole file of Flax: it holds no dictionary.")
    return tree


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries, by their keys joined with a slash."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


class _Reader:
    """Reads one value after another, and passes over the bytes of arrays."""

    def __init__(self, path: pathlib.Path, file: BinaryIO, size: int):
        self.path = path
        self.file = file
        self.size = size

    def value(self, depth: int, name: str = "") -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("its dictionaries are nested too deeply")
        first = self.bytes(1)[0]
        if first <= 0x7F:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first <= 0x8F:
            return self.dictionary(first & 0x0F, depth, name)
        if first <= 0x9F:
            return [self.value(depth + 1, name) for _ in range(first & 0x0F)]
        if first <= 0xBF:
            return self.bytes(first & 0x1F).decode()
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            size = struct.calcsize(_NUMBERS[first])
            return struct.unpack(_NUMBERS[first], self.bytes(size))[0]
        if 0xD4 <= first <= 0xD8:
            return self.extension(1 << (first - 0xD4), name)
        return self.long(first, depth, name)

    def long(self, first: int, depth: int, name: str) -> Any:
        """A value whose length stands after its first byte."""
        for kind in (_BINARY, _STRING, _EXTENSION, _LIST, _DICTIONARY):
            if first not in kind:
                continue
            length = int.from_bytes(self.bytes(kind[first]), "big")
            if kind is _BINARY:
                return self.bytes(length)
            if kind is _STRING:
                return self.bytes(length).decode()
            if kind is _EXTENSION:
                return self.extension(length, name)
            if kind is _LIST:
                return [self.value(depth + 1, name) for _ in range(length)]
            return self.dictionary(length, depth, name)
        raise ValueError(f"0x{first:02x} begins no value")

    def bytes(self, length: int) -> bytes:
        if length > self.size - self.file.tell():
            raise ValueError("it is cut off")
        return self.file.read(length)

    def dictionary(self, length: int, depth: int, name: str) -> Any:
        found: dict[str, Any] = {}
        for _ in range(length):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in found:
                raise ValueError(f"{key!r} is no key of `{name}`, or stands there twice")
            found[key] = self.value(depth + 1, f"{name}/{key}".lstrip("/"))
        return _joined(name, found) if _CHUNKED in found else found

    def extension(self, length: int, name: str) -> Any:
        kind = self.bytes(1)[0]
        end = self.file.tell() + length
        if end > self.size:
            raise ValueError("it is cut off")
        if kind not in (1, 3):  # 3 is a NumPy scalar, stored as an array of no axes
            raise ValueError(f"`{name}` is an extension of type {kind}, not an array")
        tensor = self.array(name)
        if self.file.tell() != end:
            raise ValueError(f"the bytes of `{name}` do not match its length")
        return tensor

    def array(self, name: str) -> StoredTensor:
        """An array: a list of its shape, its type and its bytes, of which the last are not read."""
        if self.bytes(1)[0] != 0x93:
            raise ValueError(f"`{name}` is not an array")
        shape, dtype = tuple(self.value(0)), self.value(0)
        dtype = dtype.decode() if isinstance(dtype, bytes) else dtype
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"the shape of `{name}` is not made of whole numbers")
        if dtype not in _DTYPES:
            raise ValueError(f"`{name}` is of type {dtype}, which tfzoo does not read")
        first = self.bytes(1)[0]
        if first not in _BINARY:
            raise ValueError(f"`{name}` has no bytes")
        length = int.from_bytes(self.bytes(_BINARY[first]), "big")
        begin = self.file.tell()
        if length != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError(f"the bytes of `{name}` do not match its shape {list(shape)}")
        if begin + length > self.size:
            raise ValueError("it is cut off")
        self.file.seek(begin + length)
        read_it = functools.partial(_read_tensor, self.path, begin, dtype, shape)
        return StoredTensor(name, dtype, shape, dtype in _FLOATS, read_it)


def _joined(name: str, found: dict[str, Any]) -> StoredTensor:
    """An array that was stored in pieces: `shape` and `chunks` number what they hold."""
    shape = tuple(found["shape"][str(i)] for i in range(len(found["shape"])))
    chunks = [found["chunks"][str(i)] for i in range(len(found["chunks"]))]
    if not chunks or sum(math.prod(c.shape) for c in chunks) != math.prod(shape):
        raise ValueError(f"the pieces of `{name}` do not match its shape {list(shape)}")

    def read_it() -> Array:
        whole = np.empty(math.prod(shape), np.float32 if chunks[0].is_float else None)
        begin = 0
        for chunk in chunks:
            part = chunk.read().reshape(-1)
            whole[begin : begin + part.size] = part
            begin += part.size
        return whole.reshape(shape)

    return StoredTensor(name, chunks[0].dtype, shape, chunks[0].is_float, read_it)


def _read_tensor(path: pathlib.Path, begin: int, dtype: str, shape: tuple[int, ...]) -> Array:
    try:
        array = np.fromfile(path, _DTYPES[dtype], math.prod(shape), offset=begin)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if array.size != math.prod(shape):
        raise UserError(f"{path} is not a whole file of Flax: it became shorter while it was read.")
    array = array.reshape(shape)
    return float32(array, _FLOATS[dtype]) if dtype in _FLOATS else array
