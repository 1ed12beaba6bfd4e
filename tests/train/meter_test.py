"""What is measured between two points."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.train.loop import Taken
from tfzoo.train.meter import Meter


class Loop:
    """As much of a loop as is measured."""

    def __init__(self):
        x = keras.Input((2,))
        model = keras.Model(x, keras.layers.Dense(1, use_bias=False, name="one")(x))
        self.weights = model.trainable_variables


def taken(steps, tokens, wait=0.5, applied=1.0, square=4.0):
    ones = np.ones(steps, "float32")
    return Taken(
        ones, ones, ones * applied, ones * 8, ones * tokens, ones * wait, ones[:, None] * square
    )


def test_rates_are_sums_over_the_time_of_all_calls():
    meter = Meter(Loop(), layers=False)
    meter.add(taken(1, tokens=30), 2.0)
    meter.add(taken(3, tokens=10, wait=0.1), 2.0)
    found = meter.figures()
    assert found["speed/examples_per_second"] == pytest.approx(8.0)
    assert found["speed/tokens_per_second"] == pytest.approx(15.0)
    assert found["speed/input_seconds_per_step"] == pytest.approx(0.2)
    assert found["memory/process_peak_gib"] > 0
    assert not any("norm" in name or "utilization" in name for name in found)
    meter.add(taken(1, tokens=5), 1.0)
    assert meter.figures()["speed/tokens_per_second"] == pytest.approx(5.0)


def test_utilization_is_the_share_of_the_peak():
    meter = Meter(Loop(), False, operations_per_token=600.0, peak=1e4)
    meter.add(taken(2, tokens=10), 4.0)
    assert meter.figures()["speed/model_flops_utilization"] == pytest.approx(0.3)


def test_skipped_steps_have_no_gradient():
    meter = Meter(Loop(), layers=True)
    meter.add(taken(1, tokens=1), 1.0)
    meter.add(taken(1, tokens=1, applied=0.0, square=np.inf), 1.0)
    found = meter.figures()
    assert found["gradient_norms/one"] == pytest.approx(2.0)
    assert found["weight_norms/one"] == pytest.approx(
        float(tf.norm(meter._norms._weights[0].value))
    )
    meter.add(taken(1, tokens=1, applied=0.0, square=np.inf), 1.0)
    assert "gradient_norms/one" not in meter.figures()
