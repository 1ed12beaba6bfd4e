"""The C++ ops with buffers of our own."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.fast_ops import make_pieces


def test_pieces_are_found_longest_first():
    op = make_pieces(["[UNK]", "un", "##aff", "##a", "##ffable", "##able"], "[UNK]")
    assert op.tokenize(["unaffable unx un"]).to_list() == [[1, 2, 5, 0, 1]]


def test_a_word_of_100_wide_characters_is_not_too_long():
    op = make_pieces(["[UNK]", "\U00010000", "##\U00010000"], "[UNK]")
    assert op.tokenize(["\U00010000" * 100]).to_list() == [[1] + [2] * 99]


def test_a_piece_that_the_op_cannot_hold_is_refused():
    with pytest.raises(UserError, match="300 bytes"):
        make_pieces(["[UNK]", "\u4e00" * 100], "[UNK]")
