"""The feed-forward network against the formula."""

import math

import numpy as np
import pytest

from tfzoo.layers.feed_forward import FeedForward
from tfzoo.testing.conformance import fill, near


def test_it_is_two_dense_layers_around_the_activation():
    layer = FeedForward(6, "gelu")
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer.build(x.shape)
    fill(layer)
    expand, bias, contract, out_bias = (np.asarray(w, "float64") for w in layer.weights)
    inner = x @ expand + bias
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    near(layer(x), inner @ contract + out_bias, 1e-6)


def test_a_gated_one_multiplies_an_activated_layer_with_a_linear_one():
    layer = FeedForward(6, "relu", gated=True, use_bias=False)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer.build(x.shape)
    fill(layer)
    weights = {w.path.split("/")[-2]: np.asarray(w, "float64") for w in layer.weights}
    assert set(weights) == {"gate", "linear", "contract"}
    inner = np.maximum(x @ weights["gate"], 0) * (x @ weights["linear"])
    near(layer(x), inner @ weights["contract"], 1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_elements_between_the_layers_are_dropped_in_training(gated):
    layer = FeedForward(60, "silu", gated=gated, dropout=0.5)
    x = np.ones((2, 3, 4), "float32")
    layer.build(x.shape)
    fill(layer)
    near(layer(x, training=False), layer(x), 0)
    assert np.abs(layer(x, training=True) - layer(x)).max() > 1e-3


@pytest.mark.parametrize("gated", [False, True])
def test_float32_sums_go_beyond_float16(gated):
    x = np.full((1, 2, 4), 100.0, "float32")
    found = {}
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
        layer = FeedForward(6, "relu", gated=gated, float32_sums=True, dtype=dtype)
        layer.build(x.shape)
        for weight in layer.weights:
            weight.assign(np.ones(weight.shape))
        found[dtype] = layer(x)
    assert np.max(found["float32"]) > (65504 if gated else 2000)
    assert (found["mixed_float16"].dtype, found["mixed_bfloat16"].dtype) == ("float32", "bfloat16")
    near(found["mixed_float16"], found["float32"], 1e-3 * np.max(found["float32"]))


def test_without_a_range_kernels_begin_with_the_same_size_of_outputs():
    layer = FeedForward(400, initializer_range=None)
    layer.build((1, 100))
    kernels = [np.asarray(layer.expand.kernel), np.asarray(layer.contract.kernel)]
    near([kernel.std() * kernel.shape[0] ** 0.5 for kernel in kernels], [1, 1], 0.05)
