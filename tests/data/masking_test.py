"""Tokens are hidden at the rates of the paper, and never special ones."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance
from tfzoo.data.masking import Masking, choose, hide, masked

CLS, SEP, PAD, MASK, VOCABULARY = 101, 102, 0, 103, 1000


def keys(count):
    return chance.keys(0, tf.constant(0, tf.int64), tf.range(count, dtype=tf.int64))


def row(sizes, width=128):
    """Rows [CLS] tokens [SEP] of some sizes, the special tokens counted."""
    places, sizes = np.arange(width), np.asarray(sizes)[:, None]
    ids = np.where(places < sizes - 1, 200 + places, np.where(places == sizes - 1, SEP, PAD))
    ids[:, 0] = CLS
    mask = (places < sizes).astype(np.int32)
    return {"token_ids": tf.constant(ids, tf.int32), "padding_mask": tf.constant(mask)}


def hidden(sizes, masking=None, width=128):
    given = row(sizes, width)
    masking = masking or Masking(MASK, VOCABULARY)
    real = tf.fill([len(sizes)], True)
    inputs, targets = masked(given, keys(len(sizes)), masking, (CLS, SEP), real)
    parts = {name: part.numpy() for name, part in {**inputs, **targets}.items()}
    return given["token_ids"].numpy(), parts


def test_the_example_of_the_paper():
    # Appendix A.1: my dog is hairy, of which the last token is chosen.
    my, dog, is_, hairy, apple = range(5)
    ids = tf.constant([[my, dog, is_, hairy]] * 3)
    chosen = tf.constant([[False, False, False, True]] * 3)
    fate = tf.constant([[0.0] * 4, [0.85] * 4, [0.95] * 4])
    found = hide(ids, chosen, fate, tf.fill([3, 4], apple), MASK).numpy()
    assert found.tolist() == [[0, 1, 2, MASK], [0, 1, 2, apple], [0, 1, 2, hairy]]


@pytest.mark.parametrize(
    ("size", "count"), [(128, 19), (127, 19), (100, 15), (3, 1), (4, 1), (10, 2), (90, 14), (20, 3)]
)
def test_the_number_of_hidden_tokens_is_that_of_the_published_code(size, count):
    _, found = hidden([size])
    assert found["label_weights"].sum() == count == max(1, round(size * 0.15))


def test_no_more_than_the_most_are_hidden():
    _, found = hidden([128], Masking(MASK, VOCABULARY, most=7))
    assert found["labels"].shape == (1, 7)
    assert found["label_weights"].tolist() == [[1] * 7]


def check_rates(count):
    sizes = np.random.default_rng(0).integers(3, 129, count)
    ids, found = hidden(sizes)
    weighs = found["label_weights"] > 0
    positions = found["masked_positions"]
    rows = np.broadcast_to(np.arange(count)[:, None], positions.shape)[weighs]
    places = positions[weighs]
    labels, shown = found["labels"][weighs], found["token_ids"][rows, places]
    # Labels are the text; all else is shown as it is; padding and special tokens are never chosen.
    np.testing.assert_array_equal(labels, ids[rows, places])
    restored = found["token_ids"].copy()
    restored[rows, places] = labels
    np.testing.assert_array_equal(restored, ids)
    assert places.min() == 1 and (places < sizes[rows] - 1).all()
    assert not found["labels"][~weighs].any() and not positions[~weighs].any()
    order = np.where(weighs, positions, 10**6 + np.arange(positions.shape[1]))
    assert (np.diff(order) > 0).all()
    # 80, 10 and 10 %; the random token is the right one in 1 of 1000.
    error = 5 * np.sqrt(0.25 / len(labels))
    assert abs((shown == MASK).mean() - 0.8 - 0.1 / VOCABULARY) < error
    assert abs((shown == labels).mean() - 0.1 - 0.1 / VOCABULARY) < error
    others = shown[(shown != MASK) & (shown != labels)]
    assert abs(len(others) / len(labels) - 0.1) < error
    assert abs(others.mean() - (VOCABULARY - 1) / 2) < 5 * VOCABULARY / np.sqrt(12 * len(others))
    assert others.min() < 20 and others.max() > VOCABULARY - 20
    # All places of rows that are full are as likely.
    full = sizes[rows] == 128
    counts = np.bincount(places[full], minlength=128)[1:127]
    mean = counts.mean()
    assert abs(counts - mean).max() < 5 * np.sqrt(mean)
    assert weighs.sum() / sizes.sum() == pytest.approx(0.15, abs=0.001)


def test_rates_are_those_of_the_paper():
    check_rates(5000)


@pytest.mark.slow
def test_rates_of_100_000_rows_are_those_of_the_paper():
    check_rates(100_000)


def greedy(sizes, order, count):
    """The published code's choice of words, one after the other."""
    taken, total = set(), 0
    for word in order:
        if total + sizes[word] <= count:
            taken.add(word)
            total += sizes[word]
    return taken


def test_whole_words_are_chosen_and_those_left_out_that_do_not_fit():
    generator = np.random.default_rng(0)
    continues = generator.random((2000, 40)) < 0.4
    is_open = generator.random((2000, 40)) < 0.9
    counts = generator.integers(1, 8, 2000)
    found = choose(
        keys(2000), tf.constant(is_open), tf.constant(continues), tf.constant(counts, tf.int32)
    ).numpy()
    assert not found[~is_open].any()
    assert (found.sum(axis=1) <= counts).all()
    full = 0
    for chosen, opened, goes_on, count in zip(found, is_open, continues, counts, strict=True):
        words = []
        for place in np.flatnonzero(opened):
            if goes_on[place] and place and opened[place - 1]:
                words[-1].append(place)
            else:
                words.append([place])
        taken = [chosen[word] for word in words]
        assert all(word.all() or not word.any() for word in taken)
        # Nothing else would have fitted.
        left = count - chosen.sum()
        assert all(len(word) > left for word in words if not chosen[word[0]])
        full += left == 0
    assert full > 1900


def test_words_are_chosen_in_the_order_of_the_published_code():
    sizes = np.array([3, 1, 2, 4, 1])
    continues = np.array([False, True, True, False, False, True, False, True, True, True, False])
    first = np.cumsum(sizes) - sizes
    is_open = tf.fill([20_000, 11], True)
    many = tf.tile(tf.constant(continues)[None], [20_000, 1])
    found = choose(keys(20_000), is_open, many, tf.fill([20_000], 4)).numpy()
    counts = collections.Counter(map(tuple, found[:, first].astype(int)))
    generator = np.random.default_rng(1)
    wanted = collections.Counter()
    for _ in range(20_000):
        taken = greedy(sizes, generator.permutation(5), 4)
        wanted[tuple(int(word in taken) for word in range(5))] += 1
    assert set(counts) == set(wanted)
    for words, count in wanted.items():
        assert abs(counts[words] - count) < 5 * np.sqrt(2 * count), words


def test_pieces_that_go_on_with_a_word_are_hidden_with_it():
    continues = np.zeros(VOCABULARY, bool)
    continues[202::3] = True  # two tokens to a word, then one
    ids, found = hidden([128] * 400, Masking(MASK, VOCABULARY, continues))
    chosen = np.zeros(ids.shape, int)
    weighs = found["label_weights"] > 0
    rows = np.broadcast_to(np.arange(400)[:, None], weighs.shape)[weighs]
    chosen[rows, found["masked_positions"][weighs]] = 1
    pieces = np.flatnonzero(continues[ids[0]])
    np.testing.assert_array_equal(chosen[:, pieces], chosen[:, pieces - 1])
    assert chosen.sum(axis=1).min() >= 18 and chosen.sum(axis=1).max() == 19
    # Each token has a fate of its own.
    shown = found["token_ids"][:, pieces] == MASK, found["token_ids"][:, pieces - 1] == MASK
    assert (shown[0] != shown[1]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"share": 0.0}, "share=0.0"), ({"most": 0}, "most=0"), ({"continues": [True]}, "1 entries")],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UserError, match=f"Received: .*{message}"):
        Masking(MASK, VOCABULARY, **options)
