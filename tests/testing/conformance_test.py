"""The conformance suite must fail on a model that is wrong."""

import pytest
from keras import ops

from tfzoo.testing import conformance
from tfzoo.testing.conformance import DecoderConformance, EncoderConformance


class Encoder(EncoderConformance):
    name = "bert"
    fields = {
        "vocab_size": 50,
        "num_layers": 1,
        "num_heads": 2,
        "width": 8,
        "feed_forward_dim": 16,
        "max_length": 20,
    }
    counts = {"base": 1}


class Decoder(DecoderConformance):
    name = "gpt2"
    fields = {"vocab_size": 50, "num_layers": 2, "num_heads": 2, "width": 8, "max_length": 20}
    counts = {}


def test_a_wrong_parameter_count_fails():
    with pytest.raises(AssertionError, match="109,482,240 parameters, published 1"):
        Encoder().test_every_variant_has_the_published_number_of_parameters()


def test_a_mask_that_is_ignored_fails(monkeypatch):
    monkeypatch.setattr("tfzoo.layers.masks.MASKED", 0.0)
    with pytest.raises(AssertionError, match="largest difference"):
        Encoder().test_padding_does_not_change_real_tokens()


def test_a_sparse_gradient_fails(monkeypatch):

    monkeypatch.setattr(
        "tfzoo.layers.embeddings.lookup", lambda table, ids: ops.take(table, ids, axis=0)
    )
    with pytest.raises(AssertionError, match="sparse"):
        Encoder().test_a_gradient_reaches_every_weight_and_one_step_lowers_the_loss()


def test_fill_gives_the_same_values_each_time():
    first, second = Encoder().build(), Encoder().build()
    for a, b in zip(first.weights, second.weights, strict=True):
        if "seed_generator" not in a.path:
            conformance.near(a, b, 0)


def test_a_decoder_that_sees_the_future_fails(monkeypatch):
    monkeypatch.setattr("tfzoo.layers.masks.causal", lambda q, k, *_: ops.ones((1, q, k), bool))
    with pytest.raises(AssertionError, match="largest difference"):
        Decoder().test_a_token_does_not_see_those_after_it()


def test_a_decoder_whose_tokens_see_nothing_fails(monkeypatch):
    monkeypatch.setattr("tfzoo.models.gpt2.run", lambda _, x, *more: (x, more[1], ()))
    with pytest.raises(AssertionError, match="no token sees another"):
        Decoder().test_a_token_does_not_see_those_after_it()


def test_a_step_at_a_wrong_position_fails(monkeypatch):
    from tfzoo.models.gpt2 import Gpt2

    right = Gpt2.step
    monkeypatch.setattr(Gpt2, "step", lambda self, ids, caches, start: right(self, ids, caches, 0))
    with pytest.raises(AssertionError, match="largest difference"):
        Decoder().test_decoding_step_by_step_gives_the_logits_of_one_pass()
    with pytest.raises(AssertionError, match="largest difference"):
        Decoder().test_rows_of_different_lengths_go_on_where_each_ends()
