"""TFLite files in LiteRT: what runs, and what is refused."""

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.export.lite_interpreter import LiteModel, operations


@pytest.fixture(scope="module")
def model(lite):
    return LiteModel(lite / "token_ids.float32.tflite")


def test_rows_and_tokens_may_be_of_any_number(model):
    for rows, length in ((1, 5), (3, 7), (1, 1), (2, 24)):
        ids, lengths = np.ones([rows, length], np.int32), np.full(rows, length, np.int32)
        answer = model.run("token_ids", token_ids=ids, lengths=lengths)
        assert answer["scores"].shape == (rows, 3)
        np.testing.assert_allclose(answer["scores"].sum(1), 1, atol=1e-6)


def test_only_numbers_come_out(model):
    ids = np.ones([1, 2], np.int32)
    answer = model.run("token_ids", token_ids=ids, lengths=np.array([2], np.int32))
    assert sorted(answer) == ["logits", "score", "scores"]


def test_operations_are_counted(lite):
    found = operations(lite / "token_ids.float32.tflite")
    assert found["SOFTMAX"] == 2
    assert not [name for name in found if name.startswith("CUSTOM")]


def test_wrong_requests_are_refused(model):
    with pytest.raises(UserError, match=r"Expected one of \['token_ids'\]"):
        model.run("embed", text=np.array([b"a"], object))
    with pytest.raises(UserError, match=r"takes \['lengths', 'token_ids'\]"):
        model.run("token_ids", token_ids=np.ones([1, 2], np.int32))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such TFLite file"):
        LiteModel(tmp_path / "absent.tflite")
    (tmp_path / "text.tflite").write_bytes(b"this is not a model")
    with pytest.raises(UserError, match="not TFL3"):
        LiteModel(tmp_path / "text.tflite")
