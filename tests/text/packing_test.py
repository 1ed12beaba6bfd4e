"""Rows against the rule written out in Python."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.text.packing import Frame, Rows, longest_first, pack

CLS, SEP, PAD = 1, 2, 0
BERT = Frame((CLS,), (SEP,), (SEP,), PAD, segments=True)


def rows(*texts):
    return Rows.from_ragged(tf.ragged.constant(texts, dtype=tf.int32, ragged_rank=1))


def by_hand(first, second, room):
    """LongestFirst as tokenizers states it."""
    short, long = sorted((len(first), len(second)))
    swapped = len(first) > len(second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    a, b = (long, short) if swapped else (short, long)
    return first[:a], second[:b]


@pytest.mark.parametrize("room", range(10))
def test_longest_first_is_the_published_rule(room):
    pairs = list(itertools.product(range(9), repeat=2))
    ours = longest_first(*tf.constant(pairs, tf.int32)[:, :2].numpy().T, room)
    for (a, b), kept_a, kept_b in zip(pairs, *map(np.asarray, ours), strict=True):
        expected = [len(x) for x in by_hand([0] * a, [0] * b, room)]
        assert [min(a, kept_a), min(b, kept_b)] == expected
        assert kept_a + kept_b <= max(room, 0) or (a <= kept_a and b <= kept_b)


def test_of_two_equally_long_texts_the_second_keeps_one_more():
    out = pack(rows([5, 6, 7]), rows([8, 9, 10]), 6, None, BERT)
    assert out["token_ids"].numpy().tolist() == [[CLS, 5, SEP, 8, 9, SEP]]


@pytest.mark.parametrize("max_length", [3, 4, 5, 8, 20])
@pytest.mark.parametrize("width", [None, 20])
def test_rows_are_laid_out(max_length, width):
    first = [[], [10, 11], list(range(10, 22)), [10]]
    second = [[], list(range(30, 45)), [30, 31, 32], [30]]
    for pairs in (None, second):
        out = pack(rows(*first), pairs and rows(*pairs), max_length, width, BERT)
        expected = []
        for a, b in zip(first, second, strict=True):
            if pairs is None:
                row, segments = [CLS, *a[: max_length - 2], SEP], []
            else:
                a, b = by_hand(a, b, max_length - 3)
                row, segments = [CLS, *a, SEP], [*b, SEP]
            expected.append((row + segments, [0] * len(row) + [1] * len(segments)))
        wide = width or max(len(row) for row, _ in expected)

        def fill(values, wide=wide):
            return values + [0] * (wide - len(values))

        assert out["token_ids"].numpy().tolist() == [fill(row) for row, _ in expected]
        assert out["segment_ids"].numpy().tolist() == [fill(s) for _, s in expected]
        assert out["padding_mask"].numpy().tolist() == [fill([1] * len(r)) for r, _ in expected]


def test_no_texts_make_no_rows():
    empty = Rows(tf.zeros([0], tf.int32), tf.zeros([0], tf.int32), tf.zeros([0], tf.int32))
    out = pack(empty, None, 8, None, BERT)
    assert [value.shape.as_list() for value in out.values()] == [[0, 2]] * 3


def test_padding_has_its_own_id():
    out = pack(rows([5], [6, 7]), None, 8, None, BERT._replace(padding=99))
    assert out["token_ids"].numpy().tolist() == [[CLS, 5, SEP, 99], [CLS, 6, 7, SEP]]


FRAMES = [
    Frame((), (), (), PAD),
    Frame((1,), (2, 2), (2,), PAD),
    Frame((), (3,), (3,), PAD, segments=True),
    Frame((4, 5), (), (6, 7, 8), 99, "left", segments=True),
    Frame((), (), (), 99, "left"),
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("max_length", [5, 8, 30])
def test_every_frame_is_laid_out(frame, max_length):
    first = [[], [10, 11], list(range(10, 22)), [10]]
    second = [[], list(range(30, 45)), [30, 31, 32], [30]]
    for pairs in (None, second):
        out = pack(rows(*first), pairs and rows(*pairs), max_length, 30, frame)
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            if pairs is None:
                a, tail = a[: max_length - frame.count(False)], []
                head = [*frame.before, *a, *frame.after]
            else:
                a, b = by_hand(a, b, max_length - frame.count(True))
                head, tail = [*frame.before, *a, *frame.between], [*b, *frame.after]
            fill = 30 - len(head) - len(tail)

            def padded(values, padding, fill=fill):
                sides = (
                    ([padding] * fill, [])
                    if frame.padding_side == "left"
                    else ([], [padding] * fill)
                )
                return [*sides[0], *values, *sides[1]]

            segments = [0] * len(head) + [int(frame.segments)] * len(tail)
            assert out["token_ids"].numpy()[number].tolist() == padded(head + tail, frame.padding)
            assert out["padding_mask"].numpy()[number].tolist() == padded([1] * len(segments), 0)
            assert out["segment_ids"].numpy()[number].tolist() == padded(segments, 0)


def test_rows_without_tokens_have_no_width():
    out = pack(rows([], []), None, 8, None, Frame())
    assert out["token_ids"].shape == (2, 0)
