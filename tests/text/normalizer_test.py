"""The buffers that are shipped."""

import itertools
import struct
import time

import pytest

from tfzoo.text import double_array, normalizer
from tfzoo.text.fast_ops import make_normalizer
from tfzoo.text.private_alphabet import CLOSE, OPEN

CHOICES = list(itertools.product((True, False), repeat=3))


def normalize(op, *texts):
    return [t.decode() for t in op.normalize(list(texts)).numpy()]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_loads_in_less_than_50_milliseconds(choice):
    seconds = []
    for _ in range(3):
        start = time.process_time()
        normalizer.load(*choice, markers=False)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


def test_choices_have_different_files():
    assert len({normalizer.file_name(*choice) for choice in CHOICES}) == 8


def test_texts_are_normalized():
    op = make_normalizer(normalizer.load(True, True, True, markers=False))
    assert normalize(op, "ÉCOLE\u200b\tΣΑΣ “q”", "") == ["ecole σας  “ q ” ".replace("ς", "σ"), ""]


def test_bytes_that_are_not_utf_8_vanish():
    op = make_normalizer(normalizer.load(True, True, True, markers=False))
    raw = [
        b"a\xffb",
        b"a\xe4\xb8b",
        b"\xf0\x9f\xa4",
        b"\xed\xa0\x80a",
        b"\xc0\x80a",
        b"a\xf4\x90\x80\x80",
    ]
    assert op.normalize(raw).numpy().tolist() == [b"ab", b"ab", b"", b"a", b"a", b"a"]


def test_markers_mean_something_only_when_asked_for():
    typed = f"a{OPEN}1{CLOSE}b"
    on = make_normalizer(normalizer.load(True, True, True, markers=True))
    off = make_normalizer(normalizer.load(True, True, True, markers=False))
    assert normalize(on, typed) == [f"a {OPEN}1{CLOSE} b"]
    assert normalize(off, typed) == ["a1b"]


def test_the_skeleton_has_one_byte_for_each_character_of_a_word():
    op = make_normalizer(normalizer.load_file(normalizer.SKELETON))
    assert normalize(op, "aé½ \U0001f917\U000f0001 中x!") == ["aaa aa 中x!"]


def test_the_literal_buffer_only_knows_brackets():
    op = make_normalizer(normalizer.load_file(normalizer.LITERALS))
    assert normalize(op, f"É[SEP]{OPEN}") == [f"É {OPEN}SEP{CLOSE} \ufffd"]


def test_the_header_points_at_the_values_of_the_markers():
    raw = normalizer.load_file(normalizer.file_name(True, True, True))
    for position in normalizer.HEADER.unpack_from(raw):
        (unit,) = struct.unpack_from("<I", raw, normalizer.HEADER.size + position)
        assert (
            unit >> 30 == 3 and unit & 0x3F == 4
        )  # A leaf, a change, a space and a private letter.
    assert double_array.LEAF == -1
