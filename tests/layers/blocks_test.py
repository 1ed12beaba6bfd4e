"""Transformer blocks."""

import keras
import numpy as np
import pytest

from tfzoo.layers import masks
from tfzoo.layers.blocks import Block
from tfzoo.testing.conformance import fill, near

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


def built(**options):
    block = Block(2, 16, **options)
    block(X, **({"encoder_bkd": X} if options.get("cross") else {}))
    fill(block)
    return block


def test_norm_last_is_the_original_order():
    block = built()
    y = block.attention_norm(X + block.attention(X))
    near(block(X), block.feed_forward_norm(y + block.feed_forward(y)), 1e-6)


def test_norm_first_normalizes_what_goes_in():
    block = built(norm_first=True)
    y = X + block.attention(block.attention_norm(X))
    near(block(X), y + block.feed_forward(block.feed_forward_norm(y)), 1e-6)


def test_a_decoder_block_attends_to_the_encoder_between_the_two():
    block = built(cross=True)
    encoder = X[:, ::-1]
    y = block.attention_norm(X + block.attention(X))
    z = block.cross_attention_norm(y + block.cross_attention(y, encoder))
    near(block(X, encoder_bkd=encoder), block.feed_forward_norm(z + block.feed_forward(z)), 1e-6)


def test_cached_steps_equal_one_pass():
    block = built(norm_first=True)
    whole = block(X, mask_bqk=masks.causal(5, 5))
    cache = tuple(np.zeros((2, 2, 5, 4), "float32") for _ in range(2))
    for i in range(5):
        part, cache = block(X[:, i : i + 1], masks.causal(1, 5, i), cache=cache, start=i)
        near(part, whole[:, i : i + 1], 1e-5)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="num_heads=3, width=8"):
        Block(3, 16).build((None, None, 8))


def test_a_block_is_rebuilt_from_its_recorded_arguments():
    config = Block(2, 16, norm_first=True, name="b").get_config()
    again = Block.from_config(config)
    assert isinstance(again, keras.layers.Layer)
    assert (again.num_heads, again.norm_first, again.name) == (2, True, "b")


def test_dropout_stands_behind_every_sublayer():
    block = built(cross=True)
    block.dropout = lambda y_btd, training=None: y_btd * 0
    norms = (block.attention_norm, block.cross_attention_norm, block.feed_forward_norm)
    expected = X
    for norm in norms:  # nothing but the residuals is left
        expected = norm(expected)
    near(block(X, encoder_bkd=X[:, ::-1]), expected, 1e-6)


def test_settings_reach_the_parts():
    block = built(dropout=0.2, attention_dropout=0.3, norm_epsilon=1e-3)
    assert block.dropout.rate == 0.2
    assert block.attention.attention_dropout.rate == 0.3
    assert {block.attention_norm.epsilon, block.feed_forward_norm.epsilon} == {1e-3}
