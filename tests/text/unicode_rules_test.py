"""What becomes of single code points, one for each rule."""

import pytest

from tfzoo.text.private_alphabet import private_alphabet
from tfzoo.text.unicode_rules import ill_formed, rewrites


@pytest.fixture(scope="module")
def uncased():
    return rewrites(lowercase=True, strip_accents=True, split_chinese=True)


@pytest.mark.parametrize(
    ("character", "becomes"),
    [
        ("A", "a"),
        ("é", "e"),
        ("É", "e"),
        ("\u0301", ""),
        ("İ", "i"),
        ("ẞ", "ß"),
        ("\x00", ""),
        ("\x85", ""),
        ("\u200b", ""),
        ("\ue000", ""),
        ("\ufffd", ""),
        ("\t", " "),
        ("\u3000", " "),
        ("“", " “ "),
        ("\u037e", ";"),  # The Greek question mark is canonically a semicolon.
        ("\uf900", "\u8c48"),  # A compatibility ideograph.
        ("각", "\u1100\u1161\u11a8"),
        ("\U00011938", "\U00011938"),  # Has a decomposition since Unicode 13, too new to be known.
    ],
)
def test_a_code_point_becomes(uncased, character, becomes):
    assert uncased.get(ord(character), character) == becomes


@pytest.mark.parametrize("character", ["a", "!", "[", "½", "ß", "中", "\u0378", "\U0001f917"])
def test_a_code_point_stays(uncased, character):
    assert ord(character) not in uncased


def test_accents_and_case_are_separate_options():
    lowered = rewrites(lowercase=True, strip_accents=False, split_chinese=True)
    stripped = rewrites(lowercase=False, strip_accents=True, split_chinese=True)
    assert lowered[ord("É")] == "é" and lowered[ord("İ")] == "i\u0307"
    assert stripped[ord("É")] == "E" and ord("E") not in stripped


def test_ideographs_become_private_letters_when_they_are_not_split():
    whole = rewrites(lowercase=True, strip_accents=True, split_chinese=False)
    assert whole[ord("中")] == chr(private_alphabet(split_chinese=False)[ord("中")])


def test_a_later_punctuation_mark_becomes_a_private_letter(uncased):
    assert uncased[0x2E52] == chr(private_alphabet(split_chinese=True)[0x2E52])


def test_ill_formed_sequences_are_those_that_python_replaces_by_one_character():
    sequences = ill_formed()
    assert len(sequences) == len(set(sequences)) > 1000
    assert {s.decode(errors="replace") for s in sequences} == {"\ufffd"}
