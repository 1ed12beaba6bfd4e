"""A readable zoo of transformers for people who run TensorFlow.

`tfzoo.build("bert", "small")` gives an untrained Keras model, `tfzoo.load("FOLDER")` a trained one
with its tokenizer. Everything heavy is imported on first use: `import tfzoo` takes milliseconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfzoo.models import build as build
    from tfzoo.tasks.folder import load as load

__version__ = "0.1.0"

_LAZY = {"build": "tfzoo.models", "load": "tfzoo.tasks.folder"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tfzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
