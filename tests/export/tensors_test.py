"""What is taken for an input before TensorFlow sees it; `session_test.py` has the rest."""

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.export.meta_graph import TensorSpec
from tfzoo.export.tensors import shape_text, to_array


def convert(value, dtype="float32", shape=None):
    return to_array(TensorSpec("x", dtype, shape, "x:0"), value)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float64([0.1]), "float32"),
        (np.int64([2**40]), "float32"),
        (np.uint8([255]), "int32"),
        (np.int64([-(2**31), 2**31 - 1]), "int32"),
        (np.bool_([True]), "bool"),
        (np.int32([200]), "uint8"),
    ],
)
def test_values_that_fit_are_converted(value, dtype):
    array = convert(value, dtype)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, value.astype(dtype))


def test_scalars_keep_their_rank_and_views_become_contiguous():
    assert convert(3).shape == ()
    assert convert(np.arange(6.0).reshape(2, 3).T).flags.c_contiguous


def test_empty_lists_are_of_any_type():
    assert convert([], "int32").shape == (0,)
    assert convert([[], []], "bool").shape == (2, 0)


def test_strings_of_every_kind_become_bytes():
    for value in (["é", b"\xff"], np.array(["é", "b"]), np.array([b"a", b"b"], object)):
        assert all(type(item) is bytes for item in convert(value, "string"))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float32([1.0]), "int32"),
        (np.int64([2**31]), "int32"),
        (np.int32([-1]), "uint8"),
        (np.bool_([True]), "float32"),
        (np.int32([1]), "bool"),
        (np.complex64([1]), "float32"),
        (["1"], "float32"),
        ([[1], [2, 3]], "float32"),
        (np.datetime64("2020-01-01"), "int64"),
        (1.0, "bfloat16"),
        (1.0, "unknown 99"),
    ],
)
def test_values_that_would_lose_something_are_refused(value, dtype):
    with pytest.raises(UserError, match="input 'x'"):
        convert(value, dtype)


def test_shapes_are_checked_axis_by_axis():
    assert convert(np.zeros((3, 2)), shape=(None, 2)).shape == (3, 2)
    for shape in [(2, None), (None,), ()]:
        with pytest.raises(UserError, match=r"Received: shape=\[3, 2\]"):
            convert(np.zeros((3, 2)), shape=shape)
    assert shape_text((None, 128)) == "[any, 128]"
