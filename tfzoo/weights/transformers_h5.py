"""`tf_model.h5` of the TensorFlow classes that transformers had up to version 4.

Keras' old `save_weights`: groups of layers whose attributes list the weights in them, under names
such as `tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0`. In shards a weight is
found by that name without its first part, and an index names them whole. Checked against files
that transformers 4.49 wrote with tf-keras 2.21.
"""

import functools
import itertools
import pathlib
import re
from collections.abc import Iterator

import h5py
import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.weights import folders
from tfzoo.weights.stored import Array, StoredTensor, changed, transposed

SINGLE = "tf_model.h5"
INDEX = "tf_model.h5.index.json"

_LAST = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


def read(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors by the names and in the shapes of transformers' PyTorch classes; none is read.

    Raises:
        UserError: when a file is missing, broken or not in this layout.
    """
    if (folder / SINGLE).exists():
        stored = _read_file(folder / SINGLE)
    else:
        stored = folders.sharded(folder / INDEX, ".h5", _read_file, _in_shard)
    found: dict[str, StoredTensor] = {}
    for path, tensor in stored.items():
        name, tensor = _as_torch(path, tensor)
        if name in found:
            raise UserError(f"{folder} holds one weight twice: {found[name].name} and {path}.")
        found[name] = tensor
    return found


def _as_torch(path: str, tensor: StoredTensor) -> tuple[str, StoredTensor]:
    """The name and the form that a weight has in PyTorch."""
    # In `x___y/` only y counts; `_._` stands between the name of a list and a number in it.
    path = re.sub(r"/[^/]*___([^/]*)/", r"/\1/", path.removesuffix(":0"))
    parts = path.replace("_._", "/").split("/")
    parts = parts[1:] or parts  # the first is the class
    if parts[-1] == "kernel":
        tensor = transposed(tensor)
    elif parts[-1] == "bias" and len(tensor.shape) == 2 and tensor.shape[0] == 1:
        tensor = changed(tensor, tensor.shape[1:], lambda array: array[0])  # GPT's Conv1D
    parts[-1] = _LAST.get(parts[-1], parts[-1])
    return ".".join(parts), tensor


def _in_shard(name: str) -> str:
    return name.partition("/")[2]


def _read_file(path: pathlib.Path) -> dict[str, StoredTensor]:
    try:
        with h5py.File(path, "r") as file:
            places = dict(_listed(file))
            _check_all_listed(file, places)
            tensors = {name: _tensor(path, name, file[place]) for name, place in places.items()}
    except (OSError, KeyError, ValueError, AttributeError, TypeError, RuntimeError) as error:
        raise _broken(path, error) from None
    return tensors


def _listed(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Every weight that a file lists, by its name, and where it is.

    A weight that several layers share is there under each of them, and the last one counts, as
    when Keras reads the file.
    """
    for layer in _names(file, "layer_names"):
        if isinstance(file[layer], h5py.Dataset):
            yield layer, layer  # a shard
        else:
            for name in _names(file[layer], "weight_names"):
                yield name, f"{layer}/{name}"


def _check_all_listed(file: h5py.File, places: dict[str, str]) -> None:
    def visit(place: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not place.endswith(tuple(places)):
            raise ValueError(f"it does not list {place}, which it holds")

    file.visititems(visit)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list in an attribute, or in several with a number behind: HDF5 has a limit of 64 KiB."""
    names = list(group.attrs.get(attribute, ()))
    for i in itertools.count():
        if f"{attribute}{i}" not in group.attrs:
            break
        names += list(group.attrs[f"{attribute}{i}"])
    if not names and attribute not in group.attrs:
        raise KeyError(f"it has no attribute {attribute}")
    return [name.decode() if isinstance(name, bytes) else name for name in names]


def _tensor(path: pathlib.Path, name: str, item: h5py.Dataset) -> StoredTensor:
    is_float = item.dtype in (np.float32, np.float16)
    read_it = functools.partial(_read_tensor, path, item.name, is_float)
    return StoredTensor(name, str(item.dtype), tuple(item.shape), is_float, read_it)


def _read_tensor(path: pathlib.Path, place: str, is_float: bool) -> Array:
    try:
        with h5py.File(path, "r") as file:
            array: Array = file[place][()]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _broken(path, error) from None
    return array.astype(np.float32, copy=False) if is_float else array


def _broken(path: pathlib.Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"{path} cannot be read; it may be cut off, or not be of transformers: {reason}."
    )
