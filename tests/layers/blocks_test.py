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


def test_dropout_may_spare_the_attention():
    block = built(dropout=0.99, attention_dropout=0.0, drops_attention=False)
    y = block.attention_norm(X + block.attention(X))
    dropped = block(X, training=True)
    kept = np.abs(dropped - block.feed_forward_norm(y)).max(-1) < 1e-5
    assert kept.any()  # rows of whose feed-forward output nothing was left
    assert np.abs(dropped - block(X)).max() > 1e-3


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


def test_the_residual_may_be_the_normalized_input():
    block = built(norm_first=True, residual_after_norm=True)
    y = block.attention_norm(X)
    y = block.feed_forward_norm(y + block.attention(y))
    near(block(X), y + block.feed_forward(y), 1e-6)


def test_float32_sums_go_beyond_float16():
    options = {"norm_first": True, "norm": "rms", "use_bias": False, "activation": "relu"}
    x = np.linspace(1, 2, 2 * 5 * 8).reshape(2, 5, 8).astype("float32")
    found = {}
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
        block = Block(2, 16, float32_sums=True, dtype=dtype, name="block", **options)
        block.build(x.shape)
        fill(block)
        for weight in block.weights:
            if "feed_forward/" in weight.path:
                weight.assign(np.full(weight.shape, 60.0))
        found[dtype] = block(x)
    assert np.abs(found["float32"]).max() > np.finfo("float16").max
    assert (found["mixed_float16"].dtype, found["mixed_bfloat16"].dtype) == ("float32", "bfloat16")
    near(found["mixed_float16"], found["float32"], 5e-3 * np.abs(found["float32"]).max())
    again = block(found["float32"])
    assert np.isfinite(np.asarray(again, "float32")).all()
