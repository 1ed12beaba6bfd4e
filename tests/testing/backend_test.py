"""Models on another backend of Keras."""

import importlib.util

import numpy as np
import pytest

import tfzoo
from tfzoo.testing import backend
from tfzoo.testing.values import fill, near

FIELDS = {
    "vocab_size": 20,
    "num_layers": 1,
    "num_heads": 2,
    "width": 8,
    "feed_forward_dim": 16,
    "max_length": 8,
}
INPUTS = {
    "token_ids": np.array([[1, 2, 3]], "int32"),
    "segment_ids": np.zeros((1, 3), "int32"),
    "padding_mask": np.ones((1, 3), "int32"),
}


@pytest.mark.slow
def test_the_outputs_are_those_of_the_backend_asked_for(tmp_path):
    model = tfzoo.build("bert", **FIELDS)
    fill(model)
    found = backend.outputs("tensorflow", "bert", FIELDS, INPUTS, tmp_path)
    assert set(found) == {"sequence", "pooled"}
    near(found["sequence"], model(INPUTS)["sequence"], 1e-6)


@pytest.mark.slow
def test_a_child_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)on tensorflow: .*brt"):
        backend.outputs("tensorflow", "brt", FIELDS, INPUTS, tmp_path)


@pytest.mark.parity
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_another_backend_is_really_used(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    with pytest.raises(RuntimeError, match="nonsense"):
        backend.outputs("jax", "bert", FIELDS, INPUTS, tmp_path)
