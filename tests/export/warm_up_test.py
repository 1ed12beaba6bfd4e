"""The warm-up file: what is written is what TensorFlow Serving's own classes read."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export import warm_up
from tfzoo.export.warm_up import Request


def strings(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


REQUESTS = (
    Request("serving_default", {"text": strings("é".encode(), b"", b"x" * 300)}),
    Request("token_ids", {"token_ids": np.array([[1, -2], [2**31 - 1, 0]], np.int32)}),
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
    text, ids, classify = map(prediction_log_pb2.PredictionLog.FromString, records)
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
