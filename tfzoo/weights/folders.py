"""Finds the weights in a Hugging Face folder: one safetensors file, or shards with their index."""

import pathlib
from collections.abc import Callable

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
    "*.ckpt*": "of TensorFlow's checkpoints only Google's BERT, with bert_config.json, and "
    "OpenAI's GPT-2, with hparams.json, are read. " + _CONVERT,
    "adapter_model*": "an adapter is no whole model. Merge it into its base model first",
}


def has_safetensors(folder: pathlib.Path) -> bool:
    """Whether a folder holds weights as safetensors."""
    return (folder / SINGLE).exists() or (folder / INDEX).exists()


def read(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """The tensors of a Hugging Face folder by name, none of them read yet.

    Raises:
        UserError: when there is no safetensors file (saying why others are not read), or a file is
            broken, or shards and index contradict each other.
    """
    if (folder / SINGLE).exists():
        return safetensors_file.read(folder / SINGLE)
    if (folder / INDEX).exists():
        return sharded(folder / INDEX, ".safetensors", safetensors_file.read)
    for pattern, why in _REFUSED.items():
        found = sorted(folder.glob(pattern))
        if found:
            raise UserError(
                f"{folder} has no {SINGLE}, and {found[0].name} is not read: "
                f"{why.format(folder=folder)}."
            )
    raise UserError(f"{folder} has no weights. Expected {SINGLE}, or shards with {INDEX}.")


def sharded(
    index: pathlib.Path,
    suffix: str,
    read_file: Callable[[pathlib.Path], dict[str, StoredTensor]],
    inside: Callable[[str], str] = str,
) -> dict[str, StoredTensor]:
    """The tensors of several files by the names that an index gives them.

    Args:
        index: A JSON file whose `weight_map` says which file each tensor is in.
        suffix: How the names of the files end.
        read_file: Reads one of them.
        inside: The name inside its file of a tensor that the index names.

    Raises:
        UserError: when index and files contradict each other.
    """
    places = json_file.read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index} has no `weight_map` from tensor names to files.")
    files = sorted(set(map(str, places.values())))
    shards = {file: read_file(_shard(index, file, suffix)) for file in files}
    tensors = {}
    for name, file in places.items():
        if inside(name) not in shards[file]:
            raise UserError(f"{index} says that `{name}` is in {file}, where it is not.")
        tensors[name] = shards[file][inside(name)]
    expected = {(inside(name), file) for name, file in places.items()}
    extra = [f"{n} ({f})" for f, shard in shards.items() for n in shard if (n, f) not in expected]
    if extra:
        raise UserError(f"{index} does not name tensors that its files hold: {shorten(extra)}.")
    return tensors


def _shard(index: pathlib.Path, file: str, suffix: str) -> pathlib.Path:
    # A name with a folder in it could make us read any file of the machine.
    path = index.parent / file
    if pathlib.PurePath(file).name != file or "\\" in file or not file.endswith(suffix):
        raise UserError(
            f"{index} must name {suffix[1:]} files beside it, without a folder. Received: {file!r}."
        )
    if not path.is_file():
        raise UserError(f"{index} names the file {file}, which is missing.")
    return path
