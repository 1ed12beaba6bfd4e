"""T5's noise is that of the paper, and nothing of the text is lost by it."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data import chance
from tfzoo.data.span_corruption import Sizes, noise, replaced, shifted, sizes, span_corruption

EOS, START = 1, 0
SENTINELS = tuple(range(99, 9, -1))


def source(documents, length=48, seed=0):
    return span_corruption(documents, length, SENTINELS, EOS, START, seed)


def masks(row, count, seed=0):
    step = min(count, 10_000)  # at a time, for the memory
    parts = []
    for first in range(0, count, step):
        rows = tf.range(first, first + step, dtype=tf.int64)
        parts.append(noise(chance.keys(seed, tf.constant(0, tf.int64), rows), row))
    return np.concatenate(parts)


def run_lengths(mask):
    """Lengths of the runs of False and True by turns, of one row."""
    edges = np.flatnonzero(np.diff(mask)) + 1
    return np.diff([0, *edges, len(mask)])


def restored(encoder, labels):
    """The text, from what the encoder reads and what the decoder is to write."""
    spans = collections.defaultdict(list)
    sentinel = None
    for token in labels[: list(labels).index(EOS)]:
        if token in SENTINELS:
            sentinel = token
        else:
            spans[sentinel].append(token)
    text = []
    for token in encoder[: list(encoder).index(EOS)]:
        text += spans[token] if token in SENTINELS else [token]
    return text


def test_figure_2_of_the_paper():
    words = "Thank you for inviting me to your party last week".split()
    names = {100 + i: word for i, word in enumerate(words)} | {99: "<X>", 98: "<Y>", 97: "<Z>"}
    is_noise = tf.constant([[word in ("for", "inviting", "last") for word in words]])
    ids = tf.constant([range(100, 110)])
    encoder = replaced(ids, is_noise, SENTINELS, EOS, 10).numpy()[0]
    labels = replaced(ids, ~is_noise, SENTINELS, EOS, 7).numpy()[0]
    assert encoder[-1] == labels[-1] == EOS
    assert " ".join(names[i] for i in encoder[:-1]) == "Thank you <X> me to your party <Y> week"
    assert " ".join(names[i] for i in labels[:-1]) == "<X> for inviting <Y> last <Z>"
    assert restored(encoder, labels) == list(range(100, 110))
    assert shifted(tf.constant([labels]), START).numpy().tolist() == [[START, *labels[:-1]]]


def test_noise_at_the_beginning_is_replaced_too():
    ids, is_noise = tf.constant([[5, 6, 7]]), tf.constant([[True, False, True]])
    assert replaced(ids, is_noise, SENTINELS, EOS, 4).numpy().tolist() == [[99, 6, 98, EOS]]


# What t5.data.preprocessors.random_spans_helper prints: the paper's 512 tokens hold 568 of text.
@pytest.mark.parametrize(
    ("length", "tokens", "decoder"), [(512, 568, 114), (128, 141, 29), (256, 284, 58)]
)
def test_the_text_just_fills_the_encoder(length, tokens, decoder):
    row = sizes(length)
    assert (row.tokens, row.encoder, row.decoder) == (tokens, length, decoder)


def test_every_length_is_reached_exactly():
    for length in range(3, 700):
        row = sizes(length)
        assert row.encoder == length and 1 <= row.spans <= row.noise < row.tokens


def test_rows_have_no_padding_and_their_text_can_be_restored():
    documents = corpora.drawn(40, 6, 20)
    made = source(documents)
    row = sizes(48)
    size = len(documents.token_ids)
    for epoch in range(3):
        rows = corpora.take(made, epoch=epoch)
        assert rows["encoder_token_ids"].shape == (made.num_rows, 48)
        assert rows["labels"].shape == (made.num_rows, row.decoder)
        for name in ("encoder_padding_mask", "decoder_padding_mask", "label_weights"):
            assert (rows[name] == 1).all(), name
        assert (rows["encoder_token_ids"][:, -1] == EOS).all() and (
            rows["labels"][:, -1] == EOS
        ).all()
        assert (rows["decoder_token_ids"][:, 0] == START).all()
        np.testing.assert_array_equal(rows["decoder_token_ids"][:, 1:], rows["labels"][:, :-1])
        text = np.concatenate(
            [restored(*r) for r in zip(rows["encoder_token_ids"], rows["labels"], strict=True)]
        )
        # The documents one after the other, from somewhere on and around.
        wanted = (text[0] - 100 + np.arange(made.num_rows * row.tokens)) % size + 100
        np.testing.assert_array_equal(text, wanted)
        assert (text[0] == 100) == (epoch == 0)


def test_every_noise_is_as_likely():
    # 3 tokens of noise in 2 spans, 3 of text in 2: 2 times 2 ways.
    counts = collections.Counter(map(tuple, masks(Sizes(6, 3, 2), 20_000).astype(int)))
    assert set(counts) == {
        (0, 1, 0, 0, 1, 1),
        (0, 1, 1, 0, 0, 1),
        (0, 0, 1, 0, 1, 1),
        (0, 0, 1, 1, 0, 1),
    }
    assert all(abs(count - 5000) < 5 * np.sqrt(5000) for count in counts.values())


def check_noise(row, count):
    found = masks(row, count)
    runs = np.array([run_lengths(mask) for mask in found])
    assert runs.shape == (count, 2 * row.spans)  # begins with text, ends in noise
    assert (found.sum(axis=1) == row.noise).all()
    for lengths, total in ((runs[:, 1::2], row.noise), (runs[:, ::2], row.tokens - row.noise)):
        # Cut at spans - 1 of total - 1 places, all ways alike: a span is longer than n with the
        # chance that none of the first n places is among them.
        longer = 1.0
        for n in range(1, 8):
            longer *= (total - row.spans - n + 1) / (total - n)
            seen = (lengths > n).mean()
            # Spans of a row depend on each other, negatively, which makes the mean vary less.
            assert abs(seen - longer) < 5 * np.sqrt(longer * (1 - longer) / lengths.size), n
        # No span of a row is longer on average than the others.
        means = lengths.mean(axis=0)
        spread = lengths.std() / np.sqrt(count)
        assert abs(means - total / row.spans).max() < 5 * spread
    assert abs(found.mean() - 0.15) < 0.001
    assert abs(runs[:, 1::2].mean() - 3) < 0.05


def test_spans_have_the_lengths_of_the_paper():
    check_noise(sizes(512), 2000)


@pytest.mark.slow
def test_spans_of_100_000_rows_have_the_lengths_of_the_paper():
    check_noise(sizes(512), 100_000)


def test_rows_follow_the_rules_of_every_source():
    corpora.check(source(corpora.drawn(40, 6, 20)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_length": 2}, "Received: encoder_length=2"),
        ({"encoder_length": 4000}, "Received: 35 tokens"),
        ({"sentinel_ids": (99,)}, "Received: 1 sentinels"),
        ({"density": 1.0}, "Received: density=1.0"),
        ({"mean_span": 0.5}, "mean_span=0.5"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    usual = {
        "encoder_length": 30,
        "sentinel_ids": SENTINELS,
        "eos_id": EOS,
        "decoder_start_id": START,
        "seed": 0,
    }
    with pytest.raises(UserError, match=message):
        span_corruption(corpora.numbered([[35]]), **(usual | options))
