"""Picking one vector out of a sequence."""

import keras
import numpy as np

from tfzoo.layers import pooling
from tfzoo.testing.conformance import near

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
MARKED = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], "int32")
WANTED = np.stack([X[0, 4], X[1, 1], X[2, 4], X[3, 0]])


def test_the_last_marked_vector_is_picked_and_the_first_where_none_is():
    near(pooling.last(X, MARKED), WANTED, 0)
    near(pooling.last(X, MARKED.astype(bool)), WANTED, 0)
    near(pooling.last(X, MARKED * np.arange(1, 6)), WANTED, 0)  # numbers of documents


def test_the_length_need_not_be_known_while_the_graph_is_drawn():
    inputs = keras.Input((None, 3)), keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, pooling.last(*inputs))
    assert model.output.shape == (None, 3)
    near(model([X, MARKED]), WANTED, 0)


def test_it_keeps_the_precision_of_the_vectors():
    found = pooling.Last(dtype="bfloat16")(keras.ops.cast(X, "bfloat16"), MARKED)
    assert found.dtype == "bfloat16"
