"""TFLite files against the live model: good ones pass, damaged ones and others do not."""

import shutil

import numpy as np
import pytest

from tests.export import tiny_tasks
from tfzoo.core.errors import UserError
from tfzoo.export import pipeline, tflite
from tfzoo.export.report import VerificationError
from tfzoo.export.verify import verify


def test_a_float32_file_answers_as_the_live_model(lite, tiny_task):
    (report,) = verify(lite, tiny_task)
    assert report.passed
    assert "answers, alone and in batches" in [check.name for check in report.checks]


def test_a_file_of_other_weights_is_refused(lite):
    other = tiny_tasks.classification()
    kernel = other.model.get_layer("classifier").kernel
    kernel.assign(-np.asarray(kernel))
    with pytest.raises(VerificationError, match="in batches: largest difference"):
        verify(lite, other)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_garbage_is_refused_at_every_precision(copied_lite, precision):
    # The file of the unchanged model, under a name that gives it the widest tolerance there is.
    shutil.move(
        copied_lite / "token_ids.float32.tflite", copied_lite / f"token_ids.{precision}.tflite"
    )
    other = tiny_tasks.classification()
    random = np.random.default_rng(0)
    for weight in other.model.weights:
        if "kernel" in weight.path:
            weight.assign(random.permutation(np.asarray(weight).ravel()).reshape(weight.shape))
    with pytest.raises(VerificationError, match=r"variation that survives: (-|0\.[0-8])"):
        verify(copied_lite, other)


def test_swapped_labels_beside_the_file_are_refused(copied_lite, tiny_task):
    (copied_lite / "labels.txt").write_text("good\nbad\nodd\n")
    with pytest.raises(VerificationError, match=r"labels.txt: others, 3; it must be the model's 3"):
        verify(copied_lite, tiny_task)


def test_a_damaged_file_is_refused(copied_lite, tiny_task):
    path = copied_lite / "token_ids.float32.tflite"
    path.write_bytes(b"no model at all")
    with pytest.raises(VerificationError, match="not TFL3"):
        verify(path, tiny_task, delete=True)
    assert not path.exists()


@pytest.mark.parametrize("name", ["model.tflite", "token_ids.int4.tflite", "ids.int8.tflite"])
def test_a_name_that_does_not_say_what_it_is_is_refused(tmp_path, tiny_task, name):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="the name of a TFLite file says what it is"):
        verify(tmp_path / name, tiny_task)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [False, True])
def test_every_form_and_precision_verifies(tmp_path, pairs):
    task = tiny_tasks.classification(pairs=pairs)
    summary = pipeline.run(task, tmp_path, "tiny", kinds=["tflite"])
    names = [f"{f}.{p}.tflite" for f in tflite.ANSWERING for p in tflite.PRECISIONS]
    assert [report.artefact for report in summary.reports] == names


@pytest.mark.slow
def test_an_operation_that_phones_lack_is_refused(tmp_path):
    import tensorflow as tf

    task = tiny_tasks.embedding()
    embed = task.embed
    task.embed = lambda inputs: (
        tf.linalg.matrix_transpose(
            tf.linalg.qr(tf.linalg.matrix_transpose(embed(inputs)[:, :1]))[0]
        )
        + embed(inputs)
    )
    with pytest.raises(VerificationError, match="CUSTOM:Qr"):
        pipeline.run(task, tmp_path, "odd", kinds=["tflite"], precisions=["int8"])


@pytest.mark.slow
def test_int8_of_other_weights_is_refused(tmp_path):
    tflite.write(tiny_tasks.classification(), tmp_path, ["int8"], ["token_ids"])
    other = tiny_tasks.classification()
    (table,) = [w for w in other.model.weights if w.path == "token_embedding/embeddings"]
    table.assign(np.asarray(table)[::-1])
    with pytest.raises(VerificationError, match="variation that survives"):
        verify(tmp_path, other)
