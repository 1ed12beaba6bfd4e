"""The process-wide switch is put back."""

import pytest
import tensorflow as tf

from tfzoo.train.determinism import deterministic


def is_on():
    """Whether TensorFlow refuses a random operation without a seed, as it does when it is on."""
    tf.random.set_seed(None)
    generator = tf.random.Generator.from_seed(1)
    del generator
    try:
        tf.raw_ops.RandomUniform(shape=[1], dtype=tf.float32, seed=0, seed2=0)
    except tf.errors.OpError:
        return True
    return False


def test_it_is_on_inside_and_off_outside():
    assert not is_on()
    with deterministic(True):
        assert is_on()
    assert not is_on()


def test_an_error_puts_it_back_too():
    with pytest.raises(KeyError), deterministic(True):
        raise KeyError
    assert not is_on()


def test_not_wanted_changes_nothing():
    with deterministic(True):
        with deterministic(False):
            assert is_on()
        assert is_on()
    with deterministic(False):
        assert not is_on()
