"""Half of the pairs follow each other, the others are of two documents."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data.next_sentence import Pairs


def pairs(documents, most=61, short_share=0.1, walks=3, seed=0):
    return Pairs(documents, most, short_share, walks, seed)


@functools.cache
def graph(made):
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)]
    found = tf.function(lambda *of: vars(made.segments(*of)), signature, autograph=False)
    return found.get_concrete_function()


def segments(made, epoch=0):
    rows = tf.range(made.num_rows, dtype=tf.int64)
    found = graph(made)(rows, tf.constant(epoch, tf.int64))
    return {name: column.numpy() for name, column in found.items()}


def check_pairs(documents, most, epoch=0, **options):
    """What holds of all pairs; returns them with their documents and what is known of them."""
    found = segments(pairs(documents, most, **options), epoch)
    first_a, size_a, first_b, size_b = (
        found[name] for name in ("first_a", "size_a", "first_b", "size_b")
    )
    assert size_a.min() >= 1 and size_b.min() >= 1 and (size_a + size_b).max() <= most
    starts = documents.token_starts
    of = {}
    for side, first, size in (("a", first_a, size_a), ("b", first_b, size_b)):
        of[side] = np.searchsorted(starts, first, side="right") - 1
        # No segment goes on into the next document.
        assert (first + size <= starts[of[side] + 1]).all()
    is_random = found["is_random"] == 1
    assert (of["a"][is_random] != of["b"][is_random]).all()
    assert (of["a"][~is_random] == of["b"][~is_random]).all()
    # Nothing stands between the two unless it was cut away, and then the row is full.
    gap = (first_b - first_a - size_a)[~is_random]
    assert gap.min() == 0
    assert ((size_a + size_b)[~is_random][gap > 0] == most).all()
    # Segments begin and end with sentences unless they were cut.
    whole = (size_a + size_b) < most
    edges = np.concatenate([first_a, first_a + size_a, first_b, first_b + size_b]).reshape(4, -1)
    assert np.isin(edges[:, whole], documents.sentence_starts).all()
    return found, is_random, of["b"]


def test_the_examples_of_the_paper():
    # The man went to the store. He bought a gallon of milk. | Penguins are flightless birds.
    documents = corpora.numbered([[6, 6], [4]])
    made = pairs(documents, 16, 0.0, 10)
    found = set()
    for epoch in range(10):
        columns = segments(made, epoch)
        names = ("first_a", "size_a", "first_b", "size_b", "is_random")
        found |= set(zip(*(columns[name].tolist() for name in names), strict=True))
    assert (0, 6, 6, 6, 0) in found  # the man ..., he bought ...
    assert (0, 6, 12, 4, 1) in found  # the man ..., penguins ...
    others = {(6, 6, 12, 4, 1), (12, 4, 0, 6, 1), (12, 4, 6, 6, 1), (12, 4, 0, 12, 1)}
    assert found - {(0, 6, 6, 6, 0), (0, 6, 12, 4, 1)} <= others


def test_half_of_the_pairs_are_random():
    documents = corpora.drawn(400, 60, 20)
    found, is_random, _ = check_pairs(documents, 61)
    # A last sentence alone is always random: one or less a document of about 10 pairs.
    assert 0.5 < is_random.mean() < 0.56
    count = len(is_random)
    assert count > 3000
    # The others are as a coin falls. A row that ends its document with its first segment is left
    # out, since it may be such a sentence.
    last = np.isin(found["first_a"] + found["size_a"], documents.token_starts)
    share = is_random[~last].mean()
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / count) + 0.01


def test_every_token_is_in_a_first_segment_or_follows_one():
    documents = corpora.drawn(30, 20, 5)
    made = pairs(documents, 40, 0.1, 1)
    names = ("first_a", "size_a", "first_b", "size_b", "is_random")
    for epoch in range(4):
        found = segments(made, epoch)
        seen = np.zeros(len(documents.token_ids), int)
        for first_a, size_a, first_b, size_b, is_random in zip(
            *(found[name] for name in names), strict=True
        ):
            seen[first_a : first_a + size_a] += 1
            if not is_random:
                seen[first_b : first_b + size_b] += 1
        assert seen.max() == 1
        # What was cut off is all that is missing: rows hold up to a sentence too much.
        assert (seen == 0).mean() < 0.08


def test_short_pairs_are_as_frequent_as_wanted():
    documents = corpora.drawn(12, 60_000, 3)
    for wanted in (0.0, 0.1, 0.5):
        found, is_random, _ = check_pairs(documents, 100, short_share=wanted)
        size = (found["size_a"] + found["size_b"])[~is_random]
        # Pairs that aim at all the room miss it only at the end of a document.
        short = (size < 97).mean()
        # Of the short ones, 6 in 100 aim at 96 tokens or more.
        assert abs(short - wanted * 0.96) < 0.03, wanted


def test_every_other_document_and_all_their_sentences_are_as_likely():
    documents = corpora.numbered([[4] * 6 for _ in range(5)])
    made = pairs(documents, 8, 0.0, 50)
    counts = np.zeros((5, 5))
    sentences = np.zeros(6)
    for epoch in range(200):
        found = segments(made, epoch)
        is_random = found["is_random"] == 1
        one, two = (found[name][is_random] // 24 for name in ("first_a", "first_b"))
        np.add.at(counts, (one, two), 1)
        np.add.at(sentences, found["first_b"][is_random] % 24 // 4, 1)
    assert not counts.diagonal().any()
    for own in range(5):
        others = np.delete(counts[own], own)
        assert abs(others - others.mean()).max() < 5 * np.sqrt(others.mean())
    assert abs(sentences - sentences.mean()).max() < 5 * np.sqrt(sentences.mean())


def test_what_is_too_long_loses_from_its_longer_segment_at_both_ends():
    documents = corpora.numbered([[30, 90], [30, 90]])
    made = pairs(documents, 61, 0.0, 40)
    fronts = set()
    for epoch in range(40):
        found = segments(made, epoch)
        follows = (found["is_random"] == 0) & (found["size_a"] == 30)
        assert (found["size_b"][follows] == 31).all()
        fronts |= set((found["first_b"][follows] % 120 - 30).tolist())
    assert min(fronts) < 12 and max(fronts) > 47 and max(fronts) <= 59


def test_walks_and_epochs_differ_and_repeat():
    documents = corpora.drawn(50, 20, 9)
    made = pairs(documents)
    epochs = [segments(made, epoch) for epoch in range(4)]
    assert (epochs[0]["first_a"] != epochs[1]["first_a"]).any()
    # Epoch 3 takes the walk of epoch 0, with other documents beside it.
    np.testing.assert_array_equal(epochs[0]["is_random"], epochs[3]["is_random"])
    assert (epochs[0]["first_b"] != epochs[3]["first_b"]).any()
    again, other = segments(pairs(documents)), segments(pairs(documents, seed=1))
    np.testing.assert_array_equal(again["first_b"], epochs[0]["first_b"])
    assert again["first_a"][:50].tolist() != other["first_a"][:50].tolist()


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ([[3, 3]], {}, "documents=1"),
        ([[3], [3]], {"most": 1}, "most=1"),
        ([[3], [3]], {"walks": 0}, "walks=0"),
        ([[3], [3]], {"short_share": 1.5}, "short_share=1.5"),
    ],
)
def test_what_cannot_be_is_refused(documents, options, message):
    with pytest.raises(UserError, match=f"Received: .*{message}"):
        pairs(corpora.numbered(documents), **options)


@pytest.mark.slow
def test_100_000_pairs_are_as_the_paper_has_them():
    documents = corpora.drawn(8000, 120, 20)
    _, is_random, of_b = check_pairs(documents, 61, walks=2)
    assert len(is_random) > 100_000
    assert 0.5 < is_random.mean() < 0.54
    assert len(np.unique(of_b[is_random])) > 7900
