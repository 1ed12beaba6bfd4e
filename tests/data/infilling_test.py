"""BART's damage is that of the paper, and the decoder is to write what was there."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data import chance
from tfzoo.data.infilling import infilled, infilling, permuted, spans

MASK, BOS, EOS, PAD = 4, 0, 2, 1
START = 7


def source(documents, length=40, seed=0, **options):
    return infilling(documents, length, MASK, BOS, EOS, PAD, START, seed, **options)


def keys(count, first=0):
    return chance.keys(0, tf.constant(0, tf.int64), tf.range(first, first + count, dtype=tf.int64))


def body(ids):
    """What stands between beginning and end."""
    assert ids[0] == BOS
    return ids[1 : list(ids).index(EOS)].tolist()


def test_figure_2_of_the_paper():
    text = tf.constant([list(b"ABC.DE.")])
    places = tf.constant([[False, True, False, False, True, False, False]])
    lengths, counts = tf.constant([[2, 0]]), tf.constant([2])
    damaged, left = infilled(text, tf.constant([7]), places, lengths, counts, ord("_"))
    assert bytes(damaged.numpy()[0][: left[0]].tolist()) == b"A_.D_E."
    starts = tf.constant([[True, False, False, False, True, False, False]])
    found = permuted(keys(50), tf.tile(text, [50, 1]), tf.tile(starts, [50, 1]), tf.fill([50], 7))
    assert {bytes(row) for row in found.numpy().tolist()} == {b"ABC.DE.", b"DE.ABC."}


def test_every_order_of_the_sentences_is_as_likely():
    ids = tf.tile([[10, 11, 20, 30, 31, 32, 9, 8]], [12_000, 1])
    starts = tf.tile([[True, False, True, True, False, False, True, False]], [12_000, 1])
    found = permuted(keys(12_000), ids, starts, tf.fill([12_000], 6)).numpy()
    assert (found[:, 6:] == [9, 8]).all()  # padding stays
    counts = collections.Counter(map(tuple, found[:, :6].tolist()))
    sentences = ((10, 11), (20,), (30, 31, 32))
    assert set(counts) == {
        sentences[i] + sentences[j] + sentences[3 - i - j]
        for i in range(3)
        for j in range(3)
        if i != j
    }
    assert all(abs(count - 2000) < 5 * np.sqrt(2000) for count in counts.values())


def check_spans(count, size, share=0.3, mean=3.0):
    step = min(count, 10_000)  # at a time, for the memory
    parts = [
        spans(keys(step, first), tf.fill([step], size), size, share, mean)
        for first in range(0, count, step)
    ]
    is_mask, lengths, counts = map(np.concatenate, zip(*parts, strict=True))
    budget = math.ceil(size * share)
    is_span = np.arange(lengths.shape[1]) < counts[:, None]
    assert (np.where(is_span, lengths, 0).sum(axis=1) == budget).all()
    np.testing.assert_array_equal(is_mask.sum(axis=1), counts)
    # A mask is as likely at any place of a row, when rows of one length are looked at.
    usual = np.bincount(counts).argmax()
    alike = is_mask[counts == usual]
    width = size - budget + usual
    assert not alike[:, width:].any()
    share_of_masks = usual / width
    error = np.sqrt(share_of_masks * (1 - share_of_masks) / len(alike))
    assert abs(alike[:, :width].mean(axis=0) - share_of_masks).max() <= 5 * error
    # So is a span of any length, the trimmed one too.
    first, last = lengths[:, 0], lengths[np.arange(count), counts - 1]
    assert abs(first.mean() - last.mean()) <= 5 * np.sqrt((first.var() + last.var()) / count)
    return lengths, is_span


def check_poisson(count):
    lengths, is_span = check_spans(count, 510)
    # The ring that hides which span was trimmed makes no difference to their lengths; trimming
    # makes one in 51 shorter, and a budget reached earlier by long spans than by short ones leaves
    # a little over. The distribution of all but these is Poisson's.
    found = lengths[is_span]
    poisson = np.array([math.exp(-3) * 3**k / math.factorial(k) for k in range(12)])
    shares = np.bincount(found, minlength=12)[:12] / len(found)
    assert abs(shares - poisson).max() < 0.006
    assert abs(found.mean() - 3) < 0.06
    assert abs(found.var() - 3) < 0.12
    assert (found == 0).mean() == pytest.approx(math.exp(-3), abs=0.003)


def test_spans_have_the_lengths_of_a_poisson_distribution():
    check_poisson(4000)


@pytest.mark.slow
def test_spans_of_100_000_rows_have_the_lengths_of_a_poisson_distribution():
    check_poisson(100_000)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 10, 20])
def test_few_tokens_lose_their_share_too(size):
    check_spans(3000, size)


@pytest.mark.parametrize(("share", "mean"), [(1.0, 3.0), (0.5, 0.2), (0.01, 10.0)])
def test_other_shares_and_means_are_kept(share, mean):
    check_spans(1000, 50, share, mean)


def test_labels_are_the_documents_and_what_is_left_stands_in_their_order():
    documents = corpora.drawn(60, 6, 15)
    rows = corpora.take(source(documents, permute=False))
    found = []
    for encoder, labels in zip(rows["encoder_token_ids"], rows["labels"], strict=True):
        text, damaged = body(labels), body(encoder)
        found += text
        kept = [token for token in damaged if token != MASK]
        assert kept == sorted(set(kept)) and set(kept) <= set(text)
        assert len(text) - len(kept) == math.ceil(0.3 * len(text))
        # The text can be told from the damaged one and what the masks stand for.
        gaps = np.flatnonzero(np.diff([text[0] - 1, *kept, text[-1] + 1]) > 1)
        masked_gaps = {
            sum(t != MASK for t in damaged[:i]) for i, t in enumerate(damaged) if t == MASK
        }
        assert set(gaps.tolist()) <= masked_gaps
    assert found == documents.token_ids.tolist()


def test_sentences_are_shuffled_whole():
    documents = corpora.drawn(60, 6, 9)
    rows = corpora.take(source(documents))
    starts = documents.sentence_starts
    moved = 0
    for encoder, labels in zip(rows["encoder_token_ids"], rows["labels"], strict=True):
        text = np.array(body(labels))
        assert (np.diff(text) == 1).all()
        kept = np.array([token for token in body(encoder) if token != MASK])
        sentence = np.searchsorted(starts, kept - 100, side="right")
        changes = np.flatnonzero(np.diff(sentence)) + 1
        # Each sentence in one piece, its tokens in order.
        assert len(changes) + 1 == len(set(sentence.tolist())) or not len(kept)
        assert all((np.diff(part) > 0).all() for part in np.split(kept, changes))
        moved += (np.diff(sentence) < 0).any()
    assert moved > len(rows["labels"]) / 4


def test_masks_and_shifts_fit_the_tokens():
    rows = corpora.take(source(corpora.drawn(60, 6, 15)))
    for side, ids in (("encoder", rows["encoder_token_ids"]), ("decoder", rows["labels"])):
        mask = rows[f"{side}_padding_mask"]
        np.testing.assert_array_equal(mask, ids != PAD)
        np.testing.assert_array_equal(mask.sum(axis=1) - 1, (ids == EOS).argmax(axis=1))
    is_token = rows["decoder_padding_mask"] > 0
    np.testing.assert_array_equal(rows["label_weights"], is_token)
    shifted = np.pad(rows["labels"][:, :-1], ((0, 0), (1, 0)), constant_values=START)
    np.testing.assert_array_equal(rows["decoder_token_ids"], np.where(is_token, shifted, PAD))


def test_the_lengths_are_those_of_the_labels():
    made = source(corpora.drawn(60, 6, 15))
    np.testing.assert_array_equal(
        made.lengths, corpora.take(made)["decoder_padding_mask"].sum(axis=1)
    )


def test_rows_follow_the_rules_of_every_source():
    corpora.check(source(corpora.drawn(40, 6, 20)))


@pytest.mark.parametrize(
    ("length", "options", "message"),
    [(2, {}, "length=2"), (9, {"share": 0.0}, "share=0.0"), (9, {"mean_span": 0.0}, "span=0.0")],
)
def test_what_cannot_be_is_refused(length, options, message):
    with pytest.raises(UserError, match=f"Received: .*{message}"):
        source(corpora.numbered([[35]]), length, **options)
