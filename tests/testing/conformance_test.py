"""The conformance suite must fail on a model that is wrong."""

import numpy as np
import pytest

from tfzoo.testing import conformance
from tfzoo.testing.conformance import EncoderConformance


class Suite(EncoderConformance):
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


def test_a_wrong_parameter_count_fails():
    with pytest.raises(AssertionError, match="109,482,240 parameters, published 1"):
        Suite().test_every_variant_has_the_published_number_of_parameters()


def test_a_mask_that_is_ignored_fails(monkeypatch):
    monkeypatch.setattr("tfzoo.layers.masks.MASKED", 0.0)
    with pytest.raises(AssertionError, match="largest difference"):
        Suite().test_padding_does_not_change_real_tokens()


def test_a_sparse_gradient_fails(monkeypatch):
    from keras import ops

    monkeypatch.setattr(
        "tfzoo.layers.embeddings.lookup", lambda table, ids: ops.take(table, ids, axis=0)
    )
    with pytest.raises(AssertionError, match="sparse"):
        Suite().test_a_gradient_reaches_every_weight_and_one_step_lowers_the_loss()


def test_near_fails_on_nan():
    with pytest.raises(AssertionError):
        conformance.near(np.array([np.nan]), np.array([0.0]), 1.0)


def test_fill_gives_the_same_values_each_time():
    first, second = Suite().build(), Suite().build()
    for a, b in zip(first.weights, second.weights, strict=True):
        if "seed_generator" not in a.path:
            conformance.near(a, b, 0)
