"""Classify and regress: JSON examples as tf.Example records, and the answers' rules."""

import numpy as np
import pytest

from tfzoo.export import wire
from tfzoo.export.meta_graph import Signature, TensorSpec
from tfzoo.serve import examples
from tfzoo.serve.errors import RequestError


def features(record):
    """The features of a serialized tf.Example as {name: (kind, values)}."""
    out = {}
    for message in wire.messages(record, 1):
        for entry in wire.messages(message, 1):
            ((kind, content),) = wire.fields(wire.first(entry, 2))
            items = list(wire.messages(content, 1))
            if kind == 1:
                values = [bytes(item) for item in items]
            else:
                unpack = wire.unpack_floats if kind == 2 else wire.unpack_varints
                values = [number for item in items for number in unpack(item)]
            out[wire.text(entry, 1)] = (kind, values)
    return out


def test_each_json_type_is_a_kind_of_feature():
    (record,) = examples.read_examples(
        {"examples": [{"s": "é", "b": {"b64": "/w=="}, "f": 1.5, "i": -3, "t": True}]}
    )
    assert features(record) == {
        "s": (1, ["é".encode()]), "b": (1, [b"\xff"]), "f": (2, [1.5]), "i": (3, [-3]),
        "t": (3, [1]),
    }  # fmt: skip


def test_lists_are_features_of_several_values():
    (record,) = examples.read_examples({"examples": [{"s": ["a", "bc"], "f": [1.0, 2.5]}]})
    assert features(record) == {"s": (1, [b"a", b"bc"]), "f": (2, [1.0, 2.5])}


def test_a_context_is_part_of_every_example():
    records = examples.read_examples(
        {"context": {"year": 1999}, "examples": [{"s": "a"}, {"s": "b"}]}
    )
    assert [features(record)["s"] for record in records] == [(1, [b"a"]), (1, [b"b"])]
    assert all(features(record)["year"] == (3, [1999]) for record in records)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"y": 1}}]}, "has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1, 1.5]}]}, "Unexpected element type in feature: x expecting type"),
        ({"examples": [{"x": ["a", 1]}]}, "in feature: x expecting type: bytes"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64 element. Only int64"),
        ({"examples": [{"x": 1e39}]}, "to float without loss of precision"),
        ({"examples": [{"\ud800": 1}]}, "surrogate pair in string is invalid"),
    ],
)
def test_what_is_no_example_is_refused(document, message):
    with pytest.raises(RequestError) as caught:
        examples.read_examples(document)
    assert message in str(caught.value)


def signature(method, inputs, outputs):
    specs = [{n: TensorSpec(n, "string", (None,), n) for n in names} for names in (inputs, outputs)]
    return Signature("s", *specs, f"tensorflow/serving/{method}")


def test_only_signatures_of_the_method_are_taken():
    examples.check_signature(signature("classify", ["inputs"], ["classes", "scores"]), "classify")
    examples.check_signature(signature("classify", ["inputs"], ["scores"]), "classify")
    examples.check_signature(signature("regress", ["inputs"], ["outputs"]), "regress")
    with pytest.raises(RequestError, match=r"to be tensorflow/serving/classify\. Was: .*predict"):
        examples.check_signature(signature("predict", ["inputs"], ["scores"]), "classify")
    with pytest.raises(RequestError, match="Expected one input Tensor"):
        examples.check_signature(signature("regress", ["a", "b"], ["outputs"]), "regress")
    with pytest.raises(RequestError, match="outputs to be of classes, scores"):
        examples.check_signature(signature("classify", ["inputs"], ["x"]), "classify")


def test_classes_and_scores_are_paired():
    classes = np.array([[b"a", b"b"]], dtype=object)
    scores = np.array([[0.25, 0.75]], np.float32)
    both = {"classes": classes, "scores": scores}
    assert examples.classifications(both, 1) == [[[b"a", 0.25], [b"b", 0.75]]]
    assert examples.classifications({"scores": scores}, 1) == [[[b"", 0.25], [b"", 0.75]]]
    assert examples.classifications({"classes": classes}, 1) == [[[b"a", 0.0], [b"b", 0.0]]]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"scores": np.zeros(2, np.float32)}, "Expected Tensor shape: [batch_size num_classes]"),
        ({"scores": np.zeros((1, 2))}, "Expected scores Tensor of DT_FLOAT"),
        ({"scores": np.zeros((2, 2), np.float32)}, "Expected scores output batch size of 1"),
        ({"classes": np.zeros((1, 2), np.float32)}, "Expected classes Tensor of DT_STRING"),
    ],
)
def test_answers_of_another_form_are_refused(outputs, message):
    with pytest.raises(RequestError) as caught:
        examples.classifications(outputs, 1)
    assert message in str(caught.value)


def test_regressions_are_one_number_an_example():
    column = np.array([[1.5], [2.5]], np.float32)
    assert examples.regressions({"outputs": column}, 2) == [1.5, 2.5]
    assert examples.regressions({"outputs": column[:, 0]}, 2) == [1.5, 2.5]
    with pytest.raises(RequestError, match="Expected output Tensor shape to be either"):
        examples.regressions({"outputs": np.zeros((2, 2), np.float32)}, 2)
    with pytest.raises(RequestError, match="Expected output Tensor of DT_FLOAT"):
        examples.regressions({"outputs": np.zeros(2)}, 2)
