"""Keras' own weight files, `model.weights.h5`, read by the paths of the weights.

Keras finds a layer in such a file by its class and its place among others of that class, so the
file of another architecture can load without an error, into the wrong layers. We write beside the
weights which path is where (the data set `tfzoo_weights`), and read by that. Keras' own
`model.load_weights` reads the file too.
"""

import functools
import hashlib
import json
import pathlib
from typing import Any

import h5py
import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor

NAME = "model.weights.h5"
_LISTING = "tfzoo_weights"


def save(model: Any, path: pathlib.Path) -> None:
    """Writes the weights of a Keras model.

    Args:
        model: A built Keras model.
        path: A path that ends in `.weights.h5`.

    Raises:
        UserError: when the weights are not float32.
        OSError: when the file cannot be written.
    """
    for weight in model.weights:
        if weight.dtype != "float32":
            raise UserError(
                f"Weights are kept in float32; build the model under the policy float32 or a "
                f"mixed one. Received: {weight.path} in {weight.dtype}."
            )
    model.save_weights(str(path))
    with h5py.File(path, "a") as file:
        listing = json.dumps(_places(model, file))
        file[_LISTING] = np.frombuffer(listing.encode(), np.uint8)


def read(path: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors of a file by the paths of our weights; none is read yet.

    Raises:
        UserError: when the file is missing, broken, or not written by `save`.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing.")
    try:
        with h5py.File(path, "r") as file:
            if _LISTING not in file:
                raise UserError(
                    f"{path} does not list its weights, so tfzoo did not write it. Save the model "
                    f"with tfzoo.tasks.folder.save."
                )
            places = json.loads(file[_LISTING][()].tobytes())
            return {name: _tensor(path, name, file[place]) for name, place in places.items()}
    except UserError:
        raise
    except (OSError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise _broken(path, error) from None


def _places(model: Any, file: h5py.File) -> dict[str, str]:
    """The path of every weight -> where Keras put it, found by what it holds.

    Keras does not say where. Weights that hold the same may trade places.
    """
    by_content: dict[str, list[str]] = {}

    def note(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            by_content.setdefault(_digest(item[()]), []).append(place)

    file.visititems(note)
    return {weight.path: by_content[_digest(weight.numpy())].pop() for weight in model.weights}


def _digest(array: Array) -> str:
    described = f"{array.dtype} {array.shape}".encode()
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return hashlib.blake2b(content, key=hashlib.sha256(described).digest()).hexdigest()


def _tensor(path: pathlib.Path, name: str, item: h5py.Dataset) -> StoredTensor:
    is_float = item.dtype == np.float32
    read_it = functools.partial(_read_tensor, path, item.name)
    return StoredTensor(name, str(item.dtype), tuple(item.shape), is_float, read_it)


def _read_tensor(path: pathlib.Path, place: str) -> Array:
    try:
        with h5py.File(path, "r") as file:
            array: Array = file[place][()]
            return array
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _broken(path, error) from None


def _broken(path: pathlib.Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UserError(f"{path} cannot be read; it may be cut off: {reason}.")
