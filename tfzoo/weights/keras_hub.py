"""KerasHub's presets: config.json, model.weights.h5, task.json, task.weights.h5, and assets.

In Keras' weight files a layer stands under its class, counted in the order of the model:
`layers/transformer_encoder_3/_self_attention_layer/key_dense/vars/0`. Checked against presets that
keras-hub 0.32 wrote. The package itself is not needed.
"""

import functools
import pathlib
import re
from typing import Any

import h5py
import numpy as np

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights.keras_hub_families import FAMILIES, Family
from tfzoo.weights.stored import Array, StoredTensor, changed, transposed

PREFIX = "keras_hub:"
ON_THE_HUB = "hf://keras/"  # where Keras publishes its presets
CONFIG, TASK, TOKENIZER = "config.json", "task.json", "tokenizer.json"
_WEIGHTS, _TASK_WEIGHTS = "model.weights.h5", "task.weights.h5"
_SAYS_NOTHING = {"name", "trainable", "dtype", "backbone", "preprocessor", "dropout", "hidden_dim"}
# Tasks whose heads have no weights of their own.
_PLAIN_TASKS = ("Backbone", "CausalLM", "Seq2SeqLM", "TextEmbedder")
_ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu_python",  # because gated-gelu means gelu_new to transformers
    "gelu_approximate": "gelu_new",
    "keras_hub>gelu_approximate": "gelu_new",
    "silu": "silu",
}

Tensors = dict[str, StoredTensor]


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder is one of these."""
    path = folder / CONFIG
    values = json_file.read_object(path) if path.exists() else {}
    return "model_type" not in values and isinstance(values.get("class_name"), str)


def read(folder: pathlib.Path) -> tuple[dict[str, Any], Tensors]:
    """The values of a Hugging Face config.json, and the tensors by Hugging Face's names.

    Raises:
        UserError: when a file is missing or broken, or for a model, task or option that is not
            supported.
    """
    class_name, given = _described(folder / CONFIG)
    family = FAMILIES.get(class_name.removesuffix("Backbone"))
    if family is None or not class_name.endswith("Backbone"):
        raise UserError(
            f"{folder / CONFIG}: tfzoo reads KerasHub's {', '.join(FAMILIES)}. "
            f"Received: class_name={class_name!r}."
        )
    values = _config(folder / CONFIG, family, given)
    tensors = _named(_read_file(folder / _WEIGHTS), family.parts, int(given["num_layers"]))
    tensors = _as_hugging_face(tensors, values)
    if (folder / TASK).exists():
        _add_head(folder, family, class_name.removesuffix("Backbone"), values, tensors)
    return values, tensors


def tokenizer_files(folder: pathlib.Path) -> dict[str, Any]:
    """The tokenizer's files by the names that they have in transformers: paths, or what they say.

    Raises:
        UserError: when tokenizer.json is broken or of no family that we read.
    """
    class_name, given = _described(folder / TOKENIZER)
    family = FAMILIES.get(class_name.removesuffix("Tokenizer"))
    if family is None:
        raise UserError(
            f"{folder / TOKENIZER}: tfzoo reads the tokenizers of {', '.join(FAMILIES)}. "
            f"Received: class_name={class_name!r}."
        )
    config: dict[str, Any] = {"tokenizer_class": family.tokenizer}
    names = {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    config |= {theirs: given[key] for key, theirs in names.items() if key in given}
    if given.get("add_prefix_space"):
        config["add_prefix_space"] = True
    assets = folder / "assets/tokenizer"
    files: dict[str, Any] = {theirs: assets / ours for ours, theirs in family.files.items()}
    return {**files, "tokenizer_config.json": config}


def _described(path: pathlib.Path) -> tuple[str, dict[str, Any]]:
    values = json_file.read_object(path)
    class_name, given = values.get("class_name"), values.get("config")
    if not isinstance(class_name, str) or not isinstance(given, dict):
        raise UserError(f"{path} is not of KerasHub: it says no `class_name` with a `config`.")
    return class_name, given


# config.json.


def _config(path: pathlib.Path, family: Family, given: dict[str, Any]) -> dict[str, Any]:
    known = {*family.keys, "num_heads", "intermediate_dim", "activation", "use_gated_activation"}
    for key, value in given.items():
        if key not in known and key not in _SAYS_NOTHING:
            raise UserError(f"{path} has the key `{key}`, which tfzoo does not know: {value!r}.")
    for key in ("num_layers", "num_heads", "hidden_dim", "intermediate_dim"):
        if type(given.get(key)) is not int or given[key] < 1:
            raise UserError(
                f"{path}: {key} must be a whole number above 0. Received: {given.get(key)!r}."
            )
    values = {"tie_word_embeddings": True, **family.values}
    for key, theirs in family.keys.items():
        if given.get(key) is not None:
            values |= dict.fromkeys(theirs, given[key])
    width = given["hidden_dim"]
    match values["model_type"]:
        case "roberta":
            values["max_position_embeddings"] = given.get("max_sequence_length", 512) + 2
        case "bloom" if given["intermediate_dim"] != 4 * width:
            raise UserError(
                f"{path}: BLOOM's intermediate_dim is four times its hidden_dim. "
                f"Received: {given['intermediate_dim']}, {width}."
            )
        case "t5":
            values.setdefault("d_kv", width // given["num_heads"])
            values["feed_forward_proj"] = _feed_forward(path, given)
    return values


def _feed_forward(path: pathlib.Path, given: dict[str, Any]) -> str:
    name = given.get("activation", "relu")
    name = name.get("config", name.get("registered_name")) if isinstance(name, dict) else name
    if name not in list(_ACTIVATIONS):
        raise UserError(
            f"{path}: tfzoo reads the activations {', '.join(_ACTIVATIONS)}. "
            f"Received: activation={name!r}."
        )
    theirs = _ACTIVATIONS[name]
    if not given.get("use_gated_activation", True):
        return theirs
    return "gated-gelu" if theirs == "gelu_new" else f"gated-{theirs}"


# Weights.


def _read_file(path: pathlib.Path) -> Tensors:
    """The tensors of a file of Keras by place, such as `layers/dense/vars/0`."""
    found: Tensors = {}

    def visit(place: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not place.startswith("optimizer/"):
            is_float = item.dtype in (np.float32, np.float16)
            read_it = functools.partial(_read_tensor, path, place, is_float)
            shape = tuple(item.shape)
            found[place] = StoredTensor(place, str(item.dtype), shape, is_float, read_it)

    if not path.exists():
        raise UserError(f"{path} is missing; a preset in several files is not read.")
    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError) as error:
        raise _broken(path, error) from None
    return found


def _named(stored: Tensors, parts: Any, num_layers: int = 0) -> Tensors:
    """The tensors by the names of transformers; one that no part is about keeps its own."""
    modules = {}
    for place, module in parts.items():
        for i in range(num_layers if "{i}" in module else 1):
            numbers = {"i": _numbered(i), "after": _numbered(i + num_layers)}
            modules[place.format(**numbers)] = module.format(i=i)
    found = {}
    for place, tensor in stored.items():
        layer, _, number = place.rpartition("/vars/")
        if layer not in modules:
            found[place] = tensor
            continue
        is_kernel = number == "0" and re.search(r"_dense$|/dense(_\d+)?$|_projector$", layer)
        is_bias = number == "1" or layer == "layers/masked_lm_head"
        last = "bias" if is_bias else "kernel" if is_kernel else "weight"
        found[f"{modules[layer]}.{last}"] = _without_heads(tensor, layer)
    return found


def _numbered(i: int) -> str:
    return f"_{i}" if i else ""


def _without_heads(tensor: StoredTensor, layer: str) -> StoredTensor:
    """A weight of attention with heads and their width in one axis."""
    rank = len(tensor.shape)
    if rank < 2 or not layer.endswith("_dense") or (rank == 2 and "_attention_" not in layer):
        return tensor
    if rank == 3:
        first, second, third = tensor.shape
        is_output = layer.endswith("output_dense")
        shape: tuple[int, ...] = (first * second, third) if is_output else (first, second * third)
    elif layer.endswith("output_dense"):
        return tensor
    else:
        shape = (tensor.shape[0] * tensor.shape[1],)
    return changed(tensor, shape, lambda array: array.reshape(shape))


def _as_hugging_face(tensors: Tensors, values: dict[str, Any]) -> Tensors:
    """The form of the weights in transformers, and what it has besides."""
    kind = values["model_type"]
    found: Tensors = {}
    for name, tensor in tensors.items():
        if name.endswith(".kernel"):
            tensor = tensor if kind == "gpt2" else transposed(tensor)
            name = name.removesuffix("kernel") + "weight"
        elif kind in ("bart", "roberta") and "position" in name and len(tensor.shape) == 2:
            # Their first two rows are of padding, which computes nothing that counts.
            shape = (tensor.shape[0] + 2, tensor.shape[1])
            tensor = changed(tensor, shape, lambda array: np.pad(array, ((2, 0), (0, 0))))
        found[name] = tensor
    match kind:
        case "roberta":
            width = values["hidden_size"]
            found["roberta.embeddings.token_type_embeddings.weight"] = _zeros((1, width))
        case "bart":
            found["final_logits_bias"] = _zeros((1, values["vocab_size"]))
        case "gpt2":
            _join_heads(found, "transformer.h.{i}.attn.{part}", "transformer.h.{i}.attn.c_attn", -1)
        case "bloom":
            place = "transformer.h.{i}.self_attention"
            _join_heads(found, place + ".{part}", place + ".query_key_value", values["n_head"])
        case "t5":
            _adjust_t5(found, values)
    return found


def _join_heads(found: Tensors, parts: str, whole: str, num_heads: int) -> None:
    """Puts queries, keys and values together: one after another, or (BLOOM) head for head."""
    for i in range(sum(1 for name in found if name.endswith(".query.weight"))):
        for last in ("weight", "bias"):
            names = [f"{parts}.{last}".format(i=i, part=p) for p in ("query", "key", "value")]
            if not all(name in found for name in names):
                continue  # listed as missing later
            three = [found.pop(name) for name in names]
            joined = _joined(three, num_heads)
            found[f"{whole}.{last}".format(i=i)] = joined


def _joined(three: list[StoredTensor], num_heads: int) -> StoredTensor:
    first = three[0]
    if num_heads < 0:
        shape = (*first.shape[:-1], sum(t.shape[-1] for t in three))
    else:
        shape = (sum(t.shape[0] for t in three), *first.shape[1:])

    def read_it() -> Array:
        arrays = [tensor.read() for tensor in three]
        if num_heads < 0:
            return np.concatenate(arrays, -1)
        by_head = [a.reshape(num_heads, -1, *a.shape[1:]) for a in arrays]
        return np.stack(by_head, 1).reshape(shape)

    name = first.name.replace("query", "{query,key,value}")
    return StoredTensor(name, first.dtype, shape, all(t.is_float for t in three), read_it)


def _adjust_t5(found: Tensors, values: dict[str, Any]) -> None:
    if not values["feed_forward_proj"].startswith("gated-"):
        for name in [name for name in found if ".wi_0." in name]:
            found[name.replace(".wi_0.", ".wi.")] = found.pop(name)
    if "shared.bias" in found:  # the second weight of the embedding is the table of the output
        found["lm_head.weight"] = transposed(found.pop("shared.bias"))


def _zeros(shape: tuple[int, ...]) -> StoredTensor:
    return StoredTensor("zeros", "float32", shape, True, lambda: np.zeros(shape, np.float32))


def _add_head(
    folder: pathlib.Path, family: Family, name: str, values: dict[str, Any], tensors: Tensors
) -> None:
    class_name, given = _described(folder / TASK)
    kind = class_name.removeprefix(name)
    kind = "TextClassifier" if kind == "Classifier" else kind  # of KerasNLP
    if kind in _PLAIN_TASKS:
        return
    path = folder / TASK
    if kind not in family.heads:
        raise UserError(
            f"{path}: of {name} tfzoo reads {', '.join((*family.heads, *_PLAIN_TASKS))}. Remove "
            f"{TASK} for the backbone alone. Received: class_name={class_name!r}."
        )
    if given.get("activation", "linear") not in ("linear", None):
        raise UserError(
            f"{path}: tfzoo reads activation=linear. Received: {given['activation']!r}."
        )
    head = family.heads[kind]
    stored = _named(_read_file(folder / _TASK_WEIGHTS), head.parts)
    tensors |= _as_hugging_face(stored, {**values, "model_type": "head"})
    values["architectures"] = [head.class_name]
    if kind == "TextClassifier":
        values["num_labels"] = given.get("num_classes")


def _read_tensor(path: pathlib.Path, place: str, is_float: bool) -> Array:
    try:
        with h5py.File(path, "r") as file:
            array: Array = file[place][()]
    except (OSError, KeyError, RuntimeError) as error:
        raise _broken(path, error) from None
    return array.astype(np.float32, copy=False) if is_float else array


def _broken(path: pathlib.Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UserError(f"{path} cannot be read; it may be cut off: {reason}.")
