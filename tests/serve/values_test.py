"""One JSON value to one array: shapes, types, and what is refused."""

import numpy as np
import pytest

from tfzoo.serve import values
from tfzoo.serve.errors import RequestError


def convert(value, dtype):
    shape = values.shape_of(value)
    leaves = []
    values.flatten(value, shape, 0, dtype, leaves)
    return values.to_array(leaves, shape, dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, "float32"),
        ([1, 2.5], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([True, False], "bool"),
        ([[[0.1]]], "float64"),
        ([-128, 127], "int8"),
        ([2**64 - 1], "uint64"),
    ],
)
def test_numbers_become_arrays_of_their_type_and_shape(value, dtype):
    array = convert(value, dtype)
    np.testing.assert_array_equal(array, np.array(value, dtype=dtype))
    assert array.dtype == dtype


def test_strings_are_utf8_and_base64_is_decoded():
    array = convert([["é", {"b64": "/w=="}], ["", {"b64": "/w"}]], "string")
    assert array.tolist() == [["é".encode(), b"\xff"], [b"", b"\xff"]]


def test_empty_lists_keep_their_shape():
    assert convert([], "float32").shape == (0,)
    assert convert([[], []], "string").shape == (2, 0)


def test_non_finite_numbers_are_floats():
    np.testing.assert_array_equal(
        convert([float("nan"), float("inf")], "float32"), np.array([np.nan, np.inf], np.float32)
    )


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (1, "string", "JSON Value: 1 Type: Number is not of expected type: string"),
        (None, "string", "JSON Value: null Type: Null is not of expected type: string"),
        ("1", "float32", 'JSON Value: "1" Type: String is not of expected type: float'),
        (True, "float32", "JSON Value: true Type: True is not of expected type: float"),
        (1.0, "int32", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (2**31, "int32", "Type: Number is not of expected type: int32"),
        (False, "int64", "JSON Value: false Type: False is not of expected type: int64"),
        (1, "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ({"b64": "AA=="}, "float32", "Type: Object is not of expected type: float"),
        ({"b64": 1}, "string", "not formatted correctly for base64 data"),
        ({"b64": "AA==", "x": 1}, "string", "not formatted correctly for base64 data"),
        ({"b64": "A"}, "string", "Unable to base64 decode"),
        ({"b64": "é"}, "string", "Unable to base64 decode"),
        (2**24 + 1, "float32", "Cannot convert JSON value: 16777217 to float without loss"),
        (1e39, "float32", "Cannot convert JSON value: 1e+39 to float without loss"),
        (2**53 + 1, "float64", "to double without loss of precision"),
        ("\ud800", "string", "The surrogate pair in string is invalid"),
        ([[1], [2, 3]], "int32", "unexpected size: 2 at level: 1 expected size: 1"),
        ([1, [2]], "int32", "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 2], "int32", "JSON Value: 2 found at incorrect level: 2 in the JSON DOM"),
    ],
)
def test_what_does_not_fit_is_refused_in_tensorflow_servings_words(value, dtype, message):
    with pytest.raises(RequestError) as caught:
        convert(value, dtype)
    assert message in str(caught.value)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_whole_numbers_beyond_64_bits_are_read_as_floats():
    assert convert(10**20, "float32") == np.float32(1e20)
    with pytest.raises(RequestError, match="without loss"):
        convert(10**39, "float32")


def test_unsupported_types_are_501():
    with pytest.raises(RequestError) as caught:
        convert(1.0, "bfloat16")
    assert caught.value.code == "UNIMPLEMENTED"


def test_nesting_beyond_a_tensors_axes_is_refused():
    value = 1
    for _ in range(300):
        value = [value]
    with pytest.raises(RequestError, match="254 dimensions"):
        convert(value, "int32")
