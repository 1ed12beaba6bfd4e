"""Arrays of Zarr's version 2: a folder with `.zarray` and a file for each chunk.

Source: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. TensorStore writes so for T5X. A
chunk at the edge is stored whole, and one that is missing holds the fill value.
"""

import functools
import gzip
import itertools
import math
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor, float32

META = ".zarray"

# Type in the file -> NumPy type of its bits, name of the type among floats.
_DTYPES = {
    "<f4": ("<f4", "F32"),
    "<f2": ("<f2", "F16"),
    "bfloat16": ("<u2", "BF16"),
    "<i4": ("<i4", ""),
    "<i8": ("<i8", ""),
}
_COMPRESSORS: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "zlib": zlib.decompress,
}


def read(folder: pathlib.Path) -> StoredTensor:
    """An array, whose chunks are not read yet.

    Raises:
        UserError: when it is missing, broken, or compressed or ordered as we cannot read.
    """
    meta = json_file.read_object(folder / META)
    shape: Any = meta.get("shape")
    chunks: Any = meta.get("chunks")
    for sizes in (shape, chunks):
        if not isinstance(sizes, list) or not all(type(n) is int and n >= 0 for n in sizes):
            raise UserError(f"{folder / META} must say `shape` and `chunks` in whole numbers.")
    if len(shape) != len(chunks) or 0 in chunks:
        raise UserError(f"{folder / META}: chunks {chunks} do not cut up the shape {shape}.")
    compressor = (meta.get("compressor") or {}).get("id")
    expected = {
        "zarr_format": (2,),
        "order": ("C",),
        "filters": (None, []),
        "dtype": tuple(_DTYPES),
        "dimension_separator": (".", "/"),
    }
    given = {"dimension_separator": ".", "filters": None, **meta, "compressor": compressor}
    for key, accepted in {**expected, "compressor": tuple(_COMPRESSORS)}.items():
        if given.get(key) not in accepted:
            raise UserError(
                f"{folder / META}: tfzoo reads {key} = {' or '.join(map(str, accepted))}. "
                f"Received: {key}={given.get(key)!r}."
            )
    dtype = given["dtype"]
    read_it = functools.partial(_read_array, folder, given)
    return StoredTensor(folder.name, dtype, tuple(shape), bool(_DTYPES[dtype][1]), read_it)


def _read_array(folder: pathlib.Path, meta: dict[str, Any]) -> Array:
    shape, chunks = tuple(meta["shape"]), tuple(meta["chunks"])
    bits, name = _DTYPES[meta["dtype"]]
    whole = np.full(shape, meta.get("fill_value") or 0, np.float32 if name else bits)
    counts = [range(math.ceil(size / chunk)) for size, chunk in zip(shape, chunks, strict=True)]
    for place in itertools.product(*counts):
        file = folder / (meta["dimension_separator"].join(map(str, place)) or "0")
        if not file.exists():
            if meta.get("fill_value") is None:
                raise UserError(f"{file} is missing.")
            continue
        try:
            content = _COMPRESSORS[meta["compressor"]](file.read_bytes())
            chunk = np.frombuffer(content, bits).reshape(chunks)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UserError(f"{file} cannot be read; it may be cut off: {error}.") from None
        where = tuple(slice(i * c, i * c + c) for i, c in zip(place, chunks, strict=True))
        inside = tuple(
            slice(0, min(c, s - w.start)) for c, s, w in zip(chunks, shape, where, strict=True)
        )
        part = chunk[inside]
        whole[where] = float32(part, name) if name else part
    return whole
