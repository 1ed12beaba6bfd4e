"""OpenAI's own GPT-1 checkpoint: params_0.npy ... params_9.npy, params_shapes.json and its BPE.

Source: https://github.com/openai/finetune-transformer-lm, train.py. The files are pieces of one
flat array, which the shapes cut into positions, tokens, and twelve weights a layer. No file says
the number of heads: the code has 12 for the only published width, 768.
"""

import functools
import math
import pathlib
from typing import Any

import numpy as np

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights.stored import Array, StoredTensor, changed

SHAPES = "params_shapes.json"

_HEAD_DIM = 64
_LAYER = (
    "attn.c_attn.weight",
    "attn.c_attn.bias",
    "attn.c_proj.weight",
    "attn.c_proj.bias",
    "ln_1.weight",
    "ln_1.bias",
    "mlp.c_fc.weight",
    "mlp.c_fc.bias",
    "mlp.c_proj.weight",
    "mlp.c_proj.bias",
    "ln_2.weight",
    "ln_2.bias",
)


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder is one of these."""
    return (folder / SHAPES).exists()


def read(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """The values of a Hugging Face config.json, and the tensors by Hugging Face's names.

    Raises:
        UserError: when a file is missing, broken, or does not fit the shapes.
    """
    shapes = _shapes(folder / SHAPES)
    num_layers, rest = divmod(len(shapes) - 2, len(_LAYER))
    if rest or num_layers < 0 or len(shapes[0]) != 2 or len(shapes[1]) != 2:
        raise UserError(
            f"{folder / SHAPES} must list positions, tokens and {len(_LAYER)} weights a layer. "
            f"Received: {len(shapes)} shapes, {str(shapes[:2])[:100]}, ..."
        )
    (num_positions, width), (vocab_size, _) = shapes[:2]
    if width % _HEAD_DIM:
        raise UserError(
            f"{folder / SHAPES} does not say the number of heads, and tfzoo takes heads of "
            f"{_HEAD_DIM}. Expected a width that is a multiple of it. Received: width={width}."
        )
    values = {
        "model_type": "openai-gpt",
        "architectures": ["OpenAIGPTLMHeadModel"],
        "vocab_size": vocab_size,
        "n_positions": num_positions,
        "n_embd": width,
        "n_layer": num_layers,
        "n_head": width // _HEAD_DIM,
    }
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [f"h.{i}.{name}" for i in range(num_layers) for name in _LAYER]
    return values, _tensors(folder, names, shapes)


def _shapes(path: pathlib.Path) -> list[tuple[int, ...]]:
    listed = json_file.read(path)
    is_right = isinstance(listed, list) and len(listed) >= 2
    for shape in listed if is_right else ():
        is_right = is_right and isinstance(shape, list) and all(type(n) is int for n in shape)
        is_right = is_right and all(n >= 1 for n in shape)
    if not is_right:
        raise UserError(f"{path} must be a list of shapes, each a list of whole numbers.")
    return [tuple(shape) for shape in listed]


def _tensors(
    folder: pathlib.Path, names: list[str], shapes: list[tuple[int, ...]]
) -> dict[str, StoredTensor]:
    pieces = _pieces(folder)
    total = sum(math.prod(shape) for shape in shapes)
    if total != sum(size for _, _, size in pieces):
        raise UserError(
            f"{folder / SHAPES} asks for {total} numbers. Received: "
            f"{sum(size for _, _, size in pieces)} in {len(pieces)} files params_*.npy."
        )
    tensors, begin = {}, 0
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        read_it = functools.partial(_read_tensor, pieces, begin, shape)
        tensor = StoredTensor(f"params[{i}] ({name})", "float32", shape, True, read_it)
        if len(shape) == 3 and shape[0] == 1:  # a convolution of width 1
            tensor = changed(tensor, shape[1:], lambda array: array[0])
        tensors[f"transformer.{name}"] = tensor
        begin += math.prod(shape)
    return tensors


def _pieces(folder: pathlib.Path) -> list[tuple[pathlib.Path, int, int]]:
    """The files in order: path, where its numbers begin in bytes, how many there are."""
    paths = sorted(folder.glob("params_[0-9]*.npy"), key=lambda p: int("0" + p.stem[7:]))
    if [path.stem for path in paths] != [f"params_{i}" for i in range(len(paths))] or not paths:
        listed = ", ".join(path.name for path in paths) or "none"
        raise UserError(f"{folder} must hold params_0.npy, params_1.npy, ... Received: {listed}.")
    return [_piece(path) for path in paths]


def _piece(path: pathlib.Path) -> tuple[pathlib.Path, int, int]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        offset = mapped.offset
    except (OSError, ValueError, EOFError, AttributeError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0][:200]
        raise UserError(f"{path} cannot be read; it may be cut off: {reason}.") from None
    if mapped.dtype != np.dtype("<f4") or mapped.ndim != 1:
        raise UserError(
            f"{path} must be a flat array of float32. "
            f"Received: {mapped.dtype}, shape {list(mapped.shape)}."
        )
    return path, offset, mapped.size


def _read_tensor(
    pieces: list[tuple[pathlib.Path, int, int]], begin: int, shape: tuple[int, ...]
) -> Array:
    end, first, parts = begin + math.prod(shape), 0, []
    for path, offset, size in pieces:
        start, stop = max(begin, first), min(end, first + size)
        if start < stop:
            try:
                where = offset + 4 * (start - first)
                parts.append(np.fromfile(path, "<f4", stop - start, offset=where))
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        first += size
    return np.concatenate(parts).reshape(shape) if len(parts) > 1 else parts[0].reshape(shape)
