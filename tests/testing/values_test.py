"""Comparisons that fail, and weights that are the same everywhere."""

import keras
import numpy as np
import pytest

from tfzoo.testing.values import check, fill, near


def test_near_fails_on_nan():
    with pytest.raises(AssertionError):
        near(np.array([np.nan]), np.array([0.0]), 1.0)


def test_near_says_how_far():
    near([1.0, 2.0], [1.0, 2.5], 0.5)
    with pytest.raises(AssertionError, match=r"largest difference 0\.5, tolerance 0\.4"):
        near([1.0, 2.0], [1.0, 2.5], 0.4)


def test_near_does_not_broadcast():
    near(np.ones((2, 2)), 1.0, 0)  # but a single number stands for all
    with pytest.raises(AssertionError, match=r"shape \(2, 2\), expected \(2, 1\)"):
        near(np.ones((2, 2)), np.ones((2, 1)), 1.0)


def test_check_says_what_was_wrong():
    check(True, "never said")
    with pytest.raises(AssertionError, match="said"):
        check(False, "said")


def test_fill_goes_by_path_and_leaves_seeds_alone():
    def make(name):
        layers = [keras.layers.Dense(3, name=name), keras.layers.Dropout(0.5, seed=1)]
        model = keras.Sequential([keras.Input((2,)), *layers], name="model")
        fill(model)
        return model

    first, again, other = make("a"), make("a"), make("b")
    assert np.array_equal(first.layers[0].kernel, again.layers[0].kernel)
    assert not np.array_equal(first.layers[0].kernel, other.layers[0].kernel)
    assert len(np.unique(first.layers[0].kernel)) == 6
    assert all(w.dtype != "float32" for w in first.weights if "seed_generator" in w.path)
