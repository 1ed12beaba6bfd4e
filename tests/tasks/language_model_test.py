"""Causal language models, from texts to a loss by the character."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import pretraining
from tfzoo.core.errors import UserError
from tfzoo.tasks import folder, language_model
from tfzoo.tasks.language_model import Data, LanguageModel
from tfzoo.tasks.texts import TextChoice
from tfzoo.testing.values import fill, near
from tfzoo.train.start import build_task

MODEL = {"name": "gpt2", "fields": {**pretraining.SIZES, "num_layers": 1, "num_heads": 2,
         "max_length": 16, **pretraining.NO_DROPOUT}}  # fmt: skip


def model(**fields):
    vocab_size = len(pretraining.VOCABULARY)
    built = tfzoo.build("gpt2", vocab_size=vocab_size, **{**MODEL["fields"], **fields})
    fill(built)
    return built


@pytest.fixture(scope="module")
def task():
    return LanguageModel(model(), pretraining.tokenizer())


def corpus(tmp_path, **fields):
    return language_model.read(Data(TextChoice(str(pretraining.write_texts(tmp_path))), **fields))


def test_it_answers_with_the_scores_of_the_token_after_each(task):
    answer = task.predict(["the cat"])
    assert answer["token_ids"].shape == (1, 4)
    whole = task.model({"token_ids": answer["token_ids"], "padding_mask": np.ones((1, 4))})
    near(answer["logits"], whole["logits"], 1e-5)


def test_loss_and_count_are_those_of_all_predicted_tokens(task, tmp_path):
    texts = corpus(tmp_path)
    texts.task(task.model, task.tokenizer, None)
    source, _ = texts.sources(task, 0, fixed=True)
    numbers, real = tf.constant([0, 1], tf.int64), tf.constant([True, True])
    inputs, targets = source.examples(numbers, tf.constant(0, tf.int64), real)
    assert inputs["token_ids"].shape == (2, 16)  # the model's positions
    outputs = task.forward(inputs, training=False)
    wide = outputs["logits"].numpy().astype("float64")
    log = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    nats = -np.take_along_axis(log, targets["labels"].numpy()[..., None], 2)
    near(task.loss(targets, outputs), nats.sum(), 1e-3)
    assert float(task.count(targets)) == 32
    kept = {name: part.numpy() for name, part in task.kept(targets, outputs).items()}
    assert task.scores(kept)["loss"] == pytest.approx(nats.mean(), rel=1e-5)


def test_the_loss_by_the_character_is_all_nats_by_all_characters(task):
    kept = {name: np.array([6.0, 3.0]) for name in ("nats", "tokens", "right")}
    assert "loss_per_character" not in task.scores(kept)
    other = LanguageModel(task.model, task.tokenizer)
    other.characters = 20
    assert other.scores(kept)["loss_per_character"] == pytest.approx(9 / 20)
    assert other.report(kept).values == other.scores(kept)


def test_the_characters_are_those_of_the_evaluation_texts_and_are_not_saved(tmp_path):
    texts = corpus(tmp_path)
    made = texts.task(model(), pretraining.tokenizer(), None)
    assert made.characters == texts.documents[1].characters > 100
    folder.save(made, tmp_path / "model")
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert values["task"] == {"name": "language_model", "pairs": False, "max_length": 16}


def test_packed_documents_do_not_see_each_other_and_are_not_saved(tmp_path):
    texts = corpus(tmp_path, rows="packed", length=64)
    assert texts.model_fields() == {"head": "causal_lm", "packed": True}
    made = texts.task(model(packed=True, max_length=64), pretraining.tokenizer(), None)
    source, _ = texts.sources(made, 0, fixed=False)
    numbers = tf.range(source.num_rows, dtype=tf.int64)
    real = tf.ones([source.num_rows], tf.bool)
    inputs, _ = source.examples(numbers, tf.constant(0, tf.int64), real)
    assert inputs["padding_mask"].numpy().max() > 1
    row = np.flatnonzero(inputs["padding_mask"].numpy().max(1) > 1)[0]
    whole = made.forward(inputs, training=False)["logits"].numpy()[row]
    ids, numbers = (inputs[name].numpy()[row] for name in ("token_ids", "padding_mask"))
    second = numbers == 2
    folder.save(made, tmp_path / "model")
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "packed" not in values["model"]
    loaded = tfzoo.load(tmp_path / "model").model
    assert not loaded.config.packed
    alone = loaded({"token_ids": ids[second][None], "padding_mask": np.ones((1, second.sum()))})
    near(alone["logits"][0], whole[second], 1e-4)
    assert tfzoo.load(tmp_path / "model", packed=True).config.packed


def test_single_documents_come_one_a_row_with_their_lengths(task, tmp_path):
    texts = corpus(tmp_path, rows="single")
    assert texts.model_fields() == {"head": "causal_lm"}
    texts.task(task.model, task.tokenizer, None)
    source, _ = texts.sources(task, 0, fixed=True)
    assert source.lengths is not None
    assert source.num_rows >= len(texts.documents[0])


def test_another_head_is_refused():
    with pytest.raises(UserError, match="needs a model with head causal_lm"):
        LanguageModel(model(head="none"), pretraining.tokenizer())


def test_lengths_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="length"):
        Data(TextChoice("a"), length=1)


@pytest.mark.slow
def test_a_run_learns_and_its_model_answers(tmp_path):
    summary = pretraining.check_learns(tmp_path, "language_model", {"length": 16}, MODEL)
    assert {"loss", "perplexity", "accuracy", "loss_per_character"} <= set(summary)
    assert summary["tokens"] > summary["evaluation_tokens"] > 0
    loaded = tfzoo.load(summary["model"])
    assert loaded.task.name == "language_model"
    logits = loaded.task.predict(["the cat sees a dog and then the"])["logits"]
    assert logits.shape[2] == len(pretraining.VOCABULARY)


@pytest.mark.slow
def test_a_packed_run_learns_and_goes_on(tmp_path):
    data = {"length": 48, "rows": "packed"}
    model = {**MODEL, "fields": {**MODEL["fields"], "max_length": 48}}
    summary = pretraining.check_learns(tmp_path, "language_model", data, model)
    assert not tfzoo.load(summary["model"]).config.packed
    more = {"name": "gpt2", "load": summary["model"], "tokenizer": None}
    again = pretraining.make(tmp_path, "language_model", data, more)
    corpus = language_model.read(again.data)
    assert build_task(again, corpus, tmp_path / "none").model.config.packed


@pytest.mark.data
def test_training_goes_on_from_a_checkpoint(shared_data, tmp_path):
    place = f"hf:{shared_data('hf-random') / 'gpt2-lm'}"
    experiment = pretraining.make(tmp_path, "language_model", {}, {"name": "gpt2", "load": place})
    found = build_task(experiment, language_model.read(experiment.data), tmp_path / "none")
    stored = tfzoo.load(place).model
    assert len(found.model.weights) == len(stored.weights)
    for one, two in zip(found.model.weights, stored.weights, strict=True):
        np.testing.assert_array_equal(one, two)


# Scoring.

LONG = "the cat sees a dog and then the bird hears a fish . the dog sleeps . a cat hears the bird"


def log_likelihood(task, ids, first):
    """The sum over tokens from `first` on, of one row that the model can read at once."""
    row = np.array([ids], "int32")
    wide = task.model({"token_ids": row, "padding_mask": np.ones_like(row)})["logits"]
    log = tf.nn.log_softmax(wide)[0].numpy()
    return sum(log[i - 1, ids[i]] for i in range(first, len(ids)))


def ids_of(task, text):
    return [task.tokenizer.id_of("[CLS]"), *task.tokenizer.tokenize([text])[0].numpy().tolist()]


def test_a_text_is_scored_from_its_first_word_on(task):
    texts = ["the cat", "", "a bird sleeps ."]
    found = task.score(texts)
    for i, text in enumerate(texts):
        assert found["num_tokens"][i] == len(text.split())
        near(found["log_likelihood"][i], log_likelihood(task, ids_of(task, text), 1), 1e-4)
    mean = -found["log_likelihood"][2] / 4
    assert found["perplexity"][2] == pytest.approx(np.exp(mean))
    assert found["num_characters"].tolist() == [7, 0, 15]
    assert found["loss_per_character"][2] == pytest.approx(4 * mean / 15)
    assert np.isnan(found["perplexity"][1])
    assert np.isnan(found["loss_per_character"][1])


def test_what_follows_a_text_is_scored_after_it_alone(task):
    found = task.score(["the cat ", "a"], ["sees a dog", " fish"])
    wanted = [(ids_of(task, "the cat sees a dog"), 3), (ids_of(task, "a fish"), 2)]
    for i, (ids, first) in enumerate(wanted):
        near(found["log_likelihood"][i], log_likelihood(task, ids, first), 1e-4)
    assert found["num_tokens"].tolist() == [3, 1]
    assert found["num_characters"].tolist() == [10, 5]


def test_a_text_longer_than_the_model_is_scored_in_pieces(task):
    ids = ids_of(task, LONG)
    assert len(ids) == 23 > task.max_length == 16
    wanted = log_likelihood(task, ids[:16], 1) + log_likelihood(task, ids[4:20], 12)
    wanted += log_likelihood(task, ids[8:], 12)
    found = task.score([LONG], stride=4)
    near(found["log_likelihood"][0], wanted, 1e-3)
    assert found["num_tokens"].tolist() == [22]
    halves = log_likelihood(task, ids[:16], 1) + log_likelihood(task, ids[8:], 8)
    near(task.score([LONG])["log_likelihood"][0], halves, 1e-3)


def test_a_score_depends_neither_on_neighbours_nor_on_where_it_is_computed(task):
    texts, pairs = [LONG, "the cat", "a", ""], [" a dog", " sees a bird", "", "the dog"]
    for given in ((texts,), (texts, pairs)):
        found = task.score(*given, batch_size=3)
        in_graph = task.score_tensors(*map(tf.constant, given))
        for i in range(4):
            alone = task.score(*([column[i]] for column in given))
            for name in ("log_likelihood", "num_tokens", "num_right"):
                near(found[name][i], alone[name][0], 1e-4)
                near(in_graph[name][i], found[name][i], 1e-4)


def test_scoring_draws_one_graph_for_all_lengths():
    fresh = LanguageModel(model(), pretraining.tokenizer())
    for text in ("a", "the cat sees", LONG):
        fresh.score([text, "a dog"])
    assert fresh.score_pieces.experimental_get_tracing_count() == 1


def test_no_texts_have_no_scores(task):
    assert all(len(column) == 0 for column in task.score([]).values())
    assert task.score_tensors(tf.constant([], tf.string))["num_tokens"].shape == (0,)


def test_a_stride_that_leaves_tokens_out_is_refused(task):
    with pytest.raises(UserError, match="stride must be from 1 to 15"):
        task.score(["a"], stride=16)
