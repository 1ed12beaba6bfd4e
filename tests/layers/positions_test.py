"""Learned, sinusoidal and relative positions."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import masks
from tfzoo.layers.positions import (
    LearnedPositions,
    LinearBias,
    RelativePositions,
    SinusoidalPositions,
    bucket_begins,
    sinusoids,
    slopes,
)
from tfzoo.testing.conformance import near


def test_positions_count_from_start():
    layer = LearnedPositions(6)
    x = np.zeros((2, 3, 4), "float32")
    table = layer(np.zeros((1, 6, 4), "float32"))
    near(layer(x), table[:, :3], 0)
    near(layer(x, start=2), table[:, 2:5], 0)


def test_a_sequence_that_is_too_long_says_so():
    with pytest.raises(ValueError, match=r"Expected at most 6 tokens\. Received: 7"):
        LearnedPositions(6)(np.zeros((1, 7, 4), "float32"))


def test_an_offset_skips_the_first_rows_of_the_table():
    layer, x = LearnedPositions(6, offset=2), np.zeros((2, 3, 4), "float32")
    layer.build(x.shape)
    table = np.asarray(layer.embeddings_td)
    assert table.shape == (8, 4)
    near(layer(x), table[None, 2:5], 0)
    near(layer(x, start=3), table[None, 5:8], 0)
    with pytest.raises(ValueError, match=r"at most 6 tokens\. Received: 7"):
        layer(x, start=4)


@pytest.mark.parametrize(
    "layer",
    [LearnedPositions(9), LearnedPositions(7, offset=2), SinusoidalPositions(9)],
    ids=["learned", "offset", "sinusoidal"],
)
def test_each_row_may_start_elsewhere(layer):
    x = np.zeros((3, 2, 4), "float32")
    starts = np.array([0, 5, 2], "int32")
    found = layer(x, start=tf.constant(starts))
    assert found.shape == (3, 2, 4)
    for row, start in enumerate(starts):
        near(found[row], layer(x, start=int(start))[0], 0)
        near(found[row], layer(x, start=tf.constant(start))[0], 0)


def test_positions_can_be_given_for_each_token():
    layer, x = LearnedPositions(5, offset=2), np.zeros((2, 3, 4), "float32")
    positions = np.array([[-1, 0, 1], [4, -2, 3]], "int32")  # RoBERTa's padding stands below 0
    found = layer(x, positions_bt=positions)
    near(found, np.asarray(layer.embeddings_td)[positions + 2], 0)


def test_positions_begin_anew_with_each_document():
    layer, x = LearnedPositions(7, offset=2), np.zeros((3, 7, 4), "float32")
    documents = [[1, 1, 1, 2, 3, 3, 0], [0, 0, 1, 1, 0, 0, 0], [1] * 7]
    positions = [[0, 1, 2, 0, 0, 1, 0], [0, 1, 0, 1, 2, 3, 4], list(range(7))]
    found = layer(x, documents_bt=np.array(documents, "int32"))
    near(found, np.asarray(layer.embeddings_td)[np.array(positions) + 2], 0)
    with pytest.raises(ValueError, match=r"at most 7 tokens\. Received: 8"):
        layer(np.zeros((1, 8, 4), "float32"), documents_bt=np.ones((1, 8), "int32"))


@pytest.mark.parametrize("width", [1, 2, 5, 8, 33])
def test_sinusoids_are_those_of_the_paper(width):
    # Vaswani et al. 2017, section 3.5: PE(pos, 2i) is the sine and PE(pos, 2i + 1) the cosine of
    # pos / 10000 ** (2i / d).
    interleaved = sinusoids(50, width, True)
    halves = sinusoids(50, width, False)
    num_sines = math.ceil(width / 2)
    for position in (0, 1, 7, 49):
        for i in range(num_sines):
            angle = position / 10_000 ** (2 * i / width)
            assert abs(interleaved[position, 2 * i] - math.sin(angle)) < 1e-7
            assert halves[position, i] == interleaved[position, 2 * i]
            if 2 * i + 1 < width:
                assert abs(interleaved[position, 2 * i + 1] - math.cos(angle)) < 1e-7
                assert halves[position, num_sines + i] == interleaved[position, 2 * i + 1]
    assert halves.dtype == interleaved.dtype == np.float32
    assert halves.shape == interleaved.shape == (50, width)


@pytest.mark.parity
@pytest.mark.parametrize("width", [2, 7, 64])
def test_sinusoids_are_those_of_transformers_marian(width):
    import torch
    from transformers.models.marian import modeling_marian

    theirs = modeling_marian.MarianSinusoidalPositionalEmbedding(600, width)
    table = theirs.create_weight().numpy()
    assert np.array_equal(sinusoids(600, width, False), table)
    layer = SinusoidalPositions(600, interleaved=False)
    theirs.weight = torch.nn.Parameter(theirs.create_weight(), False)
    near(layer(np.zeros((1, 4, width)), start=590)[0], theirs((1, 4), 590).numpy(), 0)


def test_sinusoids_count_from_start_and_end_somewhere():
    layer, x = SinusoidalPositions(6), np.zeros((2, 3, 4), "float32")
    near(layer(x, start=2), sinusoids(6, 4, True)[None, 2:5], 0)
    with pytest.raises(ValueError, match=r"at most 6 tokens\. Received: 7"):
        layer(x, start=4)


def test_sinusoids_have_no_weights_and_the_dtype_of_the_layer():
    layer = SinusoidalPositions(6, dtype="mixed_bfloat16")
    assert layer(np.zeros((2, 3, 4), "float32")).dtype == "bfloat16"
    assert not layer.weights


def test_sinusoids_look_up_positions_of_a_graph_whose_length_is_not_known():
    x = keras.Input((None, 4))
    model = keras.Model(x, SinusoidalPositions(6)(x))
    near(model(np.zeros((2, 5, 4))), sinusoids(6, 4, True)[None, :5], 0)


def test_slopes_of_a_power_of_two_halve_and_others_take_every_other_of_the_power_above():
    near(slopes(8), [2.0**-i for i in range(1, 9)], 0)
    near(slopes(1), [2.0**-8], 0)
    near(slopes(3), [2.0**-4, 2.0**-8, 2.0**-2], 0)
    # As in appendix A's reference code of the paper, for 12: those of 8, then 4 of those of 16.
    near(slopes(12)[8:], [2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5], 1e-7)


@pytest.mark.parity
def test_slopes_of_any_number_of_heads_are_those_of_transformers():
    import torch
    from transformers.models.bloom import modeling_bloom

    for num_heads in range(1, 130):
        theirs = modeling_bloom._get_alibi_slopes(num_heads, torch.device("cpu")).numpy()
        assert len(slopes(num_heads)) == num_heads
        near(slopes(num_heads) / theirs, np.ones(num_heads), 5e-6)


def test_a_linear_bias_falls_by_the_slope_with_each_token_of_distance():
    bias = np.asarray(LinearBias(3)(np.zeros((2, 4, 7), "float32")))
    assert bias.shape == (1, 3, 4, 4)
    for query in range(4):
        for key in range(query + 1):
            near(bias[0, :, query, key], -slopes(3) * (query - key), 0)


def test_a_linear_bias_counts_from_where_each_row_is():
    layer, x = LinearBias(3), np.zeros((2, 2, 7), "float32")
    cache = ({"cache": (np.zeros((2, 3, 9, 4)),) * 2},)
    whole = np.asarray(layer(np.zeros((1, 9, 7), "float32")))
    near(layer(x, caches=cache, start=5), whole[:, :, 5:7], 0)
    near(layer(x, caches=cache, start=tf.constant(5)), whole[:, :, 5:7], 0)
    wanted = np.concatenate([whole[:, :, 1:3], whole[:, :, 6:8]])
    near(layer(x, caches=cache, start=np.array([1, 6])), wanted, 0)


def test_a_linear_bias_never_lifts_a_masked_key_over_a_seen_one():
    cache = ({"cache": (np.zeros((1, 2, 60_000, 1)),) * 2},)
    for start in (0, 30_000):
        bias = LinearBias(2)(np.zeros((1, 1, 1)), caches=cache, start=start)
        scores = np.asarray(bias + masks.additive(masks.causal(1, 60_000, start)))
        assert np.all(scores[0, :, 0].argmax(-1) == start)
        assert scores[0, :, 0, start + 1 :].max() <= masks.MASKED


def buckets(layer, positions):
    """The buckets of keys at `positions`, counted from the query."""
    return np.asarray(layer._buckets(-np.asarray(positions, "int32")))


@pytest.mark.parity
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_transformers(bidirectional):
    import torch
    from transformers.models.t5.modeling_t5 import T5Attention

    positions = torch.arange(-2000, 2001)
    compared = 0
    for num_buckets in (2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 20, 31, 32, 33, 64, 100, 320):
        exact = num_buckets // (4 if bidirectional else 2)
        near_exact = range(max(1, exact - 1), exact + 5)
        for max_distance in (*near_exact, 20, 64, 100, 127, 128, 129, 256, 800, 1500):
            if not 0 < exact < max_distance:  # transformers divides by zero, or gives none
                with pytest.raises(ValueError, match="Expected at least"):
                    RelativePositions(2, num_buckets, max_distance, bidirectional)
                continue
            layer = RelativePositions(2, num_buckets, max_distance, bidirectional)
            theirs = T5Attention._relative_position_bucket(
                positions, bidirectional, num_buckets, max_distance
            )
            assert np.array_equal(buckets(layer, positions), theirs.numpy())
            compared += 1
    assert compared > 150


def test_near_keys_have_a_bucket_each_and_far_ones_share_them():
    # Raffel et al. 2019, section 2.1: 32 buckets, the last one from 128 on; half of them each way.
    found = buckets(RelativePositions(1), range(-200, 201))
    behind, ahead = found[200::-1], found[200:]
    assert behind[:8].tolist() == list(range(8))
    assert ahead[:8].tolist() == [0, *range(17, 24)]
    assert set(behind[128:]) == {15}
    assert set(ahead[128:]) == {31}
    assert (np.diff(behind) >= 0).all()
    assert set(found) == set(range(32)) - {16}
    causal = buckets(RelativePositions(1, bidirectional=False), range(-200, 201))
    assert set(causal[200:]) == {0}
    assert set(causal[:73]) == {31}


def test_buckets_begin_where_the_logarithm_of_the_distance_does():
    assert bucket_begins(16, 128) == [12, 16, 23, 32, 46, 64, 91]
    assert bucket_begins(4, 5) == [4]
    assert bucket_begins(2, 128) == []


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_relative_bias_is_the_row_of_the_bucket_of_each_distance(bidirectional):
    layer = RelativePositions(3, 8, 10, bidirectional)
    found = np.asarray(layer(np.zeros((2, 15, 4), "float32")))
    table = np.asarray(layer.embeddings_rh)
    assert found.shape == (1, 3, 15, 15)
    for query in range(15):
        for key in range(15):
            near(found[0, :, query, key], table[buckets(layer, [key - query])[0]], 0)


def test_a_relative_bias_counts_from_where_each_row_is():
    layer, x = RelativePositions(3, 8, 10, False), np.zeros((2, 2, 7), "float32")
    cache = ({"cache": (np.zeros((2, 3, 9, 4)),) * 2},)
    whole = np.asarray(layer(np.zeros((1, 9, 7), "float32")))
    near(layer(x, caches=cache, start=5), whole[:, :, 5:7], 0)
    near(layer(x, caches=cache, start=tf.constant(5)), whole[:, :, 5:7], 0)
    found = layer(x, caches=cache, start=tf.constant([1, 6]))
    near(found, np.concatenate([whole[:, :, 1:3], whole[:, :, 6:8]]), 0)


def test_a_relative_bias_is_float32_whatever_the_policy():
    layer = RelativePositions(3, dtype="mixed_float16")
    assert layer(np.zeros((1, 2, 4), "float32")).dtype == "float32"
