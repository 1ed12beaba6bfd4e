"""For which runtime a graph is drawn, where one product or update has a better form in one."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Literal

Runtime = Literal["tensorflow", "tflite"]

_runtime: contextvars.ContextVar[Runtime] = contextvars.ContextVar("runtime", default="tensorflow")


@contextlib.contextmanager
def drawing_for(runtime: Runtime) -> Iterator[None]:
    """What is drawn inside is for this runtime; outside, and in other threads, for TensorFlow."""
    token = _runtime.set(runtime)
    try:
        yield
    finally:
        _runtime.reset(token)


def is_tflite() -> bool:
    """Whether what is being drawn is for TFLite."""
    return _runtime.get() == "tflite"
