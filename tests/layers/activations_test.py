"""Activations by the names that checkpoints use."""

import numpy as np
import pytest

from tfzoo.layers.activations import activation


def test_the_two_gelus_differ_as_published():
    x = np.linspace(-4, 4, 1001).astype("float32")
    gap = np.abs(activation("gelu")(x) - activation("gelu_tanh")(x)).max()
    assert 4.0e-4 < gap < 5.0e-4


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="gelu_tanh"):
        activation("gleu")
