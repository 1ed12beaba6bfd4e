"""Token ids back to text, as tokenizers' WordPiece decoder does it, inside the graph.

Source: tokenizers, decoders/wordpiece.rs. The decoder turns each token into its piece of the text
by two facts only, the token and whether it is the first. So the pieces are two tables of strings.
"""

import functools
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# In order: the space goes away before these. The decoder applies it to each piece, and
# transformers' `clean_up_tokenization_spaces` once more to the whole text.
_TIGHT = (" .", " ?", " !", " ,")
_CONTRACTIONS = (" n't", " 'm", " 's", " 've", " 're")


class PieceDecoder:
    """Joins the pieces of tokens.

    Args:
        vocabulary: The tokens in the order of their ids.
        prefix: What marks a token that continues a word.
        special_ids: Ids of the tokens that `skip_special_tokens` leaves out.
    """

    def __init__(self, vocabulary: Sequence[str], prefix: str, special_ids: Sequence[int]):
        self._vocabulary = vocabulary
        self._prefix = prefix
        self._special_ids = sorted(set(special_ids))

    def __call__(
        self, token_ids: tf.Tensor | tf.RaggedTensor, skip_special_tokens: bool, clean_up: bool
    ) -> tf.Tensor:
        """`(n, t)` integers, dense or ragged, to `(n,)` texts. Unknown ids vanish."""
        ragged = token_ids
        if not isinstance(ragged, tf.RaggedTensor):
            ragged = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ragged))
        ids = tf.cast(ragged.flat_values, tf.int32)
        rows = tf.cast(ragged.value_rowids(), tf.int32)
        first_pieces, later_pieces, is_special = self._tables
        keep = (ids >= 0) & (ids < len(self._vocabulary))
        if skip_special_tokens:
            keep &= ~tf.gather(is_special, tf.where(keep, ids, 0))
        ids, rows = tf.boolean_mask(ids, keep), tf.boolean_mask(rows, keep)
        is_first = tf.concat([tf.fill([1], -1), rows[:-1]], 0)[: tf.size(rows)] != rows
        pieces = tf.where(is_first, tf.gather(first_pieces, ids), tf.gather(later_pieces, ids))
        texts = tf.strings.unsorted_segment_join(pieces, rows, tf.cast(ragged.nrows(), tf.int32))
        return _clean_up(texts) if clean_up else texts

    @functools.cached_property
    def _tables(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # Made at the first use: whoever never decodes pays neither time nor graph size.
        later = (
            token.removeprefix(self._prefix) if token.startswith(self._prefix) else f" {token}"
            for token in self._vocabulary
        )
        special = np.zeros(len(self._vocabulary), bool)
        special[self._special_ids] = True
        with tf.init_scope(), tf.device("CPU"):
            return (
                tf.constant([_tidy(token) for token in self._vocabulary]),
                tf.constant([_tidy(piece) for piece in later]),
                tf.constant(special),
            )


def _tidy(piece: str) -> str:
    for mark in _TIGHT:
        piece = piece.replace(mark, mark[1:])
    piece = piece.replace(" ' ", "'").replace(" n't", "n't").replace(" 'm", "'m")
    piece = piece.replace(" do not", " don't")
    for mark in _CONTRACTIONS[2:]:
        piece = piece.replace(mark, mark[1:])
    return piece


def _clean_up(texts: tf.Tensor) -> tf.Tensor:
    """What transformers' `clean_up_tokenization` does to a text."""
    changes = [(mark, mark[1:]) for mark in _TIGHT]
    changes.append((" ' ", "'"))
    changes += [(mark, mark[1:]) for mark in _CONTRACTIONS]
    for old, new in changes:
        texts = tf.strings.regex_replace(texts, re.escape(old).replace("\\ ", " "), new)
    return texts
