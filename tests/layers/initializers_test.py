"""Initial values of kernels."""

import keras
import numpy as np

from tfzoo.layers.initializers import FanIn, kernel
from tfzoo.testing.conformance import near


def test_a_range_is_a_standard_deviation_cut_off_at_two():
    values = np.asarray(kernel(0.1)((300, 300)))
    assert 0.08 < values.std() < 0.1
    assert np.abs(values).max() < 0.2


def test_without_a_range_more_inputs_make_smaller_values():
    for inputs in (16, 900):
        values = np.asarray(kernel(None)((inputs, 3000)), "float64")
        near(values.std() * inputs**0.5, 1.0, 0.02)
        near(values.mean(), 0.0, 0.01)


def test_parts_of_a_kernel_have_factors_of_their_own():
    values = np.asarray(FanIn((0.125, 1.0, 2.0))((100, 6000)))
    deviations = [part.std() * 10 for part in np.split(values, 3, axis=1)]
    near(deviations, [0.125, 1.0, 2.0], 0.05)


def test_it_is_saved_with_its_factors():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(FanIn((0.5, 1.0)))
    )
    assert again.factors == (0.5, 1.0)
