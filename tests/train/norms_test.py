"""Norms by layer."""

import keras
import numpy as np
import pytest

from tfzoo.train.norms import Norms, layer


def test_a_layer_is_the_path_up_to_the_sublayer():
    assert layer("block_0/attention/qkv/kernel") == "block_0/attention"
    assert layer("decoder_block_3/feed_forward/expand/bias") == "decoder_block_3/feed_forward"
    assert layer("block_0/attention_norm/gamma") == "block_0/attention_norm"
    assert layer("pooler/bias") == "pooler"
    assert layer("scale") == "scale"


@pytest.fixture
def norms():
    x = keras.Input((2,))
    model = keras.Model(x, keras.layers.Dense(2, name="last")(keras.layers.Dense(2, name="one")(x)))
    for weight, value in zip(model.trainable_variables, (3.0, 4.0, 0.5, 0.0), strict=True):
        weight.assign(np.full(weight.shape, value))
    return Norms(model.trainable_variables)


def test_norms_of_weights_are_those_of_all_numbers_of_a_layer(norms):
    assert norms.weights() == pytest.approx(
        {"weight_norms/one": (4 * 9 + 2 * 16) ** 0.5, "weight_norms/last": 1.0}
    )


def test_norms_of_gradients_are_means_over_the_steps(norms):
    squares = np.array([[9, 16, 1, 0], [0, 1, 4, 0]], "float32")
    assert norms.gradients(squares) == pytest.approx(
        {"gradient_norms/one": (5 + 1) / 2, "gradient_norms/last": (1 + 2) / 2}
    )
