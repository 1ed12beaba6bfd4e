"""What a text goes through, in training and in serving: one module a task, named as the task is.

Here, and only here, model, tokenizer, data, loss and metric meet.
"""

import importlib
import pkgutil
from typing import Any

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError

_NOT_TASKS = (
    "folder",
    "generation",
    "recipe",
    "samples",
    "scoring",
    "task",
    "texts",
    "token_loss",
    "writer",
    "zero_shot",
)
_OBJECTIVES = ("denoising", "distillation")  # they train a task of another module


def names() -> list[str]:
    """The tasks there are, sorted."""
    return sorted(set(_modules()) - set(_OBJECTIVES))


def trainable(name: str) -> Any:
    """The module that says how the task or objective called `name` is trained.

    Raises:
        UserError: when there is none, or it cannot be trained.
    """
    known = [n for n in _modules() if n in _OBJECTIVES or hasattr(_module(n), "Data")]
    if name not in _modules():
        raise UserError(unknown_name("task", name, known))
    if name not in known:
        raise UserError(
            f"The task {name} cannot be trained. Expected one of {', '.join(known)}. "
            f"Received: task={name}."
        )
    return _module(name)


def _modules() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_TASKS)


def _module(name: str) -> Any:
    return importlib.import_module(f"tfzoo.tasks.{name}")


def task_class(name: str) -> Any:
    """The class of the task called `name`.

    Raises:
        UserError: when there is none, naming the nearest one.
    """
    if name not in names():
        raise UserError(unknown_name("task", name, names()))
    classes = (c for c in vars(_module(name)).values() if isinstance(c, type))
    return next(c for c in classes if getattr(c, "name", None) == name)
