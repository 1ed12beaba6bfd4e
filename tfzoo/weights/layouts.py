"""Which reader serves a model folder of another library, decided by the files in it.

Whatever the layout, the values of a Hugging Face config.json and tensors by Hugging Face's names
come out, so that everything after this is the same for all of them.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights import (
    folders,
    google_bert,
    hugging_face_config,
    keras_hub,
    openai_gpt,
    openai_gpt2,
    t5x,
    transformers_flax,
    transformers_h5,
)
from tfzoo.weights.stored import Checkpoint

# Each has `matches(folder)`, and `read(folder)` -> values of config.json, tensors.
_OTHERS = (google_bert, openai_gpt2, openai_gpt, t5x)
# Weights of transformers' own other classes -> the prefix of those classes' names.
_TRANSFORMERS = ((transformers_h5, "TF"), (transformers_flax, "Flax"))


@dataclasses.dataclass(frozen=True)
class Source:
    """What a foreign model folder holds, in Hugging Face's words.

    Attributes:
        values: The values of config.json.
        tensors: The checkpoint; none of its tensors is read yet.
    """

    values: dict[str, Any]
    tensors: Checkpoint


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder that has no config.json is a model folder all the same."""
    return any(layout.matches(folder) for layout in _OTHERS)


def read(folder: pathlib.Path) -> Source:
    """What a model folder holds. No weight is read yet.

    Raises:
        UserError: for a folder or a file that is missing, broken or not supported.
    """
    if keras_hub.matches(folder):
        return Source(*keras_hub.read(folder))
    if not (folder / hugging_face_config.NAME).exists():
        for layout in _OTHERS:
            if layout.matches(folder):
                return Source(*layout.read(folder))
    values = hugging_face_config.read(folder)
    if not folders.has_safetensors(folder):
        for module, prefix in _TRANSFORMERS:
            if any((folder / name).exists() for name in (module.SINGLE, module.INDEX)):
                return Source(_without_prefix(values, prefix), module.read(folder))
    return Source(values, folders.read(folder))


@contextlib.contextmanager
def tokenizer_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the tokenizer's files are by the names that they have in transformers.

    That is the folder itself, or, for layouts that name them otherwise or say their options in
    other places, copies that are gone when the context ends.

    Raises:
        UserError: naming the folder itself, as whoever reads the copies raises it.
    """
    layout = next((each for each in (keras_hub, google_bert) if each.matches(folder)), None)
    if layout is None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        aside = pathlib.Path(name)
        for file, content in layout.tokenizer_files(folder).items():
            if isinstance(content, dict):
                json_file.write(aside / file, content)
            elif content.exists():
                shutil.copyfile(content, aside / file)
        try:
            yield aside
        except UserError as error:
            raise UserError(str(error).replace(name, str(folder))) from None


def _without_prefix(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Without what transformers 2 put before the names of its classes in config.json."""
    classes = values.get("architectures")
    if isinstance(classes, list) and all(isinstance(name, str) for name in classes):
        values["architectures"] = [name.removeprefix(prefix) for name in classes]
    return values
