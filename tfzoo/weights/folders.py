"""Finds the weights in a Hugging Face folder: one safetensors file, or shards with their index."""

import pathlib
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights import safetensors_file
from tfzoo.weights.stored import StoredTensor, shorten

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_CONVERT = (
    "Convert it to safetensors once, where PyTorch is installed: "
    "python -c \"import transformers as t; c = t.AutoConfig.from_pretrained('{folder}'); "
    "getattr(t, c.architectures[0]).from_pretrained('{folder}').save_pretrained('OUT')\""
)
# Pattern of a file that tfzoo does not read -> why.
_REFUSED = {
    "pytorch_model*.bin*": "PyTorch pickles are programs: reading one runs whatever is in it. "
    + _CONVERT,
    "*.pt": "PyTorch pickles are programs: reading one runs whatever is in it. " + _CONVERT,
    "*.ckpt*": "TensorFlow 1 checkpoints are not read yet. " + _CONVERT,
    "tf_model*.h5*": "the format of transformers' TensorFlow classes is not read yet. " + _CONVERT,
    "flax_model*.msgpack*": "Flax checkpoints are not read yet. " + _CONVERT,
    "adapter_model*": "an adapter is no whole model. Merge it into its base model first",
}


def read(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors of a Hugging Face folder by name, none of them read yet.

    Raises:
        UserError: when there is no safetensors file (saying why others are not read), or a file is
            broken, or shards and index contradict each other.
    """
    if (folder / SINGLE).exists():
        return safetensors_file.read(folder / SINGLE)
    if (folder / INDEX).exists():
        return _sharded(folder)
    for pattern, why in _REFUSED.items():
        found = sorted(folder.glob(pattern))
        if found:
            raise UserError(
                f"{folder} has no {SINGLE}, and {found[0].name} is not read: "
                f"{why.format(folder=folder)}."
            )
    raise UserError(f"{folder} has no weights. Expected {SINGLE}, or shards with {INDEX}.")


def _sharded(folder: pathlib.Path) -> dict[str, StoredTensor]:
    index = folder / INDEX
    places = json_file.read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index} has no `weight_map` from tensor names to files.")
    shards = {file: _shard(index, file) for file in sorted(set(map(str, places.values())))}
    tensors = {}
    for name, file in places.items():
        if name not in shards[file]:
            raise UserError(f"{index} says that `{name}` is in {file}, where it is not.")
        tensors[name] = shards[file][name]
    extra = [f"{n} ({f})" for f, shard in shards.items() for n in shard if places.get(n) != f]
    if extra:
        raise UserError(f"{index} does not name tensors that its files hold: {shorten(extra)}.")
    return tensors


def _shard(index: pathlib.Path, file: Any) -> dict[str, StoredTensor]:
    # A name with a folder in it could make us read any file of the machine.
    if pathlib.PurePath(file).name != file or "\\" in file or not file.endswith(".safetensors"):
        raise UserError(
            f"{index} must name safetensors files beside it, without a folder. Received: {file!r}."
        )
    if not (index.parent / file).is_file():
        raise UserError(f"{index} names the file {file}, which is missing.")
    return safetensors_file.read(index.parent / file)
