"""SentencePiece unigram inside the TensorFlow graph: the tokenizer of T5, mT5 and Flan-T5.

Sources: Kudo 2018 (unigram), Kudo and Richardson 2018 (SentencePiece); the C++ op of
tensorflow-text. Checked against tokenizers 0.23 and transformers 5.23, and against sentencepiece
0.2.3 where the three agree.

    texts ─► UTF-8 ─► clusters ─► words ─► FastSentencepiece (normalize, Viterbi) ─► ids
                      (regex)              (a model of our own)

Equal means: the ids that transformers gives for every string. That is not always what sentencepiece
gives: its normalizer composes decomposed letters that tokenizers leaves apart or cuts (see
`tfzoo.text.clusters`), it never reads a special token out of a text, also not out of full-width
letters, and it adds up scores over a whole text in 32 bits, where tokenizers takes 64 and one word
at a time. What the op does of its own is bent by the model it is given:

- added tokens are keys of its character map, replaced by a piece of their own between spaces;
- every token but the unknown one can be found in a text, as in tokenizers;
- scores are moved by a constant for each character, which changes no comparison between ways to
  cut a word, but keeps the sums of long words small, so that ties are ties in 32 bits too.

The known differences:

- bytes that are not UTF-8 count as U+FFFD, as Python's `errors="replace"` has it, and so does a
  lone surrogate in a Python string (tokenizers raises an error);
- two ways to cut a word whose scores differ by less than the 32 bits can tell: a run of dots after
  several unknown characters (1 of 345,000 lines), or a long word of several runs;
- combining marks right after an added token, which are taken to continue its last character;
- a `▁` that is written in a text, under a character map that does not make it a space; T5's does.

Easy to get wrong: white space around an added token belongs to nobody, so it makes no difference;
what follows such a token is a new word, with `▁` in front.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text import charsmap as maps
from tfzoo.text import clusters, decoding, packing, sentencepiece_model, unicode_tables
from tfzoo.text.added_tokens import AddedToken, split_words
from tfzoo.text.clusters import SEPARATOR, Clusters
from tfzoo.text.decoding import PieceDecoder, Pieces
from tfzoo.text.fast_unigram import FastUnigram
from tfzoo.text.tokenizer import Tokenizer, as_texts, to_utf8
from tfzoo.text.vocabulary import Vocabulary

SPACE = "▁"
DEFAULT_LENGTH = 512

_SPACES = b" \t\n\r"
_GRID = 2.0**-19  # Of scores: sums up to 32 are exact in 32 bits.
_CODE = b"\xfe%06x"  # A piece that stands for an added token: no text has the first byte.


class SentencePiece(Tokenizer):
    """The tokenizer of T5 and of all that took it over.

    Args:
        vocabulary: The tokens, in the order of their ids.
        scores: Of the first tokens, their logarithms of probability; those after them are in no
            text unless they are added tokens.
        charsmap: What replaces characters; see `tfzoo.text.charsmap`.
        unknown: The token for what the vocabulary cannot spell.
        end: The token after each text.
        padding: The token that fills rows up.
        added_tokens: Tokens that are looked for in a text.
        special_literals: Whether a special token's text inside a text, like `<extra_id_0>`, is that
            token before anything else is done to the text.
        max_length: The longest row, in tokens with the special ones, that `__call__` makes.

    Raises:
        UserError: for a vocabulary with an empty or repeated token, or without one that is named
            elsewhere; for added tokens with white space.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        scores: Sequence[float],
        *,
        charsmap: bytes = b"",
        unknown: str = "<unk>",
        end: str = "</s>",
        padding: str = "<pad>",
        added_tokens: Sequence[AddedToken] = (),
        special_literals: bool = True,
        max_length: int = DEFAULT_LENGTH,
    ):
        named = (padding, end, unknown)
        special = [token.content for token in added_tokens if token.special]
        added = [token.content for token in added_tokens]
        checked = Vocabulary(vocabulary, [*dict.fromkeys([*named, *added])])
        frame = packing.Frame(
            between=(checked.id_of(end),),
            after=(checked.id_of(end),),
            padding=checked.id_of(padding),
        )
        super().__init__(checked, tuple(dict.fromkeys([*named, *special])), frame, max_length)
        if not 0 < len(scores) <= len(vocabulary):
            raise UserError(
                "The first tokens of a vocabulary have scores, the rest none. "
                f"Received: {len(scores)} scores of {len(vocabulary)} tokens."
            )
        _check_added(added_tokens)
        self.scores = tuple(scores)
        self.charsmap = charsmap
        self.unknown, self.end, self.padding = unknown, end, padding
        self.added_tokens = tuple(added_tokens)
        self.special_literals = special_literals
        rules = clusters.rules(maps.unpack(charsmap, clusters.LONGEST_KEY))
        self._clusters = Clusters(rules)
        self._unigram, self._ids = self._compile(rules)
        self._decoder = PieceDecoder(
            lambda: Pieces(
                [token.replace(SPACE, " ") for token in self.vocabulary],
                [token.replace(SPACE, "") for token in self.vocabulary],
            ),
            [*map(self.id_of, self.special_tokens)],
        )

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "SentencePiece":
        """Reads `tokenizer.json` or `spiece.model`, and the files beside it that hold options."""
        from tfzoo.text import sentencepiece_files

        return cls(**sentencepiece_files.read(folder, options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json and tokenizer_config.json, for transformers too."""
        from tfzoo.text import sentencepiece_files

        sentencepiece_files.write(self, folder)

    @property
    def unk_id(self) -> int:
        """Id of the unknown token."""
        return self.id_of(self.unknown)

    @property
    def end_id(self) -> int:
        """Id of the token after each text."""
        return self.id_of(self.end)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        texts = self._clusters.split(to_utf8(as_texts(texts)))
        rows, words = split_words(texts, _SPACES)
        ids = self._cut(words).with_row_splits_dtype(tf.int64)
        ids = tf.RaggedTensor.from_value_rowids(ids, rows, tf.size(texts, tf.int64), validate=False)
        return ids.merge_dims(1, 2)

    def lite_inputs(self, text: Any, length: int, pair: Any = None) -> dict[str, tf.Tensor]:
        """One text, or one pair, to a model's inputs, with ops that TFLite has.

        The same ids as `__call__` gives, except for: decomposed letters, which are composed as
        sentencepiece does it (there are no regular expressions here); bytes that are not UTF-8,
        each of which is an unknown character; and two ways to cut a word with scores as good as
        equal, since scores are added up over the whole text. A converted model needs an interpreter
        with tensorflow-text's ops, as `tfzoo.text.wordpiece_lite` says.

        Args:
            text: `(1,)` string.
            length: Width of the row; what does not fit is cut as in `__call__`.
            pair: `(1,)` string, or None.

        Returns:
            token_ids, segment_ids and padding_mask, `(1, length)` int32 each.

        Raises:
            UserError: for a length the tokenizer does not have.
        """
        self.check_lengths(length, length, pair is not None)
        second = None if pair is None else self._lite_rows(as_texts(pair))
        return packing.pack(self._lite_rows(as_texts(text)), second, length, length, self.frame)

    def _lite_rows(self, text: tf.Tensor) -> packing.Rows:
        pieces = self._unigram(text).flat_values
        ids = tf.boolean_mask(tf.gather(self._ids, pieces), self._is_first(pieces))
        return packing.Rows(ids, tf.constant([0]), tf.reshape(tf.size(ids), [1]))

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        texts = self._decoder(token_ids, skip_special_tokens)
        return decoding.clean_up(texts) if clean_up else texts

    def _cut(self, words: tf.Tensor) -> tf.RaggedTensor:
        """`(w,)` words, or several with spaces between, to their ids."""
        found = self._unigram(words)
        pieces = found.flat_values
        ragged = found.with_flat_values(tf.gather(self._ids, pieces))
        # The unknown token's own text is a piece, which may stand beside what is unknown.
        is_written = tf.reduce_any(pieces == len(self.scores))
        return tf.cond(
            is_written,
            lambda: tf.ragged.boolean_mask(ragged, ragged.with_values(self._is_first(pieces))),
            lambda: ragged,
        )

    def _is_first(self, pieces: tf.Tensor) -> tf.Tensor:
        """Which pieces are not one more of several unknown ones in a row.

        Those are of one word, because each word begins with a space, which is known.
        """
        is_unknown = (pieces == self.unk_id) | (pieces == len(self.scores))
        again = is_unknown & tf.concat([[False], is_unknown], 0)[:-1]
        return tf.logical_not(again)

    def _compile(self, rules: dict[bytes, bytes]) -> tuple[FastUnigram, tf.Tensor]:
        """The op, and the id of each of its pieces."""
        found = [t for t in self.added_tokens if self.special_literals or not t.special]
        rules = _only_plain_spaces(rules) | {SEPARATOR: b""}
        for number, token in enumerate(found):
            rules[token.content.encode()] = b" " + _CODE % number + b" "
        pieces = [token.encode() for token in self.vocabulary[: len(self.scores)]]
        scores = _level(self.vocabulary[: len(self.scores)], self.scores)
        unknown = pieces[self.unk_id]
        pieces[self.unk_id] = b"\xfe"
        # Then its text, one that keeps the penalty of unknown characters, and the added tokens.
        pieces += [unknown, b"\xfd", *(SPACE.encode() + _CODE % n for n in range(len(found)))]
        scores += [self.scores[self.unk_id], min(self.scores), *[0.0] * len(found)]
        ids = [*range(len(self.scores)), self.unk_id, self.unk_id]
        ids += [self.id_of(token.content) for token in found]
        model = sentencepiece_model.write_unigram(
            list(zip(pieces, scores, strict=True)), maps.pack(rules), self.unk_id
        )
        with tf.init_scope(), tf.device("CPU"):
            return FastUnigram(model), tf.constant(ids, tf.int32)


def _level(vocabulary: Sequence[str], scores: Sequence[float]) -> list[float]:
    """Scores that differ as before between all ways to cut a word, but add up to less.

    Every way to cut a word has all of its characters, so each character may be given a bonus. With
    what a character costs in a run of itself, sums stay near zero in long words, where tokens are
    repeated and ties occur; and on a grid of numbers such sums are exact in 32 bits, in any order.
    """
    bonus: dict[str, float] = {}
    for token, score in zip(vocabulary, scores, strict=True):
        first = token[0]
        if token == first * len(token) and first != SPACE:
            bonus[first] = min(bonus.get(first, np.inf), -score / len(token))
    # A character that is no token by itself can also be unknown, which gets no bonus.
    held = set(vocabulary)
    bonus = {character: more for character, more in bonus.items() if character in held}
    moved = (
        score + sum(bonus.get(character, 0.0) for character in token)
        for token, score in zip(vocabulary, scores, strict=True)
    )
    return [round(score / _GRID) * _GRID for score in moved]


def _only_plain_spaces(rules: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Replacements that make any white space a plain space, at which words are cut."""
    spaces = dict.fromkeys(unicode_tables.code_points(unicode_tables.WHITESPACE + " B C 85"), " ")
    plain = {key: text.decode().translate(spaces).encode() for key, text in rules.items()}
    return {chr(point).encode(): b" " for point in spaces if point != 0x20} | plain


def _check_added(tokens: Sequence[AddedToken]) -> None:
    for token in tokens:
        if any(character.isspace() or character == SPACE for character in token.content):
            raise UserError(
                "An added token must be without white space. "
                f"Received: {token.content!r}. Remove it from the files."
            )
        if token.normalized:
            raise UserError(
                "An added token that is looked for in normalized text is not supported. "
                f"Received: {token.content!r} with normalized=True."
            )
