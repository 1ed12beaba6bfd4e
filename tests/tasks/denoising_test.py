"""Denoising: from texts to damaged rows to a model that mends them."""

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import pretraining
from tfzoo.core.errors import UserError
from tfzoo.tasks import denoising
from tfzoo.tasks.denoising import Data, sentinel_ids
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence
from tfzoo.tasks.texts import TextChoice
from tfzoo.train.start import build_task

EOS = pretraining.EOS
T5 = {"name": "t5", "fields": {"num_heads": 2, "width": 16, "feed_forward_dim": 32,
      **pretraining.SIDES}}  # fmt: skip
BART = {
    "name": "bart",
    "fields": {
        **{f"num_{side}_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_feed_forward_dim": 32 for side in ("encoder", "decoder")},
        **{"pad_id": 0, "eos_id": EOS, "decoder_start_id": EOS, "max_length": 32},
        **pretraining.SIDES,
        **pretraining.SIZES,
        **pretraining.NO_DROPOUT,
    },
}


def made(tmp_path, objective, model, **fields):
    """Inputs and targets of four rows of a new model's training data, as arrays."""
    experiment = pretraining.make(
        tmp_path, "denoising", {"objective": objective, "length": 32, **fields}, model
    )
    corpus = denoising.read(experiment.data)
    task = build_task(experiment, corpus, tmp_path / "none")
    assert isinstance(task, SequenceToSequence)
    source, evaluation = corpus.sources(task, 0, fixed=True)
    assert evaluation.num_rows >= 1
    rows = tf.range(4, dtype=tf.int64), tf.constant(0, tf.int64), tf.ones([4], tf.bool)
    return {k: v.numpy() for part in source.examples(*rows) for k, v in part.items()}


def test_t5_fills_in_spans(tmp_path):
    found = made(tmp_path, "span_corruption", T5)
    first, second = (pretraining.VOCABULARY.index(f"<extra_id_{i}>") for i in range(2))
    assert found["encoder_token_ids"].shape[1] <= 32
    for encoder, labels in zip(found["encoder_token_ids"], found["labels"], strict=True):
        assert list(encoder).count(first) == list(labels).count(first) == 1
        assert list(encoder).index(first) < list(encoder).index(second)
        assert encoder[-1] == labels[-1] == EOS
    assert (found["decoder_token_ids"][:, 0] == 0).all()
    np.testing.assert_array_equal(found["decoder_token_ids"][:, 1:], found["labels"][:, :-1])


def test_bart_writes_the_whole_text(tmp_path):
    found = made(tmp_path, "infilling", BART)
    mask = pretraining.VOCABULARY.index("<mask>")
    begin = pretraining.VOCABULARY.index("<s>")
    for encoder, labels, weights in zip(
        found["encoder_token_ids"], found["labels"], found["label_weights"], strict=True
    ):
        assert mask in encoder and mask not in labels
        assert encoder[0] == labels[0] == begin
        assert labels[int(weights.sum()) - 1] == EOS
    assert (found["decoder_token_ids"][:, 0] == EOS).all()


def test_how_much_is_damaged_can_be_said(tmp_path):
    few = made(tmp_path, "span_corruption", T5)["labels"]
    many = made(tmp_path, "span_corruption", T5, noise_share=0.4, mean_span=5.0)["labels"]
    assert many.shape[1] > 1.5 * few.shape[1]


def test_sentinels_come_in_the_order_of_their_numbers():
    class Tokenizer:
        vocabulary = ("<extra_id_10>", "a", "<extra_id_2>", "<extra_id_0>", "<extra_id_x>")

    assert sentinel_ids(Tokenizer()) == (3, 2, 0)
    Tokenizer.vocabulary = ("a",)
    with pytest.raises(UserError, match="needs a tokenizer with <extra_id_0>"):
        sentinel_ids(Tokenizer())


def test_a_model_that_ends_texts_otherwise_is_refused(tmp_path):
    other = {"name": "t5", "fields": {**T5["fields"], "eos_id": 4}}
    with pytest.raises(UserError, match=r"eos_id=4, the tokenizer's is 1"):
        made(tmp_path, "span_corruption", other)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"noise_share": 1.0}, "noise_share must be between 0 and 1"),
        ({"mean_span": 0}, "mean_span"),
        ({"length": 7}, "length"),
    ],
)
def test_data_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Data(TextChoice("a"), **fields)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "model"), [("span_corruption", T5), ("infilling", BART)])
def test_a_run_learns_and_its_model_answers(tmp_path, objective, model):
    data = {"objective": objective, "length": 32}
    summary = pretraining.check_learns(tmp_path, "denoising", data, model)
    assert {"loss", "accuracy", "perplexity"} <= set(summary) and "bleu" not in summary
    task = tfzoo.load(summary["model"]).task
    assert task.name == "sequence_to_sequence"
    assert task.predict(["the cat"], ["the dog"])["logits"].shape[0] == 1


@pytest.mark.data
def test_training_goes_on_from_a_checkpoint(shared_data, tmp_path):
    place = f"hf:{shared_data('hf-random') / 't5-v1.1'}"
    experiment = pretraining.make(tmp_path, "denoising", {"length": 32}, {"load": place})
    found = build_task(experiment, denoising.read(experiment.data), tmp_path / "none")
    stored = tfzoo.load(place).model
    assert len(found.model.weights) == len(stored.weights)
    for one, two in zip(found.model.weights, stored.weights, strict=True):
        np.testing.assert_array_equal(one, two)
