"""The JSON of requests, with the examples of TensorFlow Serving's own documentation."""

import dataclasses

import numpy as np
import pytest

from tfzoo.export import wire
from tfzoo.export.meta_graph import Signature, TensorSpec
from tfzoo.serve import rest
from tfzoo.serve.errors import RequestError


def signature(**inputs):
    specs = {
        name: TensorSpec(name, dtype, None, f"{name}:0") for name, dtype in sorted(inputs.items())
    }
    return Signature("serving_default", specs, {}, "tensorflow/serving/predict")


def read(body, **inputs):
    return rest.read_inputs(rest.parse(body.encode()), signature(**inputs))


def test_rows_of_scalars():
    arrays, rows = read('{"instances": ["foo", "bar", "baz"]}', text="string")
    assert rows
    assert arrays["text"].tolist() == [b"foo", b"bar", b"baz"]


def test_rows_of_tensors():
    arrays, _ = read('{"instances": [[[1, 2]], [[3, 4]]]}', x="float32")
    np.testing.assert_array_equal(arrays["x"], [[[1, 2]], [[3, 4]]])


def test_rows_of_several_inputs():
    body = """{"instances": [
        {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
        {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]}]}"""
    arrays, _ = read(body, tag="string", signal="int32", sensor="float32")
    assert arrays["tag"].tolist() == [b"foo", b"bar"]
    assert arrays["signal"].tolist() == [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]]
    assert arrays["sensor"].shape == (2, 2, 2)


def test_columns_of_several_inputs_need_not_have_one_length():
    body = '{"inputs": {"tag": ["foo"], "signal": [[1, 2], [3, 4]], "other": 1}}'
    arrays, rows = read(body, tag="string", signal="int32")
    assert not rows
    assert (arrays["tag"].shape, arrays["signal"].shape) == ((1,), (2, 2))


def test_one_column_may_be_given_bare():
    assert read('{"inputs": 2.5}', x="float32")[0]["x"] == 2.5
    assert read('{"inputs": {"b64": "AA=="}}', x="string")[0]["x"].item() == b"\0"


def test_one_input_may_be_named_in_rows():
    arrays, _ = read('{"instances": [{"text": "a"}, {"text": "b"}]}', text="string")
    assert arrays["text"].tolist() == [b"a", b"b"]


def test_base64_rows_are_values_and_not_named_inputs():
    arrays, _ = read('{"instances": [{"b64": "/w=="}, {"b64": "AA=="}]}', b64="string")
    assert arrays["b64"].tolist() == [b"\xff", b"\0"]


def test_nan_and_infinity_are_read():
    arrays, _ = read('{"instances": [NaN, Infinity, -Infinity]}', x="float32")
    np.testing.assert_array_equal(arrays["x"], np.array([np.nan, np.inf, -np.inf], np.float32))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"instances": [1, 2]', "JSON Parse error: Missing a comma or } or ] after a value."),
        (b'{"instances": [1 2]}', "JSON Parse error: Missing a comma or } or ] after a value."),
        (b'{instances: [1]}', "JSON Parse error: Missing a name for object member."),
        (b'{"instances" [1]}', "JSON Parse error: Missing a colon after a name"),
        (b'{"instances": ["a]}', "JSON Parse error: Missing a closing quotation mark in string."),
        (b'{"instances": ["\\x"]}', "JSON Parse error: Invalid escape character in string."),
        (b'{"instances": ["a\nb"]}', "JSON Parse error: Invalid encoding in string."),
        (b'{"instances": ["\\u12"]}', "JSON Parse error: Incorrect hex digit after \\u escape"),
        (b'{"instances": [1]} x', "must not be followed by other values. at offset: 19"),
        (b'{"instances": ["\xff"]}', "Invalid encoding in string. at offset: 16"),
        (b'{"instances": [1e999]}', "JSON Parse error: Number too big to be stored in double."),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "Number too big to be stored in double."),
        (b"[" * 100_000, "JSON Parse error: nested too deeply"),
        (b"[1]", "JSON Value: [1] Is not object"),
        (b'"text"', 'JSON Value: "text" Is not object'),
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused(body, message):
    with pytest.raises(RequestError) as caught:
        rest.parse(body)
    assert message in str(caught.value)


def test_the_offset_of_an_error_counts_bytes():
    with pytest.raises(RequestError, match="at offset: 23"):
        rest.parse('{"instances": ["éé", x]}'.encode())


def test_a_byte_order_mark_is_skipped():
    assert rest.parse(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(
    ("body", "inputs", "message"),
    [
        ("{}", {"x": "int32"}, "Missing 'inputs' or 'instances' key"),
        ('{"inputs": 1, "instances": [1]}', {"x": "int32"}, "expecting only one of"),
        ('{"instances": 1}', {"x": "int32"}, "Excepting 'instances' to be an list/array"),
        ('{"instances": []}', {"x": "int32"}, "No values in 'instances' array"),
        ('{"instances": [1]}', {"x": "int32", "y": "int32"}, "expecting list of objects as"),
        ('{"instances": [{}]}', {"x": "int32"}, "keys must be equal to: x"),
        ('{"instances": [{"x": 1}]}', {"x": "int32", "y": "int32"}, "keys must be equal to: x,y"),
        ('{"instances": [{"z": 1}]}', {"x": "int32"}, "does not have named input: z"),
        (
            '{"instances": [{"x": 1}, 2]}', {"x": "int32"},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [1, {"x": 2}]}', {"x": "int32"},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            '{"instances": [1, "2"]}', {"x": "int32"},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON "
            'Value: "2" Type: String is not of expected type: int32',
        ),
        (
            '{"instances": [{"x": [1]}, {"x": [1, 2]}]}', {"x": "int32"},
            "Failed to process element: 1 key: x of 'instances' list. "
            "Error: INVALID_ARGUMENT: Expecting shape [1] but got: [2]",
        ),
        ('{"inputs": [1]}', {"x": "int32", "y": "int32"}, "inputs is a plain value/list"),
        ('{"inputs": {"x": 1}}', {"x": "int32", "y": "int32"}, "Missing named input: y in"),
    ],
)  # fmt: skip
def test_bodies_that_do_not_fit_the_signature_are_refused(body, inputs, message):
    with pytest.raises(RequestError) as caught:
        read(body, **inputs)
    assert message in str(caught.value)


def test_the_signature_is_serving_default_unless_named():
    assert rest.signature_name({}) == "serving_default"
    assert rest.signature_name({"signature_name": ""}) == "serving_default"
    assert rest.signature_name({"signature_name": "embed"}) == "embed"
    with pytest.raises(RequestError, match="'signature_name' key must be a string value"):
        rest.signature_name({"signature_name": 100})


def with_defaults():
    floats = wire.delimited(4, np.array([0.5], "<f4").tobytes())
    share = b"\x08\x01" + wire.delimited(2, wire.delimited(2, b"\x08\x01")) + floats
    found = signature(text="string", top_p="float32")
    return dataclasses.replace(found, defaults={"top_p": share})


@pytest.mark.parametrize(
    ("instances", "wanted"),
    [
        ('["a", "b"]', [0.5, 0.5]),
        ('[{"text": "a"}, {"text": "b", "top_p": 0.25}]', [0.5, 0.25]),
    ],
)
def test_a_row_may_leave_out_what_has_a_default(instances, wanted):
    document = rest.parse(f'{{"instances": {instances}}}'.encode())
    arrays, _ = rest.read_inputs(document, with_defaults())
    assert arrays["text"].tolist() == [b"a", b"b"]
    assert arrays["top_p"].tolist() == wanted


def test_columns_that_have_a_default_may_be_left_out():
    for body in (b'{"inputs": ["a"]}', b'{"inputs": {"text": ["a"]}}'):
        assert list(rest.read_inputs(rest.parse(body), with_defaults())[0]) == ["text"]
    document = rest.parse(b'{"inputs": {"top_p": [0.1]}}')
    with pytest.raises(RequestError, match="Missing named input: text"):
        rest.read_inputs(document, with_defaults())
    with pytest.raises(RequestError, match="keys must be equal to"):
        rest.read_inputs(rest.parse(b'{"instances": [{"top_p": 0.1}]}'), with_defaults())
