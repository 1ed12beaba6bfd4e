"""Token ids back to text, as tokenizers' decoders do it, inside the graph.

Source: tokenizers, decoders/*.rs. A decoder turns each token into its piece of the text by three
facts only: the token, whether it is the first, and whether it is the last. So the pieces are tables
of strings.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# In order: the space goes away before these. The decoder applies it to each piece, and
# transformers' `clean_up_tokenization_spaces` once more to the whole text.
_TIGHT = (" .", " ?", " !", " ,")
_CONTRACTIONS = (" n't", " 'm", " 's", " 've", " 're")


class Pieces(NamedTuple):
    """What each token of a vocabulary is in a text.

    Attributes:
        inner: The pieces in the order of ids.
        first: As the first token of a text; None: as elsewhere.
        last: As the last token of a text; None: as elsewhere.
    """

    inner: Sequence[str | bytes]
    first: Sequence[str | bytes] | None = None
    last: Sequence[str | bytes] | None = None


class PieceDecoder:
    """Joins the pieces of tokens.

    Args:
        pieces: Makes the tables, when the first text is decoded.
        special_ids: Ids of the tokens that `skip_special_tokens` leaves out.
    """

    def __init__(self, pieces: Callable[[], Pieces], special_ids: Sequence[int]):
        self._pieces = pieces
        self._special_ids = sorted(set(special_ids))

    def __call__(
        self, token_ids: tf.Tensor | tf.RaggedTensor, skip_special_tokens: bool
    ) -> tf.Tensor:
        """`(n, t)` integers, dense or ragged, to `(n,)` texts. Unknown ids vanish."""
        ragged = token_ids
        if not isinstance(ragged, tf.RaggedTensor):
            ragged = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ragged))
        ids = tf.cast(ragged.flat_values, tf.int32)
        rows = tf.cast(ragged.value_rowids(), tf.int32)
        tables, is_special = self._tables
        keep = (ids >= 0) & (ids < tf.size(is_special))
        if skip_special_tokens:
            keep &= ~tf.gather(is_special, tf.where(keep, ids, 0))
        ids, rows = tf.boolean_mask(ids, keep), tf.boolean_mask(rows, keep)
        pieces = tf.gather(tables.inner, ids)
        size = tf.size(rows)
        if tables.first is not None:
            is_first = tf.concat([tf.fill([1], -1), rows[:-1]], 0)[:size] != rows
            pieces = tf.where(is_first, tf.gather(tables.first, ids), pieces)
        if tables.last is not None:
            is_last = tf.concat([rows[1:], tf.fill([1], -1)], 0)[:size] != rows
            pieces = tf.where(is_last, tf.gather(tables.last, ids), pieces)
        return tf.strings.unsorted_segment_join(pieces, rows, tf.cast(ragged.nrows(), tf.int32))

    def texts(self) -> list[bytes]:
        """The pieces in the order of ids, empty for special tokens."""
        pieces = [p if isinstance(p, bytes) else p.encode() for p in self._pieces().inner]
        for number in self._special_ids:
            pieces[number] = b""
        return pieces

    @functools.cached_property
    def _tables(self) -> tuple[Pieces, tf.Tensor]:
        # Made at the first use: whoever never decodes pays neither time nor graph size.
        pieces = self._pieces()
        special = np.zeros(len(pieces.inner), bool)
        special[self._special_ids] = True
        with tf.init_scope(), tf.device("CPU"):
            tables = [None if table is None else tf.constant(table) for table in pieces]
            return Pieces(*tables), tf.constant(special)


def wordpiece(vocabulary: Sequence[str], prefix: str) -> Pieces:
    """The pieces of tokenizers' WordPiece decoder.

    Args:
        vocabulary: The tokens in the order of their ids.
        prefix: What marks a token that continues a word.
    """
    later = (
        token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"
        for token in vocabulary
    )
    return Pieces([_tidy(piece) for piece in later], [_tidy(token) for token in vocabulary])


def _tidy(piece: str) -> str:
    for mark in _TIGHT:
        piece = piece.replace(mark, mark[1:])
    piece = piece.replace(" ' ", "'").replace(" n't", "n't").replace(" 'm", "'m")
    piece = piece.replace(" do not", " don't")
    for mark in _CONTRACTIONS[2:]:
        piece = piece.replace(mark, mark[1:])
    return piece


def clean_up(texts: tf.Tensor) -> tf.Tensor:
    """What transformers' `clean_up_tokenization` does to a text."""
    changes = [(mark, mark[1:]) for mark in _TIGHT]
    changes.append((" ' ", "'"))
    changes += [(mark, mark[1:]) for mark in _CONTRACTIONS]
    for old, new in changes:
        texts = tf.strings.regex_replace(texts, re.escape(old).replace("\\ ", " "), new)
    return texts
