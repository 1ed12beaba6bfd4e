"""TensorFlow's deterministic operations, switched on for a while."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

# TensorFlow 2.21 has a public way to switch it on and none to switch it off; left on, every later
# random operation without a seed is an error, in code that never asked for it.
from tensorflow.python.util import _pywrap_determinism


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within it, when `wanted`, every operation gives the same bits each time."""
    before = _pywrap_determinism.is_enabled()
    if wanted:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        _pywrap_determinism.enable(before)
