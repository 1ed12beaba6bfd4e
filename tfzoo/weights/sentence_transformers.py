"""The files by which sentence-transformers says how a text's vector is made of its tokens'."""

import pathlib
from collections.abc import Mapping
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError

MODULES = "modules.json"
_CONFIG = "sentence_bert_config.json"
_ROOT_CONFIG = "config_sentence_transformers.json"

# Keys of the encoder's config (versions 2 to 6) -> the values accepted, or None for any.
_ENCODER_KEYS: Mapping[str, tuple[Any, ...] | None] = {
    "max_seq_length": None,
    "do_lower_case": None,
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": (
        {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    ),
}
# Keys of the normalizing module; older versions write none.
_NORMALIZE_KEYS: Mapping[str, tuple[Any, ...] | None] = {
    "module_input_name": ("sentence_embedding",),
    "module_output_name": ("sentence_embedding", None),
}
_POOLING_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SUPPORTED = ("mean", "cls")


def read(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """Where the encoder lies, and options of the embedding task: pooling, normalize, max_length.

    Without `modules.json` the folder is the encoder and the options are empty.

    Raises:
        UserError: for a module, pooling or option that is not supported, by its name.
    """
    path = folder / MODULES
    if not path.exists():
        return folder, {}
    modules = json_file.read(path)
    try:
        kinds = [(str(m["type"]).rpartition(".")[2], _inside(folder, m["path"])) for m in modules]
    except (KeyError, TypeError):
        raise UserError(f"{path} must list modules, each with `type` and `path`.") from None
    names = [kind for kind, _ in kinds]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UserError(
            f"{path}: tfzoo supports Transformer, Pooling and then perhaps Normalize. "
            f"Received: {', '.join(names) or 'no modules'}."
        )
    _check_prompt(folder)
    if len(kinds) == 3 and (kinds[2][1] / "config.json").exists():
        _read_keys(kinds[2][1] / "config.json", _NORMALIZE_KEYS)
    encoder = kinds[0][1]
    options = {
        "pooling": _pooling(kinds[1][1] / "config.json"),
        "normalize": len(kinds) == 3,
        **_encoder_options(encoder),
    }
    return encoder, options


def write(folder: pathlib.Path, width: int, pooling: str, normalize: bool, max_length: int) -> None:
    """Writes the files that `read` reads, into an existing folder that holds the encoder.

    Raises:
        OSError: when a file cannot be written.
    """
    names = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(names)
    ]
    json_file.write(folder / MODULES, modules)
    json_file.write(folder / _CONFIG, {"max_seq_length": max_length, "do_lower_case": False})
    for path in paths[1 : len(names)]:
        (folder / path).mkdir()
    modes = {key: mode == pooling for key, mode in _POOLING_MODES.items()}
    json_file.write(folder / "1_Pooling/config.json", {"word_embedding_dimension": width, **modes})


def _pooling(path: pathlib.Path) -> str:
    values = json_file.read_object(path)
    known = {"word_embedding_dimension", "embedding_dimension", "include_prompt", "pooling_mode"}
    for key in values:
        if key not in known and key not in _POOLING_MODES:
            raise UserError(f"{path} has the key `{key}`, which tfzoo does not know.")
    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _POOLING_MODES.items() if values.get(key)] or ["mean"]
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in _SUPPORTED:
        raise UserError(
            f"{path}: tfzoo supports one pooling, {' or '.join(_SUPPORTED)}. "
            f"Received: {', '.join(map(str, modes))}."
        )
    return str(modes[0])


def _encoder_options(encoder: pathlib.Path) -> dict[str, Any]:
    path = encoder / _CONFIG
    values = _read_keys(path, _ENCODER_KEYS) if path.exists() else {}
    if values.get("do_lower_case"):
        raise UserError(f"{path}: do_lower_case=true is not supported; say it in the tokenizer.")
    length = values.get("max_seq_length")
    if length is None:
        return {}
    if type(length) is not int or length < 1:
        raise UserError(f"{path}: max_seq_length must be a whole number. Received: {length!r}.")
    return {"max_length": length}


def _check_prompt(folder: pathlib.Path) -> None:
    path = folder / _ROOT_CONFIG
    prompt = json_file.read_object(path).get("default_prompt_name") if path.exists() else None
    if prompt is not None:
        raise UserError(
            f"{path}: a prompt put in front of every text is not supported. "
            f"Received: default_prompt_name={prompt!r}."
        )


def _read_keys(path: pathlib.Path, keys: Mapping[str, tuple[Any, ...] | None]) -> dict[str, Any]:
    values = json_file.read_object(path)
    for key, value in values.items():
        if key not in keys:
            raise UserError(f"{path} has the key `{key}`, which tfzoo does not know.")
        accepted = keys[key]
        if accepted is not None and value not in accepted:
            raise UserError(
                f"{path}: tfzoo supports only {key} = {accepted[0]}. Received: {key}={value!r}."
            )
    return values


def _inside(folder: pathlib.Path, path: Any) -> pathlib.Path:
    # modules.json comes from strangers: it may not lead out of the folder.
    inside = isinstance(path, str) and pathlib.PurePath(path).name == path
    if not inside or path == ".." or "\\" in path:
        raise UserError(f"{folder / MODULES} must name folders inside. Received: path={path!r}.")
    return folder / str(path)
