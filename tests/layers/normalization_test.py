"""Layer norm and root-mean-square norm against their formulas."""

import numpy as np

from tfzoo.layers.normalization import LayerNorm, RMSNorm, norm
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


def test_rms_norm_is_the_formula():
    x = np.random.default_rng(0).normal(3.0, 5.0, (2, 3, 16)).astype("float32")
    layer = RMSNorm(1e-5)
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2, 16))
    wide = x.astype("float64")
    unit = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5)
    near(layer(x), unit * np.linspace(0.5, 2, 16), 1e-5)


def test_rms_norm_adds_epsilon_to_the_mean_square_and_not_to_its_root():
    x = np.array([[0.001, 0.001]], "float32")  # mean square 1e-6
    near(RMSNorm(1e-2)(x), x / np.sqrt(1e-6 + 1e-2), 1e-6)


def test_rms_norm_takes_numbers_beyond_float16():
    x = np.array([[3e5, -3e5, 0.0, 0.0]], "float32")
    found = RMSNorm(dtype="mixed_float16")(x)
    assert found.dtype == "float16"
    near(found, [[2**0.5, -(2**0.5), 0, 0]], 1e-3)


def test_a_norm_is_found_by_its_name():
    assert type(norm("layer", 1e-3)) is LayerNorm
    assert type(norm("rms", 1e-3)) is RMSNorm
    assert norm("rms", 1e-3).epsilon == 1e-3
