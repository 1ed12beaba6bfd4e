"""The merge loop against the rule written out in Python."""

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.text.merges import MergeRules, Merges, Spelling, Words
from tfzoo.text.vocabulary import Vocabulary


def by_hand(ids, merges):
    """The pair of least rank, the leftmost first, until there is none."""
    ranks = {(a, b): (rank, c) for rank, (a, b, c) in enumerate(merges)}
    ids = list(ids)
    while True:
        found = [(ranks[pair][0], i) for i, pair in enumerate(itertools.pairwise(ids))
                 if pair in ranks]  # fmt: skip
        if not found:
            return ids
        _, place = min(found)
        ids[place : place + 2] = [ranks[ids[place], ids[place + 1]][1]]


def spelling(words):
    ragged = tf.ragged.constant(words, dtype=tf.int64, ragged_rank=1)
    return Spelling(ragged.flat_values, ragged.value_rowids())


def random_words(chance, letters):
    return [
        [chance.randrange(letters) for _ in range(chance.choice([0, 1, 2, 5, 9, 40]))]
        for _ in range(60)
    ]


def trained(chance, letters, count):
    """Merges as training makes them: each of ids that are there, to a new one."""
    merges, seen = [], set()
    while len(merges) < count:
        pair = tuple(chance.randrange(letters + len(merges)) for _ in range(2))
        if pair not in seen:
            seen.add(pair)
            merges.append((*pair, letters + len(merges)))
    return merges


@pytest.mark.parametrize("seed", range(12))
def test_trained_merges_are_applied_in_their_order(seed):
    chance = random.Random(seed)
    letters = chance.choice([1, 2, 3, 5])
    merges = trained(chance, letters, chance.randrange(1, 12))
    words = random_words(chance, letters)
    found = Merges(np.array(merges))(spelling(words), len(words))
    assert found.to_list() == [by_hand(word, merges) for word in words]


@pytest.mark.parametrize("seed", range(12))
def test_merges_in_any_order_are_applied_too(seed):
    chance = random.Random(seed)
    merges = trained(chance, 2, 8)
    chance.shuffle(merges)
    words = random_words(chance, 2)
    found = Merges(np.array(merges))(spelling(words), len(words))
    assert found.to_list() == [by_hand(word, merges) for word in words]


def test_overlapping_places_merge_from_the_left():
    merges = Merges(np.array([(0, 0, 1), (1, 1, 2)]))
    words = [[0] * n for n in range(8)] + [[1, 0, 0, 0, 1, 0, 0]]
    assert merges(spelling(words), len(words)).to_list() == [
        [], [0], [1], [1, 0], [2], [2, 0], [2, 1], [2, 1, 0], [2, 0, 2],
    ]  # fmt: skip


def test_of_a_pair_that_is_listed_twice_the_last_counts():
    merges = Merges(np.array([(0, 1, 5), (1, 0, 6), (0, 1, 7)]))
    assert merges(spelling([[0, 1], [0, 1, 0]]), 2).to_list() == [[7], [0, 6]]


def test_no_words_and_no_merges_are_allowed():
    merges = Merges(np.zeros([0, 3]))
    assert merges(spelling([[3, 4], []]), 2).to_list() == [[3, 4], []]
    empty = tf.zeros([0], tf.int64)
    assert merges(Spelling(empty, empty), 0).to_list() == []


def test_rules_know_the_ids_of_their_tokens():
    rules = MergeRules([("a", "b"), ("ab", "c")])
    vocabulary = Vocabulary(["a", "b", "c", "ab", "abc"], [])
    assert rules.ids(vocabulary).tolist() == [[0, 1, 3], [3, 2, 4]]


def letters(words):
    """Every ASCII letter to its number."""
    ragged = tf.strings.bytes_split(words)
    values = tf.io.decode_raw(ragged.flat_values, tf.uint8)
    return Spelling(tf.cast(values[:, 0], tf.int64) - 97, ragged.value_rowids())


def test_words_are_looked_up_or_merged():
    merges = Merges(np.array([(0, 1, 30), (30, 2, 31)]))
    words = Words(merges, letters, [b"ab", b"abc", b"ba", b"abd"], {b"\xff1": 77})
    found = words(tf.constant([b"abc", b"ba", b"\xff1", b"abab", b"ba", b"ab"]))
    assert found.to_list() == [[31], [1, 0], [77], [30, 30], [1, 0], [30]]
    assert words(tf.constant([b"ab", b"\xff1"])).to_list() == [[30], [77]]
    assert words(tf.constant([], tf.string)).to_list() == []


def test_marks_are_not_mistaken_for_words():
    words = Words(Merges(np.array([(0, 1, 30)])), letters, [b"ab"], {b"ab": 5})
    assert words(tf.constant([b"ab", b"abab"])).to_list() == [[5], [30, 30]]
