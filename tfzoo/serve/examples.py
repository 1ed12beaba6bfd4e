"""The classify and regress requests: JSON examples become tf.Example records, answers come back.

    {"examples": [{"text": "a film", "year": 1999}], "context": {...}}
        -> serialized tf.Example, one an example -> the signature's one string input
        -> {"results": [[["good", 0.9], ["bad", 0.1]]]} or {"results": [3.5]}

A JSON string is a bytes feature, a decimal number a float, a whole number or bool an int64.

Easy to get wrong: 1 and 1.0 are different features to a graph that parses them.

Checked against: tensorflow/serving 00e459f, util/json_tensor.cc, servables/tensorflow/classifier.cc
and regressor.cc; tensorflow/core/example/{example,feature}.proto.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfzoo.export import wire
from tfzoo.export.meta_graph import Signature
from tfzoo.serve import values
from tfzoo.serve.errors import RequestError, shown, type_name

_METHODS = {
    "classify": ("classification", "tensorflow/serving/classify"),
    "regress": ("regression", "tensorflow/serving/regress"),
}
_KINDS = {1: "bytes", 2: "float", 3: "int64"}  # the fields of Feature


def read_examples(document: Mapping[str, Any]) -> list[bytes]:
    """Returns one serialized tf.Example for each entry of a request's "examples".

    Raises:
        RequestError: when there are none, or one is not an object of numbers and strings.
    """
    context = b""
    if "context" in document:
        context = _example(document["context"])
    if "examples" not in document:
        raise RequestError(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise RequestError(
            f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise RequestError(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    # Two messages one after the other are one message that holds the fields of both.
    return [context + _example(example) for example in examples]


def check_signature(signature: Signature, method: str) -> None:
    """Checks that a signature can answer `method`: "classify" or "regress".

    Raises:
        RequestError: when it is made for something else.
    """
    noun, expected = _METHODS[method]
    if signature.method != expected:
        raise RequestError(
            f"Expected {noun} signature method_name to be {expected}. Was: {signature.method}"
        )
    if list(signature.inputs) != ["inputs"]:
        raise RequestError(
            f"Expected one input Tensor, named inputs. Was: {', '.join(signature.inputs)}",
            "FAILED_PRECONDITION",
        )
    allowed = {"classes", "scores"} if method == "classify" else {"outputs"}
    if not set(signature.outputs) or set(signature.outputs) - allowed:
        raise RequestError(
            f"Expected {noun} signature outputs to be of {', '.join(sorted(allowed))}. "
            f"Was: {', '.join(signature.outputs)}",
            "FAILED_PRECONDITION",
        )


def classifications(outputs: Mapping[str, np.ndarray], size: int) -> list[Any]:
    """Returns [[label, score], ...] for each example: labels as bytes, scores as float32.

    Raises:
        RequestError: when the outputs are not [examples, classes] strings and float32.
    """
    for name, array in outputs.items():
        if array.ndim != 2:
            raise RequestError(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}"
            )
        if array.dtype != (object if name == "classes" else np.float32):
            wanted = "DT_STRING" if name == "classes" else "DT_FLOAT"
            raise RequestError(f"Expected {name} Tensor of {wanted}. Got: {array.dtype}")
        if len(array) != size:
            raise RequestError(f"Expected {name} output batch size of {size}. Got: {len(array)}")
    shape = next(iter(outputs.values())).shape
    labels = outputs.get("classes", np.full(shape, b"", dtype=object))
    scores = outputs.get("scores", np.zeros(shape, dtype=np.float32))
    if labels.shape != scores.shape:
        raise RequestError(
            f"Tensors class and score should match in shape. Got {labels.shape} vs. {scores.shape}"
        )
    return [
        [[label, score] for label, score in zip(*row, strict=True)]
        for row in zip(labels, scores, strict=True)
    ]


def regressions(outputs: Mapping[str, np.ndarray], size: int) -> list[Any]:
    """Returns one float32 for each example.

    Raises:
        RequestError: when the output is not float32 [examples] or [examples, 1].
    """
    array = outputs["outputs"]
    if array.shape not in ((size,), (size, 1)):
        raise RequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {list(array.shape)}"
        )
    if array.dtype != np.float32:
        raise RequestError(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    return list(array.reshape(-1))


def _example(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise RequestError(f"Example must be JSON object but got JSON {type_name(value)}")
    features = b"".join(
        wire.delimited(
            1,
            wire.delimited(1, values.encode_text(name))
            + wire.delimited(2, _feature(name, content)),
        )
        for name, content in value.items()
    )
    return wire.delimited(1, features)


def _feature(name: str, content: Any) -> bytes:
    items = content if isinstance(content, list) else [content]
    if not items:
        return b""
    pairs = [_element(name, item) for item in items]
    kind = pairs[0][0]
    if any(other != kind for other, _ in pairs):
        raise RequestError(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[kind]}"
        )
    data = b"".join(item for _, item in pairs)
    # Numbers are packed into one field; every string is a field of its own.
    return wire.delimited(kind, data if kind == 1 else wire.delimited(1, data))


def _element(name: str, value: Any) -> tuple[int, bytes]:
    """Returns the kind of one element, a key of _KINDS, and its bytes."""
    if isinstance(value, str):
        return 1, wire.delimited(1, values.encode_text(value))
    if values.is_base64(value):
        return 1, wire.delimited(1, values.decode_base64(value))
    if isinstance(value, float):
        if not values.fits_float(value, "float32"):
            raise RequestError(
                f"Cannot convert JSON value: {shown(value)} to float without loss of precision."
            )
        return 2, struct.pack("<f", value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise RequestError(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return 3, wire.varint(int(value))
    raise RequestError(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
