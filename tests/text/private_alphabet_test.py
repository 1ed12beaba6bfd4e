"""The private letters are distinct, private, and as many as needed."""

import re
import unicodedata

import pytest

from tfzoo.text import private_alphabet as alphabet


@pytest.mark.parametrize("split_chinese", [True, False])
def test_letters_are_private_and_distinct(split_chinese):
    letters = alphabet.private_alphabet(split_chinese).values()
    assert len(set(letters)) == len(letters)
    assert {unicodedata.category(chr(letter)) for letter in letters} == {"Co"}
    assert not {alphabet.OPEN, alphabet.CLOSE, alphabet.TOO_LONG} & set(map(chr, letters))


def test_only_without_splitting_do_ideographs_have_letters():
    assert 0x4E00 not in alphabet.private_alphabet(True)
    assert 0x4E00 in alphabet.private_alphabet(False)


def test_words_end_at_symbols_and_ideographs():
    words = re.findall(f"[^{alphabet.WORD_ENDS}]+", "don't [SEP] a-b\\c^中é国~x")
    assert words == ["don", "t", "SEP", "a", "b", "c", "é", "x"]
