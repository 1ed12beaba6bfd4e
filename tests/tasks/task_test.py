"""What every task has."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks import tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks.classification import Classification
from tfzoo.tasks.embedding import Embedding
from tfzoo.tasks.task import from_lengths, pool
from tfzoo.testing.conformance import near

TEXTS = ["a b", "", "c", "a " * 50, "a bd 日 é"]


@pytest.fixture(scope="module")
def pair_task():
    return Classification(
        tiny.model(head="classification", num_labels=2),
        tiny.tokenizer(),
        labels=("no", "yes"),
        pairs=True,
    )


def test_an_answer_does_not_depend_on_the_texts_beside_it():
    task = Embedding(tiny.model(), tiny.tokenizer())
    together = task.predict(TEXTS, batch_size=2)["embedding"]
    for i, text in enumerate(TEXTS):
        near(task.predict([text])["embedding"][0], together[i], 1e-6)


def test_ids_and_lengths_answer_as_the_text_does(pair_task):
    inputs = pair_task.inputs(tf.constant(["a b", "c"]), tf.constant(["c", "a b c"]))
    ids = inputs["token_ids"].numpy()
    lengths = inputs["padding_mask"].numpy().sum(1)
    first = lengths - inputs["segment_ids"].numpy().sum(1)
    ids[ids == 0] = 7  # what stands beyond the lengths must not matter
    served = pair_task.signatures["token_ids"](ids, lengths, first)
    answer = pair_task.predict(["a b", "c"], ["c", "a b c"])
    near(served["scores"], answer["scores"], 1e-6)


def test_both_texts_of_a_pair_count(pair_task):
    answer = pair_task.predict(["a", "a", "b"], ["b", "c", "a"])["logits"]
    assert np.abs(answer[0] - answer[1]).max() > 1e-5
    assert np.abs(answer[0] - answer[2]).max() > 1e-5


def test_embed_takes_single_texts_of_a_pair_task_too(pair_task):
    assert pair_task.predict(["a", "b c"], signature="embed")["embedding"].shape == (2, 8)


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [(["a"], None, "two texts"), (["a", "b"], ["a"], "2 texts, 1 pairs")],
)
def test_missing_pairs_are_refused(pair_task, texts, pairs, message):
    with pytest.raises(UserError, match=message):
        pair_task.predict(texts, pairs)


def test_what_is_no_text_is_refused():
    with pytest.raises(UserError, match=r"Received: None \(NoneType\)"):
        Embedding(tiny.model(), tiny.tokenizer()).predict(["a", None])


def test_a_single_string_is_not_taken_for_a_list_of_letters():
    with pytest.raises(UserError, match="put one text into a list"):
        Embedding(tiny.model(), tiny.tokenizer()).predict("a b")


def test_no_texts_give_no_answers():
    assert Embedding(tiny.model(), tiny.tokenizer()).predict([]) == {}


def test_superfluous_pairs_are_refused():
    with pytest.raises(UserError, match="one text"):
        Embedding(tiny.model(), tiny.tokenizer()).predict(["a"], ["b"])


@pytest.mark.parametrize("length", [2, 13])
def test_a_max_length_that_cannot_be_is_refused(length):
    with pytest.raises(UserError, match="from 3 to the 12 positions"):
        Embedding(tiny.model(), tiny.tokenizer(), max_length=length)


def test_a_tokenizer_that_is_too_large_is_refused():
    small = tiny.model()
    big = tiny.tokenizer().__class__((*tiny.VOCABULARY, "z"))
    with pytest.raises(UserError, match="12 entries, 11 embeddings"):
        Embedding(small, big)


def test_without_a_tokenizer_only_ids_are_answered():
    task = Embedding(tiny.model(), None)
    assert set(task.signatures) == {"token_ids"}
    with pytest.raises(UserError, match="without a tokenizer"):
        task.predict(["a"])


def test_lengths_become_mask_and_segments():
    inputs = from_lengths(tf.constant([[5, 6, 7, 8]]), tf.constant([3]), tf.constant([2]))
    assert inputs["token_ids"].numpy().tolist() == [[5, 6, 7, 0]]
    assert inputs["segment_ids"].numpy().tolist() == [[0, 0, 1, 0]]
    assert inputs["padding_mask"].numpy().tolist() == [[1, 1, 1, 0]]


def test_pooling_is_the_mean_over_real_tokens():
    sequence = tf.constant([[[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
    mask = tf.constant([[1, 1, 0]])
    near(pool(sequence, mask, normalize=False), [[2.0, 2.0]], 1e-6)
    near(pool(sequence, mask), [[0.5**0.5, 0.5**0.5]], 1e-6)
