"""Turns YAML into frozen dataclasses, refusing anything it does not understand.

An experiment is one dataclass tree. `from_dict` fills it from a mapping, `with_overrides` applies
`key.path=value` strings from the command line, and both name the nearest known key when one is
misspelled.
"""

import copy
import dataclasses
import difflib
import math
import pathlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from tfzoo.core.errors import UserError

C = TypeVar("C")


class ConfigError(UserError):
    """A config names a key, type or value that tfzoo does not accept."""


def read_yaml(path: str | pathlib.Path) -> dict[str, Any]:
    """Reads one YAML mapping.

    Raises:
        ConfigError: when the file is missing, is not UTF-8, not YAML, or not a mapping, or has a
            key twice.
    """
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        repeated = _repeated(yaml.compose(text, yaml.SafeLoader))
    except FileNotFoundError:
        raise ConfigError(f"No such config file. Received: {path}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start} is invalid.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError(f"{where} is not valid YAML: {problem}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a YAML mapping. Received: {type(values).__name__}.")
    if repeated is not None:
        where = f"{path}:{repeated.start_mark.line + 1}"
        raise ConfigError(f"{where} gives `{repeated.value}` a second time. Keep one of the two.")
    return values


def from_dict(cls: type[C], values: Mapping[str, Any], path: str = "") -> C:
    """Builds `cls` from `values`, recursing into fields that are dataclasses.

    Raises:
        ConfigError: for an unknown key, a missing required key, or a value whose type is not the
            field's. The message carries the full dotted path.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls))}
    for key in values:
        if key not in fields:
            raise ConfigError(unknown_name("config key", f"{path}{key}", fields))
    kwargs = {k: _coerce(hints[k], v, f"{path}{k}") for k, v in values.items()}
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in kwargs:
            raise ConfigError(f"`{path}{name}` is required and was not given.")
    try:
        return cls(**kwargs)
    except ConfigError:
        raise
    except UserError as error:
        raise ConfigError(f"{path.rstrip('.')}: {error}" if path else str(error)) from None


def to_dict(config: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: plain dicts, lists and scalars that YAML and JSON can hold."""
    plain: dict[str, Any] = _plain(config)
    return plain


def with_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns a copy of `values` with each `a.b.c=yaml` assignment applied in order.

    Raises:
        ConfigError: when an override has no `=`, an empty key, or walks through a plain value.
    """
    out = copy.deepcopy(dict(values))
    for text in overrides:
        key, separator, raw = text.partition("=")
        if not separator or not all(key.split(".")):
            raise ConfigError(f"Expected an override like `train.steps=100`. Received: {text!r}.")
        *parents, leaf = key.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"`{parent}` in `{key}` is a single value, not a group of keys.")
        try:
            node[leaf] = yaml.safe_load(raw)
        except yaml.YAMLError:
            raise ConfigError(
                f"The value of `{key}` is not valid YAML. Received: {raw!r}."
            ) from None
    return out


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The one-line message for a name that is not in `known`, with the nearest one that is."""
    known, name = sorted(known), " ".join(name.split())
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(known)}."
    return f"`{name}` is not a {kind}.{hint}"


def _repeated(node: Any) -> Any:
    """The first key that a mapping has twice, a YAML node, or None. YAML itself takes the last."""
    keys, inner = set(), []
    if isinstance(node, yaml.MappingNode):
        inner = [value for _, value in node.value]
        for key, _ in node.value:
            if key.value in keys:
                return key
            keys.add(key.value if isinstance(key.value, str) else id(key))
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    return next((found for found in map(_repeated, inner) if found is not None), None)


def _coerce(hint: Any, value: Any, path: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _coerce_any([a for a in args if a is not type(None)], value, path)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(unknown_name(f"value of `{path}`", str(value), map(str, args)))
        return value
    if dataclasses.is_dataclass(hint):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"`{path}` must be a group of keys. Received: {value!r}.")
        return from_dict(typing.cast(Any, hint), value, f"{path}.")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"`{path}` must be a list. Received: {value!r}.")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise ConfigError(f"`{path}` must hold {len(args)} values. Received: {value!r}.")
        return tuple(_coerce(args[0], v, f"{path}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"`{path}` must be a group of keys. Received: {value!r}.")
        return {str(k): _coerce(args[1], v, f"{path}.{k}") for k, v in value.items()}
    return _scalar(hint, value, path)


def _coerce_any(hints: list[Any], value: Any, path: str) -> Any:
    for hint in hints[:-1]:
        try:
            return _coerce(hint, value, path)
        except ConfigError:
            continue
    try:
        return _coerce(hints[-1], value, path)
    except ConfigError:
        if len(hints) == 1 or not all(isinstance(hint, type) for hint in hints):
            raise
        names = " or ".join(hint.__name__ for hint in hints)
        kind = type(value).__name__
        raise ConfigError(f"`{path}` must be {names}. Received: {value!r} ({kind}).") from None


def _scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float and isinstance(value, str):
        value = _number(value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(
            f"`{path}` must be {hint.__name__}. Received: {value!r} ({type(value).__name__})."
        )
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"`{path}` must be a finite number. Received: {value!r}.")
    return value


def _number(text: str) -> Any:
    # YAML 1.1 reads `1e-4` (no dot) as a string; people write it all the time.
    try:
        return float(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, int | float | bool | str | None) else str(value)
