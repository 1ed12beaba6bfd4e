"""Attention against the formula written out in numpy."""

import keras
import numpy as np
import pytest

from tfzoo.layers import masks
from tfzoo.layers.attention import MultiHeadAttention
from tfzoo.testing.conformance import fill, near


def reference(x, kernel, bias, out_kernel, out_bias, heads, allowed, extra=0.0):
    batch, length, _ = x.shape
    query, key, value = np.split(x @ kernel + bias, 3, axis=-1)
    width = query.shape[-1] // heads
    split = [
        np.transpose(a.reshape(batch, length, heads, width), (0, 2, 1, 3))
        for a in (query, key, value)
    ]
    scores = split[0] @ np.swapaxes(split[1], 2, 3) / np.sqrt(width) + extra
    scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.transpose(weights @ split[2], (0, 2, 1, 3)).reshape(batch, length, -1)
    return mixed @ out_kernel + out_bias, weights


@pytest.fixture
def setting():
    layer = MultiHeadAttention(3, 4, name="attention")
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape) * 0.3)
    return layer, x, [np.asarray(w) for w in layer.weights]


def test_self_attention_is_the_formula(setting):
    layer, x, weights = setting
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    output, attention = layer(x, mask_bqk=masks.padding(mask), return_weights=True)
    expected, expected_attention = reference(x, *weights, 3, mask[:, None, None, :] > 0)
    near(output, expected, 1e-5)
    near(attention, expected_attention, 1e-6)


def test_causal_attention_does_not_see_the_future(setting):
    layer, x, weights = setting
    output = layer(x, mask_bqk=masks.causal(5, 5))
    near(output, reference(x, *weights, 3, np.tri(5)[None, None] > 0)[0], 1e-5)


def test_an_additive_bias_is_added_to_the_scores(setting):
    layer, x, weights = setting
    bias = np.random.default_rng(2).normal(size=(1, 3, 5, 5)).astype("float32")
    near(layer(x, bias_bhqk=bias), reference(x, *weights, 3, True, bias)[0], 1e-5)


def test_cached_steps_equal_one_pass(setting):
    layer, x, _ = setting
    whole = layer(x, mask_bqk=masks.causal(5, 5))
    cache = tuple(np.zeros((2, 3, 5, 4), "float32") for _ in range(2))
    for start, stop in ((0, 2), (2, 3), (3, 5)):
        mask = masks.causal(stop - start, 5, start)
        part, cache = layer(x[:, start:stop], mask_bqk=mask, cache=cache, start=start)
        near(part, whole[:, start:stop], 1e-6)


def test_cross_attention_reads_the_other_sequence():
    layer = MultiHeadAttention(2, 4, cross=True, name="a")
    x, y = np.ones((1, 3, 8), "float32"), np.ones((1, 6, 10), "float32")
    layer.build(x.shape, y.shape)
    fill(layer)
    y[:, 4:] = 7.0
    mask = masks.padding(np.array([[1, 1, 1, 1, 0, 0]]))
    near(layer(x, y, mask_bqk=mask), layer(x, y[:, :4]), 1e-6)
    assert np.abs(layer(x, y) - layer(x, y[:, :4])).max() > 1e-3
    assert [w.path for w in layer.weights] == [
        "a/query/kernel",
        "a/query/bias",
        "a/key_value/kernel",
        "a/key_value/bias",
        "a/output/kernel",
        "a/output/bias",
    ]


def test_a_single_key_takes_the_whole_attention(setting):
    layer, x, weights = setting
    output, attention = layer(x[:, :1], return_weights=True)
    near(attention, 1.0, 0)
    near(output, reference(x[:, :1], *weights, 3, True)[0], 1e-5)


def test_dropout_changes_weights_in_training_only(setting):
    _, x, _ = setting
    layer = MultiHeadAttention(2, 4, dropout=0.5)
    still = layer(x)
    near(layer(x, training=False), still, 0)
    assert np.abs(layer(x, training=True) - still).max() > 1e-4


def test_no_bias_means_no_bias_weights():
    layer = MultiHeadAttention(2, 4, use_bias=False)
    layer.build((None, None, 8))
    assert [w.shape for w in layer.weights] == [(8, 24), (8, 8)]


def test_a_row_that_may_attend_to_nothing_is_finite(setting):
    layer, x, _ = setting
    output = layer(x, mask_bqk=masks.padding(np.zeros((2, 5), "int32")))
    assert np.isfinite(keras.ops.convert_to_numpy(output)).all()


def test_softmax_is_taken_in_float32_under_float16(monkeypatch, setting):
    seen = []
    softmax = keras.ops.softmax
    monkeypatch.setattr(
        "tfzoo.layers.attention.ops.softmax", lambda x: seen.append(x.dtype) or softmax(x)
    )
    MultiHeadAttention(2, 4, dtype="mixed_float16")(setting[1])
    assert seen == ["float32"]
