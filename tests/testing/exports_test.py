"""Exports of single functions must be caught when they are wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.testing import exports
from tfzoo.testing.exports import Exported

pytestmark = pytest.mark.slow
REQUESTS = [{"x": np.ones((1, 2), "float32")}, {"x": np.zeros((3, 2), "float32")}]


@pytest.fixture(scope="module")
def model():
    found = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "relu", name="dense")])
    found.layers[0].kernel.assign(np.arange(6.0).reshape(2, 3))
    return found


def test_right_exports_pass(model, tmp_path):
    functions = {"forward": Exported(lambda x: {"y": model(x)}, REQUESTS)}
    exports.check_saved_model(model, functions, tmp_path / "saved")
    exports.check_tflite(model, functions, tmp_path)


class Unlike:
    """Computes something else in a graph than eagerly."""

    def __call__(self, x):
        return {"y": x if tf.executing_eagerly() else x + 1e-3}


def test_an_export_that_computes_something_else_fails(model, tmp_path):
    functions = {"forward": Exported(Unlike(), REQUESTS)}
    with pytest.raises(AssertionError, match=r"largest difference 0\.001"):
        exports.check_saved_model(model, functions, tmp_path / "saved")
    with pytest.raises(AssertionError, match=r"largest difference 0\.001"):
        exports.check_tflite(model, functions, tmp_path)


def test_an_export_with_an_xla_operation_fails(model, tmp_path):
    compiled = tf.function(lambda x: {"y": x + 1}, jit_compile=True)
    functions = {"forward": Exported(lambda x: compiled(x), REQUESTS)}
    with pytest.raises(Exception, match="XLA"):
        exports.check_saved_model(model, functions, tmp_path / "saved")
