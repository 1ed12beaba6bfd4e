"""One file per architecture. The folder is the registry: a model's name is its module's name."""

import dataclasses
import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tfzoo.core.config import from_dict, unknown_name
from tfzoo.core.errors import UserError

if TYPE_CHECKING:
    from tfzoo.models.model import Model

# The fields of a config that say how many equal blocks there are.
DEPTHS = ("num_layers", "num_encoder_layers", "num_decoder_layers")


def names() -> list[str]:
    """The architectures there are, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "model")


def module(name: str) -> ModuleType:
    """The module of the architecture called `name`.

    Raises:
        UserError: when there is none, naming the nearest one.
    """
    if name not in names():
        raise UserError(unknown_name("model", name, names()))
    return importlib.import_module(f"tfzoo.models.{name}")


def config(name: str, variant: str | None = None, **fields: Any) -> Any:
    """The frozen dataclass of sizes of a variant, with `fields` overriding it.

    Raises:
        UserError: for an unknown model, variant or field, or a field of a wrong type.
    """
    architecture = module(name)
    if variant is not None and variant not in architecture.VARIANTS:
        raise UserError(unknown_name(f"variant of {name}", variant, architecture.VARIANTS))
    values = {**architecture.VARIANTS.get(variant, {}), **fields}
    return from_dict(model_class(name).config_class, values)


def model_class(name: str) -> Any:
    """The `Model` subclass of the architecture called `name`."""
    from tfzoo.models.model import Model

    architecture = module(name)
    classes = [c for c in vars(architecture).values() if isinstance(c, type)]
    return next(
        c for c in classes if issubclass(c, Model) and c.__module__ == architecture.__name__
    )


def build(name: str, variant: str | None = None, **fields: Any) -> "Model":
    """Builds an untrained Keras model.

    Args:
        name: An architecture, one of `names()`.
        variant: A named size of it, such as `small`. None means the dataclass's defaults.
        **fields: Fields of the architecture's config that differ from the variant's.

    Returns:
        A functional Keras model whose `config` attribute is the dataclass it was built from.

    Raises:
        UserError: for an unknown model, variant or field, or a value that makes no model.
    """
    settings = config(name, variant, **fields)
    return model_class(name)(settings, name=name)


def count_parameters(name: str, variant: str | None = None, **fields: Any) -> int:
    """The number of parameters that `build` would give a model, without allocating them.

    Every block of a stack has as many as the next, so only models of one and two blocks are drawn:
    to draw all that a large one has takes a second or two for each.

    Args:
        name: As in `build`.
        variant: As in `build`.
        **fields: As in `build`.
    """
    values = describe(config(name, variant, **fields))
    deep = {field: values[field] for field in DEPTHS if values.get(field, 0) > 2}
    shallow = {**values, **dict.fromkeys(deep, 1)}
    count = _drawn_parameters(name, shallow)
    blocks = [
        (depth - 1) * (_drawn_parameters(name, {**shallow, field: 2}) - count)
        for field, depth in deep.items()
    ]
    return count + sum(blocks)


def _drawn_parameters(name: str, fields: dict[str, Any]) -> int:
    import keras
    from keras.src.backend.common import global_state

    key = "uninitialized_variables"
    waiting = list(global_state.get_global_attribute(key, []))
    with keras.StatelessScope(initialize_variables=False):
        count = build(name, **fields).count_params()
    # Keras (3.15) remembers the variables that got no values, and would give values to all of them,
    # gigabytes by then, the next time that anybody else's get theirs.
    global_state.set_global_attribute(key, waiting)
    return int(count)


def describe(settings: Any) -> dict[str, Any]:
    """A config as plain values, for config.json."""
    return dataclasses.asdict(settings)
