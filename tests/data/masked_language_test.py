"""Rows of BERT and RoBERTa are put together as they are published."""

import functools

import numpy as np
import pytest

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data.masked_language import masked_pairs, masked_sentences
from tfzoo.data.masking import Masking

CLS, SEP, PAD, MASK = 2, 3, 0, 4
VOCABULARY = 100_000


def of_pairs(documents, length=64, seed=0, **options):
    masking = Masking(MASK, VOCABULARY)
    return masked_pairs(documents, length, CLS, SEP, PAD, masking, seed, **options)


def of_sentences(documents, length=64, seed=0):
    return masked_sentences(documents, length, CLS, SEP, PAD, Masking(MASK, VOCABULARY), seed)


@functools.cache
def usual(make):
    """The source of one corpus, whose graph is drawn once."""
    return make(corpora.drawn(60, 12, 9))


def restored(rows):
    """Token ids with the hidden ones put back."""
    ids = rows["token_ids"].copy()
    weighs = rows["label_weights"] > 0
    numbers = np.broadcast_to(np.arange(len(ids))[:, None], weighs.shape)[weighs]
    ids[numbers, rows["masked_positions"][weighs]] = rows["labels"][weighs]
    return ids


def test_a_pair_is_enclosed_by_special_tokens():
    # The man went to the store. He bought a gallon of milk. | Penguins are flightless birds.
    rows = corpora.take(of_pairs(corpora.numbered([[6, 6], [4]]), 20, short_share=0.0, walks=8))
    first, second, other = (list(range(*ends)) for ends in ((100, 106), (106, 112), (112, 116)))
    known = {
        0: [CLS, *first, SEP, *second, SEP, *[PAD] * 5],
        1: [CLS, *first, SEP, *other, SEP, *[PAD] * 7],
    }
    found = set()
    for ids, segment, mask, label in zip(
        restored(rows),
        rows["segment_ids"],
        rows["padding_mask"],
        rows["next_sentence"],
        strict=True,
    ):
        size = mask.sum()
        assert mask.tolist() == [1] * size + [0] * (20 - size)
        ends = np.flatnonzero(ids == SEP)
        assert ids[0] == CLS and len(ends) == 2 and ends[1] == size - 1
        assert segment.tolist() == [0] * (ends[0] + 1) + [1] * (size - ends[0] - 1) + [0] * (
            20 - size
        )
        if ids[1] == 100:
            assert ids.tolist() == known[label]
            found.add(label)
    assert found


def test_every_pair_is_of_the_documents_and_labelled_as_it_is():
    documents = corpora.drawn(60, 12, 9)
    rows = corpora.take(usual(of_pairs), epoch=1)
    starts = documents.token_starts
    for ids, label in zip(restored(rows), rows["next_sentence"], strict=True):
        one, two = np.flatnonzero(ids == SEP)
        a, b = ids[1:one] - 100, ids[one + 1 : two] - 100
        assert (np.diff(a) == 1).all() and (np.diff(b) == 1).all()
        same = np.searchsorted(starts, a[0], side="right") == np.searchsorted(
            starts, b[0], side="right"
        )
        assert same == (label == 0)
        assert label == 1 or b[0] > a[-1]


def test_full_sentences_fill_one_segment():
    documents = corpora.numbered([[2, 2], [1], [3, 3]])
    rows = corpora.take(of_sentences(documents, 8))
    assert restored(rows).tolist() == [
        [CLS, 100, 101, 102, 103, SEP, PAD, PAD],
        [CLS, 104, SEP, 105, 106, 107, SEP, PAD],
        [CLS, 108, 109, 110, SEP, PAD, PAD, PAD],
    ]
    assert rows["padding_mask"].sum(axis=1).tolist() == [6, 7, 5]
    assert not rows["segment_ids"].any() and "next_sentence" not in rows


def test_full_sentences_hold_every_token_once_and_hide_others_in_each_epoch():
    documents = corpora.drawn(60, 12, 9)
    source = usual(of_sentences)
    hidden = []
    for epoch in range(2):
        rows = corpora.take(source, epoch=epoch)
        ids = restored(rows)
        np.testing.assert_array_equal(ids[ids >= 100], documents.token_ids)
        hidden.append(rows["masked_positions"])
    assert (hidden[0] != hidden[1]).any(axis=1).mean() > 0.95


@pytest.mark.parametrize("make", [of_pairs, of_sentences])
def test_separators_are_never_hidden(make):
    rows = corpora.take(usual(make))
    assert not np.isin(rows["labels"], (CLS, SEP))[rows["label_weights"] > 0].any()
    assert (rows["label_weights"].sum(axis=1) >= 1).all()


@pytest.mark.parametrize("make", [of_pairs, of_sentences])
def test_rows_follow_the_rules_of_every_source(make):
    corpora.check(usual(make))


@pytest.mark.parametrize("make", [of_pairs, of_sentences])
def test_rows_without_room_are_refused(make):
    with pytest.raises(UserError, match="Received"):
        make(corpora.drawn(3, 3, 3), 2)
