"""The feed-forward network against the formula."""

import math

import numpy as np

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
