"""T5X's checkpoints of T5: the file `checkpoint`, and a folder for each large array beside it.

Source: https://github.com/google-research/t5x, checkpoints.py and examples/t5/network.py. The file
is MessagePack; an array that stands in a folder `target.encoder. ...` (TensorStore's Zarr) is a
description there. The sizes follow from the shapes. What no shape says is as in T5 1.0 and 1.1, mT5
and Flan-T5: relu, or gated gelu, unless a config.gin there or one folder up says otherwise;
distances up to 128; an epsilon of 1e-6.
"""

import pathlib
import re
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.weights import msgpack_file, zarr_array
from tfzoo.weights.stored import StoredTensor, changed, shorten, transposed

FILE, GIN = "checkpoint", "config.gin"

# T5X's mlp_activations -> transformers' feed_forward_proj. Flax's gelu is the tanh form.
_GATED = {
    ("gelu", "linear"): "gated-gelu",
    ("silu", "linear"): "gated-silu",
    ("swish", "linear"): "gated-silu",
    ("relu", "linear"): "gated-relu",
}
_PLAIN = {("relu",): "relu", ("gelu",): "gelu_new", ("silu",): "silu", ("swish",): "silu"}

_SCANNED = re.compile(r"(encoder|decoder)/(encoder|decoder|layers)/")
# Stack -> its modules and their numbers in a block of transformers, and the names of their norms.
_SUBLAYERS = {
    "encoder": ({"attention": 0, "mlp": 1}, ("attention", "mlp")),
    "decoder": (
        {"self_attention": 0, "encoder_decoder_attention": 1, "mlp": 2},
        ("self_attention", "cross_attention", "mlp"),
    ),
}
_MODULES = {
    "attention": "SelfAttention",
    "self_attention": "SelfAttention",
    "encoder_decoder_attention": "EncDecAttention",
    "mlp": "DenseReluDense",
}
_PARTS = {
    "query": "q",
    "key": "k",
    "value": "v",
    "out": "o",
    "wi": "wi",
    "wi_0": "wi_0",
    "wi_1": "wi_1",
    "wo": "wo",
}


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder is one of these; TensorFlow's file of this name is a text."""
    path = folder / FILE
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) >= b"\x80"


def read(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """The values of a Hugging Face config.json, and the tensors by Hugging Face's names.

    Raises:
        UserError: when a file is missing, broken, or of another model than T5.
    """
    stored = _stored(folder)
    scanned = [path for path in stored if _SCANNED.match(path)]
    if scanned:
        raise UserError(
            f"{folder} holds scanned layers, which are one array for all of them and not read. "
            f"Train with scan_layers=False, or convert it with T5X. Received: {scanned[0]}."
        )
    tensors = dict(_as_hugging_face(path, tensor) for path, tensor in stored.items())
    return _config(folder, tensors, stored), tensors


def _stored(folder: pathlib.Path) -> dict[str, StoredTensor]:
    """The model's arrays by their paths, wherever they are."""
    tree = msgpack_file.read(folder / FILE)
    optimizer = tree.get("optimizer")
    if not isinstance(optimizer, dict) or not isinstance(optimizer.get("target"), dict):
        raise UserError(f"{folder / FILE} has no `optimizer/target`, so it is not of T5X.")
    unknown = sorted({*tree, *optimizer} - {"version", "optimizer", "target", "state"})
    if unknown:
        raise UserError(f"{folder / FILE} holds what tfzoo does not know: {shorten(unknown)}.")
    found = {}
    for path, value in _leaves(optimizer["target"]):
        if isinstance(value, StoredTensor):
            found[path] = value
        else:
            place = folder / f"target.{path.replace('/', '.')}"
            if not (place / zarr_array.META).exists():
                raise UserError(f"{folder / FILE} names {path}, but {place} is not there.")
            found[path] = zarr_array.read(place)
    return found


def _leaves(tree: dict[str, Any], prefix: str = "") -> Any:
    for key, value in tree.items():
        # An array in a folder is TensorStore's description of it, or in version 1 a text.
        if isinstance(value, dict) and "driver" not in value:
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _as_hugging_face(path: str, tensor: StoredTensor) -> tuple[str, StoredTensor]:
    """The name and the form that a weight has in transformers; an unknown one is refused later."""
    if path == "token_embedder/embedding":
        return "shared.weight", tensor
    if path == "decoder/logits_dense/kernel":
        return "lm_head.weight", transposed(tensor)
    stack, _, rest = path.partition("/")
    if stack not in _SUBLAYERS:
        return path, tensor
    numbers, norms = _SUBLAYERS[stack]
    if rest == f"{stack}_norm/scale":
        return f"{stack}.final_layer_norm.weight", tensor
    if rest == "relpos_bias/rel_embedding":
        place = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        return place, transposed(tensor)
    found = re.fullmatch(r"layers_(\d+)/pre_(\w+)_layer_norm/scale", rest)
    if found and found[2] in norms:
        return f"{stack}.block.{found[1]}.layer.{norms.index(found[2])}.layer_norm.weight", tensor
    found = re.fullmatch(r"layers_(\d+)/(\w+)/(\w+)/kernel", rest)
    if found and found[2] in numbers and found[3] in _PARTS:
        number, module, part = found.groups()
        place = f"{stack}.block.{number}.layer.{numbers[module]}.{_MODULES[module]}"
        return f"{place}.{_PARTS[part]}.weight", transposed(_joined(tensor, part))
    return path, tensor


def _joined(tensor: StoredTensor, part: str) -> StoredTensor:
    """A kernel of attention with its heads in one axis, as newer T5X stores it."""
    if len(tensor.shape) != 3 or part not in ("query", "key", "value", "out"):
        return tensor
    first, second, third = tensor.shape
    shape = (first * second, third) if part == "out" else (first, second * third)
    return changed(tensor, shape, lambda array: array.reshape(shape))


def _config(
    folder: pathlib.Path, tensors: dict[str, StoredTensor], stored: dict[str, StoredTensor]
) -> dict[str, Any]:
    def shape(name: str) -> tuple[int, int]:
        if name not in tensors or len(tensors[name].shape) != 2:
            raise UserError(
                f"{folder} is not a T5 of T5X: it has no two-dimensional {name}, from which its "
                f"sizes follow. Received: {shorten(sorted(stored), 4)}."
            )
        first, second = tensors[name].shape
        return first, second

    attention = "encoder.block.0.layer.0.SelfAttention"
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in tensors
    wi = f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"
    vocab_size, width = shape("shared.weight")
    num_buckets, num_heads = shape(f"{attention}.relative_attention_bias.weight")
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "vocab_size": vocab_size,
        "d_model": width,
        "d_kv": shape(f"{attention}.q.weight")[0] // num_heads,
        "d_ff": shape(wi)[0],
        "num_layers": _count("encoder", tensors),
        "num_decoder_layers": _count("decoder", tensors),
        "num_heads": num_heads,
        "relative_attention_num_buckets": num_buckets,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": _activation(folder, gated),
        "tie_word_embeddings": "lm_head.weight" not in tensors,
    }


def _activation(folder: pathlib.Path, gated: bool) -> str:
    """The activation in transformers' words."""
    for path in (folder / GIN, folder.resolve().parent / GIN):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found = re.search(r"^[^#\n]*mlp_activations\s*=\s*\(([^)]*)\)", text, re.MULTILINE)
        if found:
            names = tuple(re.findall(r"\w+", found[1]))
            if names not in (_GATED if gated else _PLAIN):
                raise UserError(
                    f"{path}: tfzoo reads a T5 with these weights whose mlp_activations are "
                    f"{' or '.join(map(str, _GATED if gated else _PLAIN))}. Received: {names}."
                )
            return (_GATED if gated else _PLAIN)[names]
    return "gated-gelu" if gated else "relu"


def _count(stack: str, tensors: dict[str, StoredTensor]) -> int:
    numbers = [re.match(rf"{stack}\.block\.(\d+)\.", name) for name in tensors]
    return len({found[1] for found in numbers if found})
