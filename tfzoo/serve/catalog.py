"""Which models a server serves: a folder of versions, a folder of models, or a models.config file.

    BASE/1/saved_model.pb           BASE is one model
    BASE/NAME/1/saved_model.pb      BASE holds models
    BASE (a file)                   model_config_list { config { name: "n" base_path: "/m/n" } }

Source: tensorflow/serving, config/model_server_config.proto; g3doc/serving_config.md.
"""

import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tfzoo.core.errors import UserError

_TOKEN = re.compile(
    r'\s+|#[^\n]*|(?P<word>[\w.+-]+)|(?P<text>"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')|(?P<mark>[{}:;,])'
)
_NAME = re.compile(r"[^/:]+")


def find_models(
    base_path: str | os.PathLike[str], name: str | None = None
) -> dict[str, pathlib.Path]:
    """Returns the folder of versions of each model to serve, by the model's name.

    Args:
        base_path: see the picture above.
        name: the name of the one model to serve; None for the folder's own name, or for all.

    Raises:
        UserError: when there is no such folder, no version in it, or no such name.
    """
    base = pathlib.Path(base_path)
    if base.is_file():
        models = read_config(base)
        wanted = _chosen(models, name, base)
    elif not base.is_dir():
        raise UserError(f"no such folder or models.config file. Received: base_path={str(base)!r}")
    elif list(versions(base)):
        wanted = {name or base.resolve().name: base}
    elif (base / "saved_model.pb").is_file():
        raise UserError(
            "a version folder was given. Expected the folder that holds it, which is named for the "
            f"model. Received: base_path={str(base)!r}. Try {str(base.resolve().parent)!r}"
        )
    else:
        folders = (child for child in sorted(base.iterdir()) if child.is_dir())
        wanted = _chosen({f.name: f for f in folders if list(versions(f))}, name, base)
    for model, folder in wanted.items():
        if not _NAME.fullmatch(model):
            raise UserError(f"a model's name may not hold '/' or ':'. Received: name={model!r}")
        if not list(versions(folder)):
            raise UserError(
                f"model {model!r} has no version. Expected folders named by whole numbers, such as "
                f"{str(folder / '1')!r}. Received: base_path={str(folder)!r}"
            )
    return wanted


def versions(folder: pathlib.Path) -> Iterator[tuple[int, pathlib.Path]]:
    """Yields (number, folder) of every version: a subfolder named by a whole number."""
    try:
        children = list(folder.iterdir())
    except OSError:
        return
    for child in children:
        text = child.name
        if text.isascii() and text.isdigit() and int(text) < 2**63 and child.is_dir():
            yield int(text), child


def read_config(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns base folders by model name from TensorFlow Serving's models.config.

    Relative paths count from the file's folder. Version policies and labels are refused: the
    newest version is what this server serves.

    Raises:
        UserError: when the file is not of that form.
    """
    try:
        tokens = _tokens(path.read_text(encoding="utf-8"))
        content = _message(tokens, top=True)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"cannot read the models.config file: {error}. Expected "
            'model_config_list { config { name: "NAME" base_path: "FOLDER" } }. '
            f"Received: file={str(path)!r}"
        ) from None
    models = {}
    for block in content.get("model_config_list", []):
        for config in block.get("config", []) if isinstance(block, Mapping) else []:
            unknown = set(config) - {"name", "base_path", "model_platform"}
            if unknown:
                raise UserError(
                    "models.config has keys that this server does not know. Expected name, "
                    f"base_path, model_platform. Received: {sorted(unknown)} in {str(path)!r}"
                )
            name, base = (config.get(key, [""])[-1] for key in ("name", "base_path"))
            if not name or not base or name in models:
                raise UserError(
                    "every config of a models.config file needs a name of its own and a base_path. "
                    f"Received: name={name!r}, base_path={base!r} in {str(path)!r}"
                )
            models[name] = path.parent / base
    return models


def _chosen(
    models: Mapping[str, pathlib.Path], name: str | None, base: pathlib.Path
) -> dict[str, pathlib.Path]:
    if name is not None and name in models:
        return {name: models[name]}
    if name is not None or not models:
        raise UserError(
            f"no {'model' if name is None else repr(name)} there. Expected folders of versions, "
            f"such as MODEL/1/saved_model.pb; found models: {sorted(models)}. "
            f"Received: base_path={str(base)!r}"
        )
    return dict(models)


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise ValueError(f"line {line}: {text[position : position + 20]!r}")
        if match.lastgroup:
            yield match.group()
        position = match.end()


def _message(tokens: Iterator[str], top: bool = False) -> dict[str, list[Any]]:
    """Returns a text-format message as lists of values by field."""
    out: dict[str, list[Any]] = {}
    for key in tokens:
        if key in ";,":
            continue
        if key == "}":
            if top:
                raise ValueError("one } too many")
            return out
        token = next(tokens, "")
        if token == ":":
            token = next(tokens, "")
        if not token:
            raise ValueError("it ends too early")
        if token == "{":
            out.setdefault(key, []).append(_message(tokens))
        elif token[0] in "\"'":
            out.setdefault(key, []).append(token[1:-1].replace('\\"', '"').replace("\\\\", "\\"))
        else:
            out.setdefault(key, []).append(token)
    if not top:
        raise ValueError("a } is missing")
    return out
