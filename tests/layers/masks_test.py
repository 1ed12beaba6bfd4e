"""Masks are boolean, and numbers in one place."""

import keras
import numpy as np
import pytest

from tfzoo.layers import masks
from tfzoo.layers.masks import CausalMask


def test_tokens_that_are_all_real_need_no_mask():
    assert masks.padding(None) is None


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


def naive(num_queries, num_keys, start, window):
    return [
        [j <= i + start and (window is None or i + start - j < window) for j in range(num_keys)]
        for i in range(num_queries)
    ]


@pytest.mark.parametrize("window", [None, 1, 3, 99])
def test_a_window_leaves_the_nearest_keys(window):
    for start in (0, 2, 5):
        found = np.asarray(masks.causal(4, 9, start, window))
        assert found.tolist() == [naive(4, 9, start, window)]
    rows = np.asarray(masks.causal(2, 9, np.array([3, 0, 7]), window))
    assert rows.tolist() == [naive(2, 9, start, window) for start in (3, 0, 7)]


def test_a_causal_mask_hides_padding_too():
    padding = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], "int32")
    mask = np.asarray(CausalMask()(np.zeros((2, 4, 8), "float32"), padding))
    wanted = np.array(naive(4, 4, 0, None)) & padding[:, None].astype(bool)
    assert np.array_equal(mask, wanted)


@pytest.mark.parametrize("window", [None, 2])
def test_a_packed_causal_mask_hides_other_documents_too(window):
    documents = np.array([[1, 1, 1, 2, 2, 3], [0, 1, 1, 2, 0, 0]], "int32")
    mask = np.asarray(CausalMask(window, packed=True)(np.zeros((2, 6, 8), "float32"), documents))
    wanted = np.array([naive(6, 6, 0, window)] * 2)
    for row, query, key in np.ndindex(wanted.shape):
        same = documents[row, query] == documents[row, key] > 0
        wanted[row, query, key] &= same
    assert np.array_equal(mask, wanted)
    assert not mask[1, [0, 4, 5]].any()  # padding sees nothing, not even itself


def test_a_packed_causal_mask_without_documents_is_the_usual_one():
    x = np.zeros((1, 4, 8), "float32")
    assert np.array_equal(CausalMask(packed=True)(x), CausalMask()(x))


def test_a_causal_mask_has_as_many_keys_as_the_caches():
    cache = ({"cache": (np.zeros((2, 3, 7, 4), "float32"),) * 2},)
    x = np.zeros((2, 2, 8), "float32")
    found = CausalMask(3)(x, caches=cache, start=np.array([1, 4]))
    assert np.asarray(found).tolist() == [naive(2, 7, start, 3) for start in (1, 4)]


def test_the_length_need_not_be_known_while_the_graph_is_drawn():
    inputs = keras.Input((None, 8)), keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, CausalMask(2)(*inputs))
    found = model([np.zeros((1, 5, 8), "float32"), np.ones((1, 5), "int32")])
    assert np.asarray(found).tolist() == [naive(5, 5, 0, 2)]
