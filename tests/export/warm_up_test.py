"""The warm-up file: what is written is what TensorFlow Serving's own classes read."""

import struct

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export import warm_up, wire
from tfzoo.export.warm_up import Request


def strings(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


REQUESTS = (
    Request("serving_default", {"text": strings("é".encode(), b"", b"x" * 300)}),
    Request("token_ids", {"token_ids": np.array([[1, -2], [2**31 - 1, 0]], np.int32)}),
    Request("generate", {"top_p": np.array([0.5], np.float32), "do_sample": np.array([True])}),
    Request("classify", {"inputs": strings(warm_up.example(text="a"))}, classify=True),
)


@pytest.fixture
def folder(tmp_path):
    warm_up.write(tmp_path, "model", REQUESTS)
    return tmp_path


def test_what_is_written_is_read_back(folder):
    found = warm_up.read(folder)
    assert [(r.signature, r.classify) for r in found] == [
        (r.signature, r.classify) for r in REQUESTS
    ]
    for one, other in zip(found, REQUESTS, strict=True):
        assert one.inputs.keys() == other.inputs.keys()
        for name, array in one.inputs.items():
            assert array.dtype == other.inputs[name].dtype
            assert np.array_equal(array, other.inputs[name])


def test_tensorflow_reads_the_records_with_their_checksums(folder):
    records = list(tf.data.TFRecordDataset(str(folder / warm_up.FILE)).as_numpy_iterator())
    assert len(records) == len(REQUESTS)


def test_an_example_is_a_tf_example():
    example = tf.train.Example.FromString(warm_up.example(text="é", pair=b"\xff"))
    assert example.features.feature["text"].bytes_list.value == ["é".encode()]
    assert example.features.feature["pair"].bytes_list.value == [b"\xff"]


def test_tensorflow_servings_classes_read_the_requests(folder):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(folder / warm_up.FILE)).as_numpy_iterator()
    text, ids, _, classify = map(prediction_log_pb2.PredictionLog.FromString, records)
    request = text.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == (
        "model",
        "serving_default",
    )
    assert np.array_equal(tf.make_ndarray(request.inputs["text"]), REQUESTS[0].inputs["text"])
    ids = tf.make_ndarray(ids.predict_log.request.inputs["token_ids"])
    assert np.array_equal(ids, REQUESTS[1].inputs["token_ids"])
    request = classify.classify_log.request
    assert request.model_spec.signature_name == "classify"
    (example,) = request.input.example_list.examples
    assert example.features.feature["text"].bytes_list.value == [b"a"]


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(UserError, match=r"no warm-up requests.*tf_serving_warmup_requests"):
        warm_up.read(tmp_path)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_truncated_file_is_refused(folder, cut):
    path = folder / warm_up.FILE
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="damaged"):
        warm_up.read(folder)


@pytest.mark.parametrize("byte", [0, 9, 20, -1])
def test_a_flipped_bit_is_refused(folder, byte):
    path = folder / warm_up.FILE
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        warm_up.read(folder)


def tensor(code, shape, *fields):
    axes = b"".join(wire.delimited(2, b"\x08" + wire.varint(size)) for size in shape)
    return b"\x08" + wire.varint(code) + wire.delimited(2, axes) + b"".join(fields)


def predict_log(signature, **tensors):
    model = wire.delimited(1, "any") + (wire.delimited(3, signature) if signature else b"")
    inputs = b"".join(
        wire.delimited(2, wire.delimited(1, name) + wire.delimited(2, value))
        for name, value in tensors.items()
    )
    return wire.delimited(6, wire.delimited(1, wire.delimited(1, model) + inputs))


def test_classify_requests_carry_their_examples(tmp_path):
    shared = wire.delimited(1, b"\x0a\x01B") + wire.delimited(2, b"\x0a\x01C")
    for content, expected in [
        (
            wire.delimited(1, wire.delimited(1, b"one") + wire.delimited(1, b"two")),
            [b"one", b"two"],
        ),
        (wire.delimited(2, shared), [b"\x0a\x01C\x0a\x01B"]),
    ]:
        model = wire.delimited(1, wire.delimited(3, "classify"))
        log = wire.delimited(2, wire.delimited(1, model + wire.delimited(2, content)))
        assert warm_up.read_request(log).signature == "classify"
        assert warm_up.read_request(log).inputs["inputs"].tolist() == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (tensor(1, [2], wire.delimited(4, struct.pack("<2f", 1.5, 2))), np.float32([1.5, 2])),
        (tensor(1, [2], wire.delimited(5, struct.pack("<2f", 1.5, 2))), np.float32([1.5, 2])),
        (tensor(1, [3], wire.delimited(5, struct.pack("<f", 4))), np.float32([4, 4, 4])),
        (tensor(2, [], wire.delimited(6, struct.pack("<d", 0.1))), np.float64(0.1)),
        (tensor(3, [1, 2], wire.delimited(7, wire.varint(-1) + wire.varint(300))),
         np.int32([[-1, 300]])),
        (tensor(9, [1], b"\x50\x05"), np.int64([5])),
        (tensor(10, [2], wire.delimited(11, b"\x01\x00")), np.array([True, False])),
        (tensor(7, [0]), np.empty(0, object)),
        (tensor(7, [2], wire.delimited(8, b"x")), np.array([b"x", b"x"], object)),
    ],
)  # fmt: skip
def test_tensors_are_read_in_every_form(message, expected):
    array = warm_up.read_tensor(memoryview(message))
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == expected.dtype


@pytest.mark.parametrize(
    "record",
    [
        b"\x0a\x00",
        b"\xff\xff",
        predict_log("", x=tensor(1, [3], wire.delimited(4, b"\0\0"))),
        predict_log("", x=tensor(99, [1])),
    ],
)
def test_a_record_that_is_no_request_is_refused_by_name(tmp_path, record):
    path = tmp_path / warm_up.FILE
    path.parent.mkdir()
    path.write_bytes(warm_up.framed(record))
    with pytest.raises(UserError, match=r"damaged.*tf_serving_warmup_requests"):
        warm_up.read(tmp_path)
