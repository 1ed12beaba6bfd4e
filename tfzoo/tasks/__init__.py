"""What a text goes through, in training and in serving: one module a task, named as the task is.

Here, and only here, model, tokenizer, data, loss and metric meet.
"""

import importlib
import pkgutil
from typing import Any

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError

_NOT_TASKS = ("folder", "recipe", "task")


def names() -> list[str]:
    """The tasks there are, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_TASKS)


def task_class(name: str) -> Any:
    """The class of the task called `name`.

    Raises:
        UserError: when there is none, naming the nearest one.
    """
    if name not in names():
        raise UserError(unknown_name("task", name, names()))
    module = importlib.import_module(f"tfzoo.tasks.{name}")
    classes = (c for c in vars(module).values() if isinstance(c, type))
    return next(c for c in classes if getattr(c, "name", None) == name)
