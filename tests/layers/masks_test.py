"""Masks are boolean, and numbers in one place."""

import numpy as np

from tfzoo.layers import masks


def test_padding_lets_every_query_see_the_real_keys():
    mask = np.asarray(masks.padding(np.array([[1, 1, 0]])))
    assert mask.dtype == bool
    assert mask.tolist() == [[[True, True, False]]]


def test_causal_counts_queries_from_start():
    assert np.asarray(masks.causal(2, 4, 1)).astype(int).tolist() == [[[1, 1, 0, 0], [1, 1, 1, 0]]]


def test_additive_value_survives_float16_and_vanishes_in_a_softmax():
    bias = np.asarray(masks.additive(np.array([[[True, False]]])))
    assert bias.shape == (1, 1, 1, 2)
    assert bias.ravel().tolist() == [0.0, -1e4]
    assert np.isfinite(bias.astype("float16")).all()
    assert np.exp(np.float32(-1e4)) == 0
