"""Arrays for input pipelines."""

import numpy as np

from tfzoo.data import host


def test_a_constant_is_in_the_memory_of_the_host():
    made = host.constant(np.arange(3))
    assert made.device.endswith("CPU:0")
    assert made.numpy().tolist() == [0, 1, 2]
