"""What is cleaned away, and where sentences end."""

import dataclasses
import unicodedata

import pytest

from tfzoo.data import cleaning
from tfzoo.data.preparation import Preparation

RULES = Preparation(("x",), "t")


def how(**changes):
    return dataclasses.replace(RULES, **changes)


def test_white_space_collapses_and_paragraphs_stay_apart():
    text = " A  title\r\n\t\r\nOne\tline\nand\u00a0its\u2028end. \n\n\n"
    assert cleaning.clean(text, how()) == "A title\nOne line and its end."
    assert cleaning.clean(text, how(sentences="lines")) == "A title\nOne line\nand its end."
    assert cleaning.clean(text, how(sentences="none")) == "A title One line and its end."


def test_kept_white_space_stays_but_for_line_ends():
    text = "\n  A  b\r\n\tc\r\rd \n\n"
    assert cleaning.clean(text, how(whitespace="keep")) == "  A  b\n\tc\n\nd "
    assert cleaning.clean(" \n\t", how(whitespace="keep")) == ""


def test_control_characters_go_and_others_stay():
    text = "a\x00b\x1bc\x7fd\x9fe\ufefff\u200dg\u00ad"
    for whitespace in ("collapse", "keep"):
        assert cleaning.clean(text, how(whitespace=whitespace)) == "abcdef\u200dg\u00ad"


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_texts_are_normalized_as_asked(form):
    text = "Ame\u0301lie \ufb01n \u00c5"
    assert cleaning.clean(text, how(normalization=form)) == unicodedata.normalize(form, text)
    assert cleaning.clean(text, how(normalization="none")) == text


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", " We left!", " Why?", " No one knew."],
        ['"Really?" he said.', ' "Yes."', " (So it was.)", " And then..."],
        ["Dr. J. R. Smith met Mr. Y in the U.S. in 1999.", " It cost 3.50 francs."],
        ["He waited... and waited.", " ...", " Then he left."],
        ["Am 3. Oktober kam z.B. Ärger auf.", " Über uns.", " ¿Qué?", " ¡Sí!"],
        ["Он пришёл.", " Она ушла!"],
        ["今日は雨。", "「本当？」", "はい。"],
        ["यह एक है।", " वह दो है।"],
        ["هل أنت هنا؟", " نعم."],
        ["see e.g. Fig. 3 and pp. 7 ff. of it", ""],
        ["Section 12.", " The end"],
        ["a.b.c", ""],
    ],
)
def test_sentences_end_where_readers_say(expected):
    expected = [piece for piece in expected if piece]
    if expected[0].startswith("Section"):
        expected = ["".join(expected)]  # A short number may be that of a list or a date.
    assert cleaning.sentences("".join(expected), how()) == expected


TEXTS = [
    "One. Two.\n\nThree four.\nFive",
    "No end",
    " . . ",
    "A.\n\n\nB.  C! \nD",
    "x\n\n",
    '"I." "You." He.',
]


@pytest.mark.parametrize("rule", ["rules", "lines", "none"])
@pytest.mark.parametrize("text", TEXTS)
def test_sentences_of_kept_text_are_the_text_and_none_is_blank(text, rule):
    settings = how(whitespace="keep", sentences=rule)
    clean = cleaning.clean(text, settings)
    found = cleaning.sentences(clean, settings)
    assert "".join(found) == clean
    assert all(piece.strip() for piece in found)


@pytest.mark.parametrize("rule", ["rules", "lines", "none"])
@pytest.mark.parametrize("text", TEXTS)
def test_sentences_of_collapsed_text_are_the_text_with_single_spaces(text, rule):
    settings = how(sentences=rule)
    found = cleaning.sentences(cleaning.clean(text, settings), settings)
    assert "".join(found) == " ".join(text.split())
    assert all(piece.strip() for piece in found)


def test_lines_and_paragraphs_are_ends_of_sentences():
    settings = how(sentences="lines")
    assert cleaning.sentences("a. b\nc", settings) == ["a. b", " c"]
    assert cleaning.sentences("A title\nIt begins. So", how()) == ["A title", " It begins.", " So"]
    kept = how(whitespace="keep", sentences="lines")
    assert cleaning.sentences("a\n\n  b\nc", kept) == ["a\n", "\n  b", "\nc"]
    kept = how(whitespace="keep")
    assert cleaning.sentences("A\nb\n \nOne. D", kept) == ["A\nb", "\n \nOne.", " D"]
