"""Types of stored tensors, and lists in messages."""

import numpy as np
import pytest

from tfzoo.weights import stored


def test_bfloat16_becomes_float32_bit_for_bit():
    import ml_dtypes

    bits = np.arange(0x10000, dtype=np.uint16)
    wanted = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    found = stored.float32(bits, "BF16")
    assert found.dtype == np.float32
    assert np.array_equal(
        found.view(np.uint32)[~np.isnan(wanted)], wanted.view(np.uint32)[~np.isnan(wanted)]
    )
    assert np.array_equal(np.isnan(found), np.isnan(wanted))


def test_float16_becomes_float32_exactly():
    half = np.array([1.5, 65504, 6e-8, -0.0, np.inf], np.float16)
    assert np.array_equal(stored.float32(half, "F16"), half.astype(np.float64))


def test_float32_is_not_copied():
    array = np.ones(3, np.float32)
    assert stored.float32(array, "F32") is array


@pytest.mark.parametrize(("count", "wanted"), [(1, "0"), (10, "9"), (11, "and 1 more (11 in all)")])
def test_a_long_list_shows_ten_and_counts_the_rest(count, wanted):
    text = stored.shorten(map(str, range(count)))
    assert text.endswith(wanted)
    assert text.count("; ") == min(count, 11) - 1
