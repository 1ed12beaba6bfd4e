"""The tokenizer as ops that exist in TFLite: builtins, and tensorflow-text's two custom ops.

    text ─► FastBertNormalize ─┬─► FastWordpiece ─────────────────────────► pieces ──┐
                 (offsets)     └─► skeleton, one byte a character ─► word lengths ──┤
    text ─► brackets to marks ───► FastWordpiece ───────────────► special tokens ──┴─► ids

TFLite has no regular expressions, so the two things that `WordPiece.tokenize` does with them are
done with numbers here: a word of more than 100 characters is found by its length in a second string
that has one byte for each character, and special tokens are found by a second tokenizer whose only
words they are, then laid over the pieces of the first by their place in the text.

Same ids as `WordPiece.__call__`, also for bytes that are not UTF-8. It cannot look for special
tokens that are not a name of ASCII letters and digits in square brackets; with such, turn
`special_literals` off.

A converted model needs an interpreter with tensorflow-text's ops:
`ai_edge_litert.interpreter.InterpreterWithCustomOps(tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
...)`.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text import normalizer
from tfzoo.text.fast_ops import MAX_WORD_LENGTH, PREFIX, make_normalizer, make_pieces
from tfzoo.text.packing import Rows
from tfzoo.text.private_alphabet import CLOSE, OPEN

if TYPE_CHECKING:
    from tfzoo.text.wordpiece import WordPiece

_UNKNOWN = "[UNK]"  # Of the two helping tokenizers; holds symbols, so it is no word of a text.


class LiteTokenizer(tf.Module):
    """Tokenizes one text.

    Args:
        tokenizer: The tokenizer whose ids it gives.

    Raises:
        UserError: for special tokens it cannot look for.
    """

    def __init__(self, tokenizer: "WordPiece"):
        super().__init__(name="lite_tokenizer")
        self._normalizer = tokenizer.make_normalizer(markers=False)
        self._pieces = tokenizer.pieces
        self._unknown_id = tokenizer.unk_id
        self._is_inside = np.array([t.startswith(PREFIX) for t in tokenizer.vocabulary])
        self._skeleton = make_normalizer(normalizer.load_file(normalizer.SKELETON))
        # Every word is unknown to this one: it only tells where words are.
        self._words = make_pieces([_UNKNOWN, "\x02"], _UNKNOWN)
        special = sorted(set(tokenizer.special_tokens)) if tokenizer.special_literals else []
        wrong = [token for token in special if not re.fullmatch(r"\[[A-Za-z0-9]+\]", token)]
        if wrong:
            raise UserError(
                "In TFLite special tokens are looked for by their square brackets. "
                f"Received: {', '.join(wrong)}. Turn special_literals off."
            )
        if special:
            self._brackets = make_normalizer(normalizer.load_file(normalizer.LITERALS))
            names = [f"{OPEN}{token[1:-1]}{CLOSE}" for token in special]
            self._names = make_pieces([_UNKNOWN, "\x02", *names], _UNKNOWN)
            self._special_ids = np.array([-1, -1, *map(tokenizer.id_of, special)], np.int32)
        self._special_literals = bool(special)

    def __call__(self, text: tf.Tensor) -> Rows:
        """`(1,)` string to its token ids, without [CLS] and [SEP]."""
        words, offsets = self._normalizer.normalize_with_offsets(text)
        pieces, starts, _ = self._pieces.tokenize_with_offsets(words)
        ids, starts = pieces.flat_values, starts.flat_values
        is_inside = tf.gather(self._is_inside, ids)

        skeleton = self._skeleton.normalize(words)
        _, word_starts, word_ends = self._words.tokenize_with_offsets(skeleton)
        is_long = word_ends.flat_values - word_starts.flat_values > MAX_WORD_LENGTH
        word = tf.cumsum(1 - tf.cast(is_inside, tf.int32)) - 1
        is_long = tf.gather(is_long, word)
        ids = tf.where(is_long, self._unknown_id, ids)
        keep = tf.logical_not(is_long & is_inside)

        if self._special_literals:
            places = tf.gather(offsets.flat_values, starts)
            ids, keep = self._lay_special_tokens(text, ids, keep, tf.cast(places, tf.int32))
        ids = tf.boolean_mask(ids, keep)
        return Rows(ids, tf.constant([0]), tf.reshape(tf.size(ids), [1]))

    def _lay_special_tokens(
        self, text: tf.Tensor, ids_p: tf.Tensor, keep_p: tf.Tensor, places_p: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Puts special tokens where their opening bracket was, and drops the rest of the name."""
        marked, offsets = self._brackets.normalize_with_offsets(text)
        names, starts, ends = self._names.tokenize_with_offsets(marked)
        offsets = tf.cast(offsets.flat_values, tf.int32)
        special_s = tf.gather(self._special_ids, names.flat_values)
        is_special_s = special_s >= 0
        special_s = tf.boolean_mask(special_s, is_special_s)
        starts_s = tf.boolean_mask(tf.gather(offsets, starts.flat_values), is_special_s)
        # What follows the closing mark is the space that came with it: the bracket's own place.
        ends_s = tf.boolean_mask(tf.gather(offsets, ends.flat_values), is_special_s)

        # One that lies nowhere, because TFLite cannot reduce over no elements.
        special_s = tf.concat([[0], special_s], 0)
        starts_s, ends_s = tf.concat([[-1], starts_s], 0), tf.concat([[-1], ends_s], 0)
        places_p1 = places_p[:, None]
        opens_ps = places_p1 == starts_s
        inside_ps = (places_p1 > starts_s) & (places_p1 <= ends_s)
        special_p = tf.reduce_sum(tf.where(opens_ps, special_s, 0), 1)
        ids_p = tf.where(tf.reduce_any(opens_ps, 1), special_p, ids_p)
        return ids_p, keep_p & tf.logical_not(tf.reduce_any(inside_ps, 1))
