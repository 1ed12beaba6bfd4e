"""Learned positions."""

import numpy as np
import pytest

from tfzoo.layers.positions import LearnedPositions
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
