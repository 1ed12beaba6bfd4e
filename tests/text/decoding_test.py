"""Ids back to text."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.text.decoding import PieceDecoder, Pieces, clean_up, wordpiece

VOCABULARY = (
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "can",
    "'",
    "t",
    "un",
    "##aff",
    "##able",
    ".",
    "n't",
    "##.",
)


@pytest.fixture(scope="module")
def decoder():
    return PieceDecoder(lambda: wordpiece(VOCABULARY, "##"), [0, 1, 2])


def texts(decoder, rows, skip=False):
    ids = tf.ragged.constant([[VOCABULARY.index(t) for t in row.split()] for row in rows])
    return [t.decode() for t in decoder(ids, skip).numpy()]


def test_pieces_inside_words_are_joined(decoder):
    assert texts(decoder, ["un ##aff ##able t"]) == ["unaffable t"]


def test_the_first_piece_keeps_its_mark_as_in_tokenizers(decoder):
    assert texts(decoder, ["##able un ##aff", "t"]) == ["##able unaff", "t"]


def test_a_point_sticks_to_its_word(decoder):
    assert texts(decoder, ["can n't .", ". ."]) == ["cann't.", ".."]


def test_clean_up_joins_contractions_over_tokens(decoder):
    assert texts(decoder, ["can ' t"]) == ["can ' t"]
    assert clean_up(tf.constant(texts(decoder, ["can ' t"]))).numpy().tolist() == [b"can't"]


def test_special_tokens_are_skipped_before_the_first_piece_is_known(decoder):
    rows = ["[CLS] ##able [SEP] [PAD]", "[CLS] [SEP]"]
    assert texts(decoder, rows, skip=True) == ["##able", ""]
    assert texts(decoder, rows)[0] == "[CLS]able [SEP] [PAD]"


def test_ids_outside_the_vocabulary_vanish(decoder):
    ids = np.array([[-1, 3, 12, 5], [99, 99, 99, -7]])
    assert decoder(ids, True).numpy().tolist() == [b"can t", b""]


def test_no_rows_make_no_texts(decoder):
    assert decoder(tf.zeros([0, 4], tf.int64), False).numpy().tolist() == []
    assert decoder(tf.zeros([2, 0], tf.int32), False).numpy().tolist() == [b"", b""]


def test_the_first_and_the_last_piece_may_have_tables_of_their_own():
    decoder = PieceDecoder(lambda: Pieces(["a", "b"], ["A", "B"], ["x", b"\xff"]), [])
    rows = tf.ragged.constant([[0, 0, 1], [1, 0, 1, 0], [0]])
    assert decoder(rows, False).numpy().tolist() == [b"Aa\xff", b"Babx", b"x"]
