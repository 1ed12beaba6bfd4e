"""Added tokens in texts."""

import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text.added_tokens import AddedToken, AddedTokens, mark, split_words
from tfzoo.text.private_alphabet import CLOSE, OPEN


def parts(tokens, *texts):
    """Of each text its segments: text, or the added token's place."""
    found = AddedTokens(tokens).split(tf.constant(texts))
    rows = [[] for _ in texts]
    for text, row, token in zip(*(part.numpy() for part in found), strict=True):
        rows[row].append(text.decode() if token < 0 else int(token))
    return rows


def test_texts_are_cut_where_tokens_are():
    tokens = [AddedToken("<s>"), AddedToken("</s>")]
    assert parts(tokens, "a<s>b </s>", "<s></s>", "x") == [["a", 0, "b ", 1], [0, 1], ["x"]]


def test_of_several_at_one_place_the_longest_is_found():
    tokens = [AddedToken("<a>"), AddedToken("<a><b>"), AddedToken("<b>")]
    assert parts(tokens, "<a><b><a>") == [[1, 0]]


def test_white_space_goes_along_where_a_token_says_so():
    tokens = [AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True), AddedToken("<n>")]
    text = "a \t\u3000<l> b <r>\x85\n c <n> d"
    assert parts(tokens, text) == [["a", 0, " b ", 1, "c ", 2, " d"]]
    both = [AddedToken("<b>", lstrip=True, rstrip=True)]
    assert parts(both, " <b>  <b> x") == [[0, 0, "x"]]


def test_tokens_may_hold_what_a_regular_expression_would_mistake():
    assert parts([AddedToken("(.*)\\1[^a]|")], "x(.*)\\1[^a]|y") == [["x", 0, "y"]]


def test_texts_without_tokens_stay_whole():
    assert parts([AddedToken("<s>")], "a", "", "b") == [["a"], [""], ["b"]]
    assert parts([], "a<s>", "") == [["a<s>"], [""]]


def test_white_space_tokens_and_stripping_ones_exclude_each_other():
    with pytest.raises(UserError, match=r"'<m>' and ' {2}'"):
        AddedTokens([AddedToken("  "), AddedToken("<m>", lstrip=True)])
    assert parts([AddedToken("  ")], "a   b") == [["a", 0, " b"]]


def test_tokens_that_overlap_must_agree_about_their_turn():
    with pytest.raises(UserError, match="agree about normalized"):
        AddedTokens([AddedToken("<a"), AddedToken("a>", normalized=True)])
    AddedTokens([AddedToken("<s>"), AddedToken("</s>", normalized=True)])


def test_words_end_at_marks():
    rows, words = split_words(tf.constant([b"a\xffb\xff\xff", b"", b"\xffc"]), b"\xff")
    assert rows.numpy().tolist() == [0, 0, 2] and words.numpy().tolist() == [b"a", b"b", b"c"]


def test_marks_of_the_users_own_are_not_understood():
    found = mark(tf.constant([f"a[S]{OPEN}7{CLOSE}"]), {"[S]": 3})
    assert found.numpy()[0].decode() == f"a{OPEN}3{CLOSE}\ufffd7\ufffd"
