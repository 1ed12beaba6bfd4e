"""Broken exports are refused: the acceptance test of `tfzoo export`, from the outside."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.export import tiny_tasks
from tfzoo.core.errors import UserError
from tfzoo.export import pipeline, saved_model, warm_up
from tfzoo.export.report import VerificationError
from tfzoo.export.verify import kind_of, verify
from tfzoo.tasks.classification import Classification


def refused(task, folder, match):
    """Exports the task, expecting a refusal that says `match` and leaves nothing behind."""
    with pytest.raises(VerificationError, match=match) as caught:
        pipeline.run(task, folder, "broken", kinds=["savedmodel"])
    assert str(caught.value).endswith("The export does not verify: it was deleted.")
    assert not list(folder.iterdir())


def replaced(task, signature, function):
    """The task with another function under the name of one of its signatures."""
    original = task.signatures[signature]
    new = tf.function(function, input_signature=original.input_signature, autograph=False)
    task.signatures[signature] = new
    return task


@pytest.mark.slow
def test_a_mask_that_ignores_lengths_is_refused(tmp_path):
    task = tiny_tasks.classification()

    def everything_is_real(token_ids, lengths):
        mask = tf.ones_like(token_ids) + 0 * lengths[:, None]
        return task.answer({"token_ids": token_ids, "segment_ids": 0 * mask, "padding_mask": mask})

    refused(
        replaced(task, "token_ids", everything_is_real),
        tmp_path,
        "answers to single texts: .*token_ids of",
    )


def test_a_mask_that_takes_padding_for_text_is_refused(tmp_path):
    task = tiny_tasks.classification()

    def no_padding(text):
        inputs = task.inputs(text)
        return task.answer({**inputs, "padding_mask": tf.ones_like(inputs["token_ids"])})

    # Alone a text has no padding, so only the batches show it.
    replaced(task, "serving_default", no_padding)
    refused(task, tmp_path, "^SavedModel: answers to batches: .*serving_default of")


def test_a_not_a_number_in_one_answer_is_refused(tmp_path):
    class Unstable(Classification):
        def answer(self, inputs):
            found = super().answer(inputs)
            rows = tf.reduce_any(inputs["token_ids"] == self.tokenizer.id_of("中"), 1)
            logits = tf.where(rows[:, None], np.float32("nan"), found["logits"])
            return {**found, "logits": logits}

    refused(tiny_tasks.classification(Unstable), tmp_path, "is not finite")


def test_doubled_weights_are_refused(tmp_path, monkeypatch):
    class Doubled(saved_model._Served):
        def __init__(self, task):
            super().__init__(task)
            self.again = [tf.Variable(weight) for weight in task.model.weights]

    monkeypatch.setattr(saved_model, "_Served", Doubled)
    task = tiny_tasks.classification()
    refused(task, tmp_path, "21 of 21 equal, and 21 more, such as again/0/")


def test_xla_is_refused(tmp_path):
    task = tiny_tasks.embedding()
    compiled = tf.function(lambda x: tf.math.l2_normalize(x, -1), jit_compile=True)

    def embed(text):
        return {"embedding": compiled(task.embed(task.inputs(text)))}

    refused(replaced(task, "embed", embed), tmp_path, "jit_compile=True")


def test_python_is_refused(tmp_path):
    task = tiny_tasks.embedding()

    def embed(text):
        vectors = task.embed(task.inputs(text))
        same = tf.numpy_function(lambda x: x, [vectors], tf.float32)
        return {"embedding": tf.ensure_shape(same, vectors.shape)}

    refused(replaced(task, "embed", embed), tmp_path, "among them PyFunc")


def test_a_mutable_table_is_refused(tmp_path):
    task = tiny_tasks.embedding()
    task.tokenizer.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)

    def embed(text):
        extra = task.tokenizer.table.lookup(text)
        return {"embedding": task.embed(task.inputs(text)) + extra[:, None]}

    refused(replaced(task, "embed", embed), tmp_path, "among them MutableHashTable")


def test_swapped_labels_are_refused(exported):
    swapped = tiny_tasks.classification(labels=("good", "bad", "odd"))
    folder = exported.folders["savedmodel"]
    with pytest.raises(
        VerificationError,
        match=r"classes is \[b'bad', b'good', b'odd'\] instead of \[b'good', b'bad', b'odd'\]",
    ):
        verify(folder, swapped)
    assert (folder / "saved_model.pb").exists()


@pytest.mark.slow
def test_a_good_export_verifies_again(exported, tiny_task):
    (report,) = verify(exported.folders["savedmodel"], tiny_task, texts=["one more"])
    assert report.passed
    assert report.facts["texts"] == exported.reports[0].facts["texts"] + 1


def test_what_does_not_verify_is_deleted_only_on_request(copied, tiny_task):
    os.remove(copied / warm_up.FILE)
    with pytest.raises(VerificationError, match=r"no warm-up requests(.|\n)*it was left as it is"):
        verify(copied, tiny_task)
    assert copied.exists()
    with pytest.raises(VerificationError, match="it was deleted"):
        verify(copied, tiny_task, delete=True)
    assert not copied.exists()


def test_truncated_variables_are_refused(copied, tiny_task):
    path = copied / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(VerificationError, match="weights"):
        verify(copied, tiny_task)


def test_what_was_not_exported_is_refused(tmp_path, tiny_task):
    with pytest.raises(UserError, match="nothing exported there"):
        verify(tmp_path, tiny_task)
    with pytest.raises(UserError, match="nothing exported there"):
        verify(tmp_path / "absent", tiny_task)


def test_kinds_are_told_apart(exported, lite):
    assert kind_of(exported.folders["savedmodel"]) == "savedmodel"
    assert kind_of(lite) == kind_of(lite / "token_ids.float32.tflite") == "tflite"


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_tasks.embedding, tiny_tasks.token_classification])
def test_other_tasks_verify(tmp_path, make):
    summary = pipeline.run(make(), tmp_path, "tiny", kinds=["savedmodel"])
    assert all(report.passed for report in summary.reports)


@pytest.mark.slow
def test_pairs_and_models_without_tokenizer_verify(tmp_path):
    for task in (
        tiny_tasks.classification(pairs=True),
        tiny_tasks.token_classification(tokenizer=False),
    ):
        summary = pipeline.run(task, tmp_path, "tiny", kinds=["savedmodel"])
        assert all(report.passed for report in summary.reports)
        shutil.rmtree(tmp_path / "tiny")
