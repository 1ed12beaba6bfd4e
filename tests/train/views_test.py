"""What is shown of a model at an evaluation."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import tfzoo
from tests.train import tiny
from tfzoo.core.experiment import TensorBoardChoice
from tfzoo.data import batches
from tfzoo.tasks.classification import Classification
from tfzoo.text.wordpiece import WordPiece
from tfzoo.train import pictures
from tfzoo.train.tensorboard import Curves
from tfzoo.train.views import Views

NOTHING = {"pictures": False, "samples": 0}
TEXTS = ("the cat", "of iron gold zinc", "dog", "oak")
LABELS = tuple(tiny.WORDS)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    tokenizer = WordPiece.from_folder(tiny.write_tokenizer(tmp_path_factory.mktemp("t") / "words"))
    fields = {**tiny.FIELDS, "num_layers": 2, "vocab_size": tokenizer.vocab_size + 3}
    model = tfzoo.build("bert", head="classification", num_labels=3, **fields)
    return Classification(model, tokenizer, LABELS)


@pytest.fixture(scope="module")
def source(task):
    rows = {
        "text": tf.constant(TEXTS),
        "label": tf.constant([0, 1, 0, 2]),
        "weight": tf.ones(4),
    }
    return batches.of_rows(rows, task.encode)


def show(folder, task, source, answers=None, kept=None, **choice):
    curves = Curves(folder)
    views = Views(TensorBoardChoice(**{**NOTHING, **choice}), task, source, curves, answers)
    views.show(7, kept or {})
    curves.close()
    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [tensor_util.make_ndarray(event.tensor_proto) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


def kept():
    return {
        "label": np.array([0, 1, 2, 0]),
        "weight": np.array([1, 1, 1, 0], "float32"),
        "logits": np.array([[3, 0, 0], [0, 3, 0], [3, 0, 0], [9, 0, 0]], "float32"),
    }


def test_nothing_is_shown_that_is_not_wanted(tmp_path, task, source):
    assert show(tmp_path, task, source, lambda task, count: [("x", "y")], kept()) == {}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_classifier_shows_its_confusions_and_curves(tmp_path, task, source):
    found = show(tmp_path, task, source, kept=kept(), pictures=True)
    curves = [f"precision_recall/{name}/pr_curves" for name in LABELS]
    assert list(found) == ["confusion_matrix", *curves]
    assert found["confusion_matrix"][0][2].startswith(b"\x89PNG")
    # At threshold 0 all three real rows are called animals, one of them is.
    true, false, *_ = found[curves[0]][0]
    assert (true[0], false[0]) == (1, 2)


def test_samples_are_asked_for_by_number(tmp_path, task, source):
    asked = []

    def answers(task, count):
        asked.append(count)
        return [("answers", "| a |"), ("more", "text")]

    found = show(tmp_path, task, source, answers, samples=5)
    assert asked == [5]
    assert {tag: values[0].tolist() for tag, values in found.items()} == {
        "samples/answers": b"| a |",
        "samples/more": b"text",
    }


def test_histograms_are_of_every_trainable_weight(tmp_path, task, source):
    found = show(tmp_path, task, source, histograms=True)
    weights = task.model.trainable_variables
    assert set(found) == {f"weights/{weight.path}" for weight in weights}
    for weight in weights:
        counts = found[f"weights/{weight.path}"][0][:, 2]
        assert counts.sum() == np.size(weight)


def test_attention_is_that_of_the_real_tokens(tmp_path, task, source, monkeypatch):
    drawn = []

    def attention(weights_hqk, queries, keys):
        drawn.append((weights_hqk, queries, keys))
        return tiny_png()

    monkeypatch.setattr(pictures, "attention", attention)
    found = show(tmp_path, task, source, attention=True)
    assert list(found) == ["attention/block_0", "attention/block_1"]
    assert [len(values[0]) for values in found.values()] == [4, 4]  # size, and two rows
    rows = [["[CLS]", "the", "cat", "[SEP]"], ["[CLS]", "of", "iron", "gold", "zinc", "[SEP]"]]
    assert [queries for _, queries, _ in drawn] == rows * 2
    inputs, _ = batches.first(source, 2)
    wanted = task.model.probe()(inputs)["attentions_1"]
    for (weights_hqk, queries, keys), of_row in zip(drawn[2:], wanted, strict=True):
        assert keys == queries
        assert weights_hqk.shape == (2, len(queries), len(queries))
        np.testing.assert_allclose(weights_hqk.sum(-1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(
            weights_hqk, of_row[:, : len(queries), : len(queries)], atol=1e-6
        )


def tiny_png():
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01"


def test_an_encoder_decoder_shows_three_kinds_of_attention(tmp_path, task, monkeypatch):
    shown = []
    monkeypatch.setattr(
        pictures, "attention", lambda w, q, k: shown.append((w.shape, q, k)) or tiny_png()
    )
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1, "num_heads": 2, "head_dim": 4}
    model = tfzoo.build("t5", vocab_size=19, width=8, feed_forward_dim=16, **sizes)
    ids = {"encoder": [[5, 6, 7, 8]], "decoder": [[0, 9, 1]]}

    def examples(rows, epoch, is_real):
        made = {f"{name}_token_ids": tf.constant(row) for name, row in ids.items()}
        masks = {
            name.replace("token_ids", "padding_mask"): tf.ones_like(row)
            for name, row in made.items()
        }
        return {**made, **masks}, {}

    other = type("Other", (), {"model": model, "tokenizer": task.tokenizer})()
    found = show(tmp_path, other, batches.Source(1, examples), attention=True)
    assert set(found) == {
        "encoder_attention/block_0",
        "decoder_attention/block_0",
        "cross_attention/block_0",
    }
    words = task.tokenizer.vocabulary
    source_words, target_words = list(words[5:9]), [words[0], words[9], words[1]]
    assert ((2, 4, 4), source_words, source_words) in shown
    assert ((2, 3, 3), target_words, target_words) in shown
    assert ((2, 3, 4), target_words, source_words) in shown


def test_the_projector_gets_tokens_positions_and_texts(tmp_path, task, source):
    show(tmp_path, task, source, projector=True)
    reader = tf.train.load_checkpoint(str(tmp_path))

    def table(name):
        return reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")

    def lines(name):
        return (tmp_path / f"{name}.tsv").read_text().splitlines()

    weights = {weight.path: np.array(weight) for weight in task.model.trainable_variables}
    for name in ("token_embedding", "position_embedding"):
        np.testing.assert_array_equal(table(name), weights[f"{name}/embeddings"])
        assert len(lines(name)) == len(table(name))
    # Entries of the table that no token has are called by their numbers.
    size = task.tokenizer.vocab_size
    assert lines("token_embedding")[5:8] == list(task.tokenizer.vocabulary[5:8])
    assert lines("token_embedding")[size:] == [str(size + i) for i in range(3)]
    embedded = task.predict(TEXTS, signature="embed")["embedding"]
    np.testing.assert_allclose(table("text_embedding"), embedded, atol=1e-5)
    header, *rows = lines("text_embedding")
    assert header == "text\tlabel"
    assert rows[:2] == ["the cat\tanimal", "of iron gold zinc\tmetal"]
