"""Arrays as JSON, with the examples of TensorFlow Serving's own documentation."""

import json
import math

import numpy as np
import pytest

from tfzoo.serve import replies
from tfzoo.serve.errors import RequestError


def strings(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def write(rows, **outputs):
    return json.loads(replies.write_outputs(outputs, rows))


def test_one_output_is_given_bare():
    y = np.array([3.5, 4.0, 5.5], np.float32)
    assert write(True, y=y) == {"predictions": [3.5, 4.0, 5.5]}
    assert write(False, y=y) == {"outputs": [3.5, 4.0, 5.5]}


def test_several_outputs_are_objects():
    outputs = {"n": np.array([[1, 2], [3, 4]]), "s": strings(b"a", "é".encode())}
    assert write(True, **outputs) == {
        "predictions": [{"n": [1, 2], "s": "a"}, {"n": [3, 4], "s": "é"}]
    }
    assert write(False, **outputs) == {"outputs": {"n": [[1, 2], [3, 4]], "s": ["a", "é"]}}


def test_outputs_named_bytes_are_base64_and_others_are_text():
    raw = strings(b"\xff\0", b"")
    assert write(False, raw_bytes=raw) == {"outputs": [{"b64": "/wA="}, {"b64": ""}]}
    assert write(False, raw=raw) == {"outputs": ["\ufffd\0", ""]}
    assert write(False, n_bytes=np.array([1])) == {"outputs": [1]}


def test_numbers_come_back_as_the_same_floats():
    values = np.array([0.1, 1 / 3, 1e-45, 3.4e38, 9e6, -0.0, 123456789.0], np.float32)
    out = write(False, y=values)["outputs"]
    assert np.array(out, np.float32).tobytes() == values.tobytes()
    doubles = np.array([0.1, 1 / 3, 5e-324, 1.7e308])
    assert write(False, y=doubles)["outputs"] == doubles.tolist()


def test_floats_are_short_and_look_like_floats():
    text = replies.write_outputs({"y": np.array([0.2, 3.0], np.float32)}, rows=True)
    assert '"predictions": [0.2, 3.0]' in text


def test_non_finite_numbers_are_written_as_javascript_does():
    y = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    text = replies.write_outputs({"y": y}, rows=True)
    assert "[NaN, Infinity, -Infinity, 1.0]" in text
    assert math.isnan(json.loads(text)["predictions"][0])


def test_booleans_scalars_and_empty_axes():
    assert write(False, y=np.array([True, False])) == {"outputs": [True, False]}
    assert write(False, y=np.array(4, np.int64)) == {"outputs": 4}
    assert write(False, y=np.zeros((0, 3))) == {"outputs": []}
    assert write(True, y=np.zeros((2, 0))) == {"predictions": [[], []]}
    assert write(True, y=np.zeros((2, 2, 0)), z=np.zeros(2, int)) == {
        "predictions": [{"y": [[], []], "z": 0}, {"y": [[], []], "z": 0}]
    }
    assert write(True, y=np.zeros((0, 3)), z=np.zeros(0)) == {"predictions": []}


def test_rows_need_one_row_an_example():
    with pytest.raises(RequestError, match="Tensor name: y has no shape information"):
        replies.write_outputs({"y": np.array(1.0)}, rows=True)
    with pytest.raises(RequestError, match="z has inconsistent batch size: 3 expecting: 2"):
        replies.write_outputs({"y": np.zeros(2), "z": np.zeros(3)}, rows=True)


def test_results_are_nested_lists_of_labels_and_scores():
    results = [[[b"good", np.float32(0.9)], [b"", np.float32(np.nan)]]]
    text = replies.write_results(results)
    assert '"results": [[["good", 0.9], ["", NaN]]]' in text
    assert json.loads(replies.write_results([np.float32(3.5)])) == {"results": [3.5]}


def test_random_arrays_survive_the_way_there_and_back():
    random = np.random.default_rng(1)
    for _ in range(50):
        shape = random.integers(1, 4, size=random.integers(1, 5))
        array = random.normal(size=shape).astype(np.float32)
        out = np.array(write(True, y=array)["predictions"], np.float32)
        np.testing.assert_array_equal(out, array)
