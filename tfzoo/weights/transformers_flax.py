"""`flax_model.msgpack` of the Flax classes that transformers had up to version 4.

Nested dictionaries whose keys are the names of PyTorch's modules; only the weights' own names and
the order of a kernel's axes differ. Checked against files that transformers 4.49 wrote with Flax
0.12.
"""

import pathlib
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.weights import folders, msgpack_file
from tfzoo.weights.stored import StoredTensor, transposed

SINGLE = "flax_model.msgpack"
INDEX = "flax_model.msgpack.index.json"

_LAST = {"kernel": "weight", "embedding": "weight", "scale": "weight"}


def read(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors by the names and in the shapes of transformers' PyTorch classes; none is read.

    Raises:
        UserError: when a file is missing, broken or not in this layout.
    """
    if (folder / SINGLE).exists():
        stored = _read_file(folder / SINGLE)
    else:
        stored = folders.sharded(folder / INDEX, ".msgpack", _read_file)
    found: dict[str, StoredTensor] = {}
    for path, tensor in stored.items():
        *scopes, last = path.split("/")
        name = ".".join((*scopes, _LAST.get(last, last)))
        if name in found:
            raise UserError(f"{folder} holds one weight twice: {found[name].name} and {path}.")
        found[name] = transposed(tensor) if last == "kernel" else tensor
    return found


def _read_file(path: pathlib.Path) -> dict[str, StoredTensor]:
    tensors: dict[str, Any] = dict(msgpack_file.flat(msgpack_file.read(path)))
    for name, value in tensors.items():
        if not isinstance(value, StoredTensor):
            raise UserError(f"{path} must hold arrays alone. Received: {name}={value!r:.100}.")
    return tensors
