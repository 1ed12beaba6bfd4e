"""Layer norm against the formula."""

import numpy as np

from tfzoo.layers.normalization import LayerNorm
from tfzoo.testing.conformance import near


def test_it_is_the_formula():
    x = np.random.default_rng(0).normal(3.0, 5.0, (2, 3, 16)).astype("float32")
    layer = LayerNorm(1e-5)
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2, 16))
    layer.beta.assign(np.linspace(-1, 1, 16))
    wide = x.astype("float64")
    unit = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    near(layer(x), unit * np.linspace(0.5, 2, 16) + np.linspace(-1, 1, 16), 1e-5)


def test_it_computes_in_float32_under_float16():
    x = np.full((1, 4), 300.0, "float16")  # the sum of squares overflows float16
    assert np.isfinite(np.asarray(LayerNorm(dtype="mixed_float16")(x))).all()


def test_epsilon_is_added_to_the_variance_and_not_to_its_root():
    x = np.array([[-0.001, 0.001]], "float32")  # variance 1e-6
    near(LayerNorm(1e-2)(x), x / np.sqrt(1e-6 + 1e-2), 1e-6)
