"""TensorFlow's checkpoints of variables: an index, and files of data."""

import functools
import pathlib
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor

INDEX = ".index"


def find(folder: pathlib.Path) -> pathlib.Path:
    """The path of a folder's only checkpoint, without the `.index` at its end.

    Raises:
        UserError: when there is none, or several.
    """
    found = sorted(folder.glob(f"*{INDEX}"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"{folder} must hold one TensorFlow checkpoint, such as model.ckpt.index. "
            f"Received: {names}."
        )
    return found[0].with_suffix("")


def read(path: pathlib.Path) -> dict[str, StoredTensor]:
    """The variables of a checkpoint by name; none is read yet.

    Raises:
        UserError: when a file of it is missing or broken.
    """
    # TensorFlow takes seconds to import, so only those who need it wait.
    from tensorflow.train import load_checkpoint

    try:
        reader = load_checkpoint(str(path))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    except Exception as error:  # TensorFlow's own errors, and RuntimeError or ValueError
        raise _broken(path, error) from None
    return {
        name: StoredTensor(
            name,
            dtypes[name].name,
            tuple(shapes[name]),
            dtypes[name].name in ("float32", "float16", "bfloat16"),
            functools.partial(_read_tensor, path, reader, name),
        )
        for name in sorted(shapes)
    }


def _read_tensor(path: pathlib.Path, reader: Any, name: str) -> Array:
    try:
        array: Array = reader.get_tensor(name)
    except Exception as error:
        raise _broken(path, error) from None
    is_float = array.dtype.name in ("float16", "bfloat16")
    return array.astype(np.float32) if is_float else array


def _broken(path: pathlib.Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UserError(f"{path}{INDEX} or the data beside it cannot be read: {reason}.")
