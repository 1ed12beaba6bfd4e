"""Attention maps."""

import io

import numpy as np
import pytest
from matplotlib import image

from tfzoo.train import pictures

TOKENS = ["[CLS]", "the", "cat", "$x$", "日本", "extraordinarily", "[SEP]"]


def draw(weights_hqk, queries=TOKENS, keys=TOKENS):
    drawn = pictures.attention(weights_hqk, queries, keys)
    return image.imread(io.BytesIO(drawn), format="png")[..., :3]


def share(picture, colour):
    return np.isclose(picture, colour, atol=0.03).all(-1).mean()


YELLOW, VIOLET = (0.993, 0.906, 0.144), (0.267, 0.005, 0.329)  # the ends of viridis


def test_each_head_is_drawn_where_it_looks():
    weights_hqk = np.zeros((2, 7, 7))
    weights_hqk[0] = np.eye(7)
    weights_hqk[1, :, 0] = 1.0
    picture = draw(weights_hqk)
    # One of seven in both heads: the diagonal, and the first column.
    assert share(picture, VIOLET) == pytest.approx(6 * share(picture, YELLOW), rel=0.1)
    columns = np.isclose(picture, YELLOW, atol=0.03).all(-1).sum(0)
    left, right = np.split(columns, [len(columns) * 5 // 9])
    assert np.count_nonzero(left) > 4 * np.count_nonzero(right)


def test_four_heads_stand_beside_each_other():
    one, four, six = (draw(np.full((heads, 3, 7), 1 / 7), TOKENS[:3]) for heads in (1, 4, 6))
    assert four.shape[1] - one.shape[1] == pytest.approx(3 * 8 * 0.13 * 80, abs=2)
    assert four.shape[0] == one.shape[0]
    assert six.shape[0] - four.shape[0] == pytest.approx(4 * 0.13 * 80, abs=2)
