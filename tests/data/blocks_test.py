"""Causal language modelling predicts every token once, from the tokens before it."""

import itertools

import numpy as np
import pytest

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data import batches, blocks
from tfzoo.data.documents import Documents

END, PAD = 1, 0


def joined(documents, length=8, end_id=END, seed=0):
    return blocks.joined(documents, length, end_id, PAD, seed)


def packed(documents, length=8, **options):
    return blocks.packed(documents, length, END, PAD, **options)


def predicted(rows):
    """Pairs of a token and the one to be predicted after it, those that weigh."""
    weighs = rows["label_weights"] > 0
    return list(zip(rows["token_ids"][weighs], rows["labels"][weighs], strict=True))


def test_blocks_are_cut_from_documents_one_after_the_other():
    rows = corpora.take(joined(corpora.numbered([[3, 2], [4]]), 4))
    assert rows["token_ids"].tolist() == [
        [100, 101, 102, 103],
        [104, END, 105, 106],
        [107, 108, END, PAD],
    ]
    assert rows["labels"].tolist() == [
        [101, 102, 103, 104],
        [END, 105, 106, 107],
        [108, END, PAD, PAD],
    ]
    assert rows["padding_mask"].tolist() == [[1] * 4, [1] * 4, [1, 1, 1, 0]]
    assert rows["label_weights"].tolist() == [[1] * 4, [1] * 4, [1, 1, 0, 0]]


@pytest.mark.parametrize("end_id", [END, None])
@pytest.mark.parametrize("length", [1, 7, 64, 5000])
def test_blocks_predict_every_token_but_the_first_once_an_epoch(length, end_id):
    documents = corpora.drawn(20, 5, 9)
    stream = blocks.ring(documents, end_id).numpy().tolist()
    source = joined(documents, length, end_id)
    cuts = set()
    for epoch in range(3):
        rows = corpora.take(source, epoch=epoch)
        assert sorted(predicted(rows)) == sorted(itertools.pairwise(stream))
        assert rows["padding_mask"].sum() == len(stream)
        cuts.add(rows["token_ids"][0, 0])
    assert len(cuts) == 3 and 100 in cuts


def test_documents_side_by_side_are_told_apart():
    rows = corpora.take(packed(corpora.numbered([[3], [9], [1]]), 6))
    assert rows["token_ids"].tolist() == [
        [END, 103, 104, 105, 106, 107],
        [END, 100, 101, 102, PAD, PAD],
        [108, 109, 110, 111, END, 112],
    ]
    assert rows["labels"].tolist() == [
        [103, 104, 105, 106, 107, 108],
        [100, 101, 102, END, PAD, PAD],
        [109, 110, 111, END, 112, END],
    ]
    assert rows["padding_mask"].tolist() == [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 2, 2],
    ]
    np.testing.assert_array_equal(rows["label_weights"], rows["padding_mask"] > 0)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("length", [1, 5, 32, 400])
def test_packed_rows_predict_what_blocks_do(length, together):
    documents = corpora.drawn(50, 5, 9)
    stream = blocks.ring(documents, END).numpy().tolist()
    rows = corpora.take(packed(documents, length, together=together))
    # The first token too, after the end of the last document, which looks like any other.
    assert sorted(predicted(rows)) == sorted(zip(stream[-1:] + stream[:-1], stream, strict=True))
    if not together:
        assert rows["padding_mask"].max() == 1


def test_no_document_is_in_a_row_with_another_number_or_in_two_when_it_fits():
    documents = corpora.drawn(200, 4, 8)
    rows = corpora.take(packed(documents, 40))
    starts = documents.token_starts
    seen = set()
    for ids, numbers in zip(rows["token_ids"], rows["padding_mask"], strict=True):
        assert (np.diff(numbers[numbers > 0]) >= 0).all()
        for number in range(1, numbers.max() + 1):
            first, *tokens = ids[numbers == number] - corpora.FIRST
            assert first == END - corpora.FIRST
            document = np.searchsorted(starts, tokens[0], side="right") - 1
            assert tokens == list(range(starts[document], starts[document + 1]))
            seen.add(document)
    assert seen == set(range(200))


@pytest.mark.parametrize(("most_tokens", "most"), [(10, 0.001), (40, 0.01), (120, 0.02)])
def test_packing_wastes_little(most_tokens, most):
    documents = corpora.drawn(3000, 6, most_tokens)
    shares = blocks.padding_shares(documents, 256)
    assert shares["joined"] < 0.005 and shares["packed"] < shares["joined"] + most
    assert shares["one document a row"] > 0.2
    for name, together in (("packed", True), ("one document a row", False)):
        mask = corpora.take(packed(documents, 256, together=together))["padding_mask"]
        assert shares[name] == pytest.approx((mask == 0).mean())


def test_rows_of_one_document_come_by_length_and_no_wider_than_they_must():
    documents = corpora.drawn(2000, 6, 30)
    source = packed(documents, 192, together=False, multiple=16)
    places = tokens = 0
    found = []
    dataset = batches.training(source, 16, 0).take(-(-source.num_rows // 16))
    for inputs, targets in dataset.as_numpy_iterator():
        mask = inputs["padding_mask"]
        assert mask.shape[1] % 16 == 0 and mask.shape[1] - mask.sum(axis=1).max() < 16
        places, tokens = places + mask.size, tokens + mask.sum()
        found += predicted({**inputs, **targets})
    assert 1 - tokens / places < 0.15
    assert blocks.padding_shares(documents, 192)["one document a row"] > 0.6
    rows = corpora.take(packed(documents, 192, together=False))
    assert sorted(found) == sorted(predicted(rows))


@pytest.mark.parametrize("make", [joined, packed])
def test_rows_follow_the_rules_of_every_source(make):
    documents = corpora.drawn(30, 5, 9)
    source = make(documents)
    if make is joined:
        corpora.check_chance(source)
    corpora.check_fillers(source)
    corpora.check_batches(source)


def test_a_single_token_makes_a_row():
    documents = Documents(np.array([5], np.int32), np.array([0, 1]), np.array([0, 1]), 1)
    rows = corpora.take(packed(documents, 4))
    assert rows["token_ids"].tolist() == [[END, 5, PAD, PAD]]
    assert rows["labels"].tolist() == [[5, END, PAD, PAD]]


@pytest.mark.parametrize("make", [joined, packed])
def test_rows_without_tokens_are_refused(make):
    with pytest.raises(UserError, match="Received: length=0"):
        make(corpora.drawn(2, 2, 2), 0)
