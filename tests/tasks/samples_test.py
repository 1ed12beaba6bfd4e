"""What a model answers, as Markdown."""

import keras
import pytest
import tensorflow as tf

from tests.tasks import pretraining
from tfzoo import tasks
from tfzoo.tasks import samples
from tfzoo.train.start import build_task

NO_DROPOUT = {**pretraining.ENCODER, **pretraining.NO_DROPOUT}
SIDES = {
    **pretraining.SIZES,
    **pretraining.SIDES,
    "num_encoder_heads": 2,
    "num_decoder_heads": 2,
    "encoder_feed_forward_dim": 16,
    "decoder_feed_forward_dim": 16,
    "max_length": 24,
}


def start(folder, task, data, name, fields):
    """A corpus and its task on a new model."""
    keras.utils.set_random_seed(5)
    experiment = pretraining.make(folder, task, data, {"name": name, "fields": fields})
    corpus = tasks.trainable(task).read(experiment.data)
    return corpus, build_task(experiment, corpus, folder / "trained")


def lines(shown):
    ((title, text),) = shown
    assert title == "predictions"
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


def test_a_table_survives_what_its_cells_hold():
    shown = samples.table(("a", "b"), [("x|y", "two\nlines"), ("back\\", 3)])
    assert shown.splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| x\\|y | two lines |",
        "| back\\\\ | 3 |",
    ]


def test_a_language_model_goes_on_with_its_texts(tmp_path):
    fields = {**NO_DROPOUT, "max_length": 48}
    corpus, task = start(tmp_path, "language_model", {"length": 30}, "gpt2", fields)
    head, _, *rows = lines(corpus.samples(task, 2))
    assert head == ["text", "goes on"]
    inputs, _ = corpus._shown
    prompts = inputs["token_ids"][:, :24]
    whole = {"token_ids": prompts}
    written = samples.likeliest(task.model, whole, pretraining.EOS, 24)  # of 48 positions
    for row, prompt, ids in zip(rows, prompts, written, strict=True):
        texts = task.tokenizer.decode(tf.stack([prompt]), True), task.tokenizer.decode([ids], True)
        assert row == [text.numpy()[0].decode() for text in texts]


def test_a_masked_language_model_says_what_was_hidden(tmp_path):
    data = {"length": 24, "next_sentence": False, "most_masked": 3}
    corpus, task = start(tmp_path, "masked_language_model", data, "bert", NO_DROPOUT)
    head, _, *rows = lines(corpus.samples(task, 3))
    assert head == ["text", "hidden", "predicted"]
    assert len(rows) == 3
    for text, hidden, predicted in rows:
        assert text.startswith("[CLS]")
        assert len(hidden.split()) == len(predicted.split()) > 0
        assert set(hidden.split()) <= {*pretraining.WORDS, "##s", "."}


@pytest.mark.parametrize("objective", ["span_corruption", "infilling"])
def test_an_encoder_decoder_writes_beside_its_target(tmp_path, objective):
    data = {"objective": objective, "length": 20}
    fields = {**SIDES, "eos_id": 1, "pad_id": 0, "decoder_start_id": 0}
    corpus, task = start(tmp_path, "denoising", data, "transformer", fields)
    head, _, *rows = lines(corpus.samples(task, 2))
    assert head == ["source", "target", "written"]
    assert len(rows) == 2
    assert all(source and target for source, target, *_ in rows)
