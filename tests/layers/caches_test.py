"""Writing into a cache of keys or values."""

import numpy as np

from tfzoo.layers import caches
from tfzoo.testing.conformance import near

OLD = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype("float32")
NEW = np.random.default_rng(1).normal(size=(2, 3, 2, 4)).astype("float32")


def test_new_rows_replace_old_ones_at_start_and_nowhere_else():
    expected = OLD.copy()
    expected[:, :, 3:5] = NEW
    near(caches.write(OLD, NEW, 3), expected, 0)


def test_each_row_has_its_own_start():
    expected = OLD.copy()
    expected[0, :, 0:2], expected[1, :, 4:6] = NEW[0], NEW[1]
    near(caches.write(OLD, NEW, np.array([0, 4])), expected, 0)
