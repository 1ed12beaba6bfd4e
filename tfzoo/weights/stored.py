"""A checkpoint, whatever its format: a mapping from name to a tensor that is not yet read."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint.

    Attributes:
        name: Its name in the file.
        dtype: Its type in the file, as the format calls it.
        shape: Its shape.
        is_float: Whether `read` gives float32; other types it gives as they are stored.
        read: Reads it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_float: bool
    read: Callable[[], Array]


Checkpoint = Mapping[str, StoredTensor]


def changed(
    tensor: StoredTensor, shape: tuple[int, ...], change: Callable[[Array], Array]
) -> StoredTensor:
    """A tensor in another form, such as transposed; it is changed when it is read."""
    return dataclasses.replace(tensor, shape=shape, read=lambda: change(tensor.read()))


def transposed(tensor: StoredTensor) -> StoredTensor:
    """A tensor with its axes in reverse order."""
    return changed(tensor, tensor.shape[::-1], np.transpose)


def float32(stored: Array, dtype: str) -> Array:
    """An array of the safetensors type F32, F16 or BF16 as float32, exactly.

    NumPy has no bfloat16. It is the upper half of a float32, so shifting is all it takes.
    """
    if dtype != "BF16":
        return stored.astype(np.float32, copy=False)
    wide = stored.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def shorten(items: Iterable[str], most: int = 10) -> str:
    """A list for an error message: the first ten, and how many there are."""
    listed = list(items)
    shown = "; ".join(listed[:most])
    if len(listed) <= most:
        return shown
    return f"{shown}; and {len(listed) - most} more ({len(listed)} in all)"
