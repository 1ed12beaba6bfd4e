"""OpenAI's own GPT-2 checkpoints: hparams.json, model.ckpt, encoder.json and vocab.bpe.

Source: https://github.com/openai/gpt-2, src/model.py. A dense kernel there is a convolution of
width 1, so it has a first axis of 1.
"""

import pathlib
import re
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights import tensorflow_checkpoint
from tfzoo.weights.stored import StoredTensor, changed

CONFIG = "hparams.json"

_KEYS = {
    "n_vocab": "vocab_size",
    "n_ctx": "n_positions",
    "n_embd": "n_embd",
    "n_head": "n_head",
    "n_layer": "n_layer",
}
_LAST = {"w": "weight", "g": "weight", "b": "bias"}


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder is one of these."""
    return (folder / CONFIG).exists()


def read(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """The values of a Hugging Face config.json, and the tensors by Hugging Face's names.

    Raises:
        UserError: when a file is missing, broken or of another layout.
    """
    hparams = json_file.read_object(folder / CONFIG)
    if set(hparams) != set(_KEYS):
        raise UserError(
            f"{folder / CONFIG} must say {', '.join(_KEYS)} and nothing else. "
            f"Received: {', '.join(hparams) or 'nothing'}."
        )
    values = {theirs: hparams[key] for key, theirs in _KEYS.items()}
    values |= {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    stored = tensorflow_checkpoint.read(tensorflow_checkpoint.find(folder))
    return values, dict(_as_hugging_face(path, tensor) for path, tensor in stored.items())


def _as_hugging_face(path: str, tensor: StoredTensor) -> tuple[str, StoredTensor]:
    if path in ("model/wte", "model/wpe"):
        return f"transformer.{path[-3:]}.weight", tensor
    found = re.fullmatch(r"model/(?:h(\d+)/)?(ln_[12f]|attn/c_\w+|mlp/c_\w+)/([wgb])", path)
    if not found:
        return path, tensor  # not known, so refused later
    number, layer, last = found.groups()
    if last == "w" and len(tensor.shape) == 3 and tensor.shape[0] == 1:
        tensor = changed(tensor, tensor.shape[1:], lambda array: array[0])
    place = "transformer" if number is None else f"transformer.h.{number}"
    return f"{place}.{layer.replace('/', '.')}.{_LAST[last]}", tensor
