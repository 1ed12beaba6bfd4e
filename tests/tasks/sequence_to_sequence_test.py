"""Encoder-decoders as a task: source and target in one row, answers for each target token."""

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import tiny
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence
from tfzoo.testing.values import fill, near

SIZES = {
    "vocab_size": 20,
    "width": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_encoder_heads": 2,
    "num_decoder_heads": 2,
    "encoder_feed_forward_dim": 16,
    "decoder_feed_forward_dim": 16,
    "max_length": 16,
    "head": "conditional_generation",
}


@pytest.fixture(scope="module")
def task():
    model = tfzoo.build("bart", **SIZES)
    fill(model)
    return SequenceToSequence(model, tiny.tokenizer())


def test_a_row_holds_the_source_and_then_the_target(task):
    inputs = task.inputs(tf.constant(["a b", "c"]), tf.constant(["c", "a b c"]))
    assert inputs["token_ids"].numpy().tolist() == [
        [2, 5, 6, 3, 2, 7, 3, 0],
        [2, 7, 3, 2, 5, 6, 7, 3],
    ]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 4 + [1] * 3 + [0], [0] * 3 + [1] * 5]
    assert inputs["padding_mask"].numpy().sum(1).tolist() == [7, 8]


def test_logits_are_those_of_the_target_moved_one_to_the_right(task):
    answer = task.predict(["a b"], ["c a"])
    assert answer["token_ids"].tolist() == [[2, 7, 5, 3]]
    wanted = task.model(
        {
            "encoder_token_ids": np.array([[2, 5, 6, 3]]),
            "encoder_padding_mask": np.ones((1, 4), "int32"),
            "decoder_token_ids": np.array([[task.model.config.decoder_start_id, 2, 7, 5]]),
            "decoder_padding_mask": np.ones((1, 4), "int32"),
        }
    )
    near(answer["logits"], wanted["logits"], 1e-6)


def test_an_answer_does_not_depend_on_the_texts_beside_it(task):
    texts, pairs = ["a b c a b c", "c", "b"], ["c", "a b c a", ""]
    together = task.predict(texts, pairs, batch_size=3)["logits"]
    for i in range(3):
        alone = task.predict(texts[i : i + 1], pairs[i : i + 1])["logits"][0]
        near(together[i, : len(alone)], alone, 1e-5)


def test_ids_and_lengths_answer_as_the_texts_do(task):
    inputs = task.inputs(tf.constant(["a b", "c"]), tf.constant(["c", "a b c"]))
    ids, lengths = inputs["token_ids"].numpy(), inputs["padding_mask"].numpy().sum(1)
    first = lengths - inputs["segment_ids"].numpy().sum(1)
    ids[0, 7] = 9  # what stands beyond the lengths must not matter
    served = task.signatures["token_ids"](ids, lengths, first)
    answer = task.predict(["a b", "c"], ["c", "a b c"])
    near(served["logits"], answer["logits"], 1e-6)
    assert np.array_equal(served["token_ids"], answer["token_ids"])


def test_the_embedding_is_that_of_the_encoder(task):
    found = task.predict(["a b", "c"], signature="embed")["embedding"]
    sequence = task.model.encode(np.array([[2, 7, 3]]))[0]
    mean = np.mean(sequence, 0)
    near(found[1], mean / np.linalg.norm(mean), 1e-6)
