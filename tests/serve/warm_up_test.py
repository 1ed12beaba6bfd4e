"""Warm-up requests are run, each once, before a model is ready."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.export import warm_up as records
from tfzoo.export import wire
from tfzoo.serve import warm_up


def tfrecords(*contents):
    return b"".join(map(records.framed, contents))


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
    path = folder / records.FILE
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


def test_a_damaged_file_is_refused_by_name(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS))[:-1])
    with pytest.raises(UserError, match=r"damaged.*tf_serving_warmup_requests"):
        warm_up.run(FakeSession(), tmp_path)


def test_a_request_that_fails_is_told(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS)))
    with pytest.raises(UserError, match=r"warm-up request 0 .* failed: no such input"):
        warm_up.run(FakeSession(UserError("no such input")), tmp_path)


def test_too_many_requests_are_refused(tmp_path):
    write(tmp_path, tfrecords(predict_log("", text=TEXTS)) * (warm_up.MOST_RECORDS + 1))
    with pytest.raises(UserError, match="more than 1000 warm-up requests"):
        warm_up.run(FakeSession(), tmp_path)
