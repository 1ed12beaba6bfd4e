"""Warm-up requests: TFRecords of PredictionLog, written here byte by byte."""

import struct

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.export import wire
from tfzoo.serve import warm_up


def tfrecords(*contents):
    return b"".join(
        struct.pack("<Q", len(content)) + b"\0" * 4 + content + b"\0" * 4 for content in contents
    )


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


TEXTS = tensor(7, [2], wire.delimited(8, "a"), wire.delimited(8, "é"))


class FakeSession:
    def __init__(self, error=None):
        self.runs = []
        self._error = error

    def run(self, signature, /, **inputs):
        self.runs.append((signature, {name: array.tolist() for name, array in inputs.items()}))
        if self._error:
            raise self._error


def write(folder, data):
    path = folder / warm_up.FILE
    path.parent.mkdir()
    path.write_bytes(data)


def test_a_model_without_requests_is_not_run(tmp_path):
    assert warm_up.run(FakeSession(), tmp_path) == 0


def test_every_record_is_run(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS), predict_log("embed", text=TEXTS)))
    session = FakeSession()
    assert warm_up.run(session, tmp_path) == 2
    texts = {"text": [b"a", "é".encode()]}
    assert session.runs == [("serving_default", texts), ("embed", texts)]


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
        assert warm_up.read_request(log)[0] == "classify"
        assert warm_up.read_request(log)[1]["inputs"].tolist() == expected


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
    "data",
    [
        b"\x05",
        struct.pack("<Q", 100) + b"\0" * 20,
        tfrecords(b"\x0a\x00"),
        tfrecords(b"\xff\xff"),
        tfrecords(predict_log("", x=tensor(1, [3], wire.delimited(4, b"\0\0")))),
        tfrecords(predict_log("", x=tensor(99, [1]))),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, data):
    write(tmp_path, data)
    with pytest.raises(UserError, match=r"warm-up request 0 of .*tf_serving_warmup_requests"):
        warm_up.run(FakeSession(), tmp_path)


def test_a_request_that_fails_is_told(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS)))
    with pytest.raises(UserError, match=r"warm-up request 0 .* failed: no such input"):
        warm_up.run(FakeSession(UserError("no such input")), tmp_path)


def test_too_many_requests_are_refused(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS)) * (warm_up.MOST_RECORDS + 1))
    with pytest.raises(UserError, match="more than 1000 warm-up requests"):
        warm_up.run(FakeSession(), tmp_path)
