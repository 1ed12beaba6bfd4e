"""WordPiece inside the TensorFlow graph, equal to Hugging Face's BertTokenizerFast.

Sources: Devlin et al. 2018 (BERT); Song et al. 2021, "Fast WordPiece Tokenization" (the C++ op of
tensorflow-text). Checked against tokenizers 0.23.3 and transformers 5.23.

    texts ─► special tokens marked ─► FastBertNormalize ─► long words cut ─► FastWordpiece ─► ids
               (regex, optional)       (our own buffer)        (regex)

Equal means: the same ids for every string, singles and pairs, at every maximal length. The known
differences all lie outside what Hugging Face defines or what a vocabulary holds:

- bytes that are not UTF-8 count as U+FFFD, as Python's `errors="replace"` has it, and so vanish;
  a lone surrogate in a Python string likewise (tokenizers raises an error);
- the canonical order of two spacing marks in a row (see `tfzoo.text.unicode_rules`).

Easy to get wrong: what is removed from a text is removed after special tokens were looked for, so
`[S<control>EP]` is no separator; a word is too long by its characters, not by its bytes.
"""

import functools
import os
import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text as tft

from tfzoo.core.errors import UserError
from tfzoo.text import normalizer, packing
from tfzoo.text.decoding import PieceDecoder
from tfzoo.text.fast_ops import MAX_WORD_LENGTH, PREFIX, make_normalizer, make_pieces
from tfzoo.text.private_alphabet import CLOSE, OPEN, TOO_LONG, WORD_ENDS, private_alphabet
from tfzoo.text.vocabulary import Vocabulary, check_literals
from tfzoo.text.wordpiece_lite import LiteTokenizer

_LONG_WORD = f"[^{WORD_ENDS}]{{{MAX_WORD_LENGTH + 1},}}"
# Characters that no text has after the normalizer. A token with one of them can never be found,
# but FastWordpiece would look through white space and mistake our private letters for its own.
_NEVER_IN_TEXT = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
_LONGEST_TOKEN = len(PREFIX) + MAX_WORD_LENGTH


class WordPiece(tf.Module):
    """Texts to token ids and back, with ops that TensorFlow Serving links.

    Works eagerly, in `tf.data.Dataset.map`, in a `tf.function` and in a SavedModel; for TFLite see
    `tfzoo.text.wordpiece_lite`. As an attribute of an exported `tf.Module` it carries its
    vocabulary into the graph as constants.

    Args:
        vocabulary: The tokens, in the order of their ids. Pieces inside a word start with ##.
        lowercase: Whether letters are lowered.
        strip_accents: Whether accents are dropped; None: when `lowercase`.
        split_chinese: Whether every ideograph is a word of its own.
        special_literals: Whether a special token's text inside a text, like `[SEP]`, is that token.
            Off for text that others wrote: there it is tokenized like any text.
        max_length: The longest row, in tokens with the special ones, that `__call__` makes.
        unknown: The token for words that the vocabulary cannot spell.
        separator: The token after each text.
        padding: The token that fills rows up.
        classifier: The token before the first text.
        mask: The token that hides another in pretraining.
        added_tokens: Further special tokens of the vocabulary, found and skipped like the five.

    Raises:
        UserError: for a vocabulary with an empty or repeated token or without a special one, and
            for special tokens that cannot be told from text.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        split_chinese: bool = True,
        special_literals: bool = True,
        max_length: int = 512,
        unknown: str = "[UNK]",
        separator: str = "[SEP]",
        padding: str = "[PAD]",
        classifier: str = "[CLS]",
        mask: str = "[MASK]",
        added_tokens: Sequence[str] = (),
    ):
        super().__init__(name="wordpiece")
        if max_length < 3:
            raise UserError(
                "A row needs room for [CLS] and two [SEP], so max_length must be 3 or more. "
                f"Received: max_length={max_length}. BERT's own is 512."
            )
        special = (unknown, separator, padding, classifier, mask, *added_tokens)
        self._vocabulary = Vocabulary(vocabulary, special)
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.split_chinese = split_chinese
        self.special_literals = special_literals
        self.max_length = max_length
        self.special_tokens = special
        self._decoder = PieceDecoder(
            self.vocabulary, PREFIX, [self.id_of(token) for token in special]
        )
        if special_literals:
            check_literals(special)
        self._normalizer = self.make_normalizer(markers=special_literals)
        words = self._spelling()
        self.pieces = make_pieces(words, words[self.unk_id])

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "WordPiece":
        """Reads `vocab.txt` or `tokenizer.json` and the files beside it that hold options.

        Args:
            folder: A Hugging Face or tfzoo model folder.
            **options: Constructor arguments that override what the files say.

        Raises:
            UserError: naming the file, for what is missing, broken or not supported.
        """
        from tfzoo.text import wordpiece_files

        return cls(**wordpiece_files.read(folder, options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes vocab.txt, tokenizer.json and tokenizer_config.json, for transformers too."""
        from tfzoo.text import wordpiece_files

        wordpiece_files.write(self, folder)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their ids."""
        return self._vocabulary.tokens

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._vocabulary.tokens)

    @property
    def unk_id(self) -> int:
        """Id of the unknown token."""
        return self.id_of(self.special_tokens[0])

    @property
    def sep_id(self) -> int:
        """Id of the separator."""
        return self.id_of(self.special_tokens[1])

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return self.id_of(self.special_tokens[2])

    @property
    def cls_id(self) -> int:
        """Id of the classifier token."""
        return self.id_of(self.special_tokens[3])

    @property
    def mask_id(self) -> int:
        """Id of the mask."""
        return self.id_of(self.special_tokens[4])

    def id_of(self, token: str) -> int:
        """Id of a token of the vocabulary.

        Raises:
            UserError: when the vocabulary does not have it.
        """
        return self._vocabulary.id_of(token)

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """`(n,)` strings to their token ids, `(n, (t))` int32, without [CLS] and [SEP].

        Args:
            texts: A list of str or bytes, or a string tensor of one axis.

        Raises:
            UserError: for anything else.
        """
        texts = as_texts(texts)
        if self.special_literals:
            texts = self._mark_special_tokens(texts)
        words = self._normalizer.normalize(texts)
        words = tf.strings.regex_replace(words, _LONG_WORD, TOO_LONG)
        return self.pieces.tokenize(words)

    def __call__(
        self,
        texts: Any,
        pairs: Any = None,
        max_length: int | None = None,
        pad_to: int | None = None,
    ) -> dict[str, tf.Tensor]:
        """Texts, or pairs of texts, to a model's inputs.

        Args:
            texts: `(n,)` strings.
            pairs: `(n,)` strings, the second text of each row, or None.
            max_length: The longest row, special tokens included; longer texts lose their ends, of a
                pair the longer one first. None: the tokenizer's own, or `pad_to` if that is less.
            pad_to: Width of the rows; None: that of the longest.

        Returns:
            token_ids, segment_ids (1 in the second text and its separator) and padding_mask (1 on
            tokens), `(n, t)` int32 each.

        Raises:
            UserError: for lengths that do not fit each other, or texts that are not strings.
        """
        max_length = self._check_lengths(max_length, pad_to, least=2 if pairs is None else 3)
        texts = as_texts(texts)
        first = packing.Rows.from_ragged(self.tokenize(texts))
        second = None
        if pairs is not None:
            pairs = _as_many(as_texts(pairs), texts)
            second = packing.Rows.from_ragged(self.tokenize(pairs))
        return packing.pack(first, second, max_length, pad_to, self._marks)

    def lite_inputs(self, text: Any, length: int, pair: Any = None) -> dict[str, tf.Tensor]:
        """One text, or one pair, to a model's inputs, with ops that TFLite has.

        The same ids as `__call__` gives; see `tfzoo.text.wordpiece_lite` for the interpreter that a
        converted model needs.

        Args:
            text: `(1,)` string.
            length: Width of the row; what does not fit is cut as in `__call__`.
            pair: `(1,)` string, or None.

        Returns:
            token_ids, segment_ids and padding_mask, `(1, length)` int32 each.

        Raises:
            UserError: for a length the tokenizer does not have, and special tokens that cannot be
                found this way.
        """
        self._check_lengths(length, length, least=2 if pair is None else 3)
        second = None if pair is None else self._lite(as_texts(pair))
        return packing.pack(self._lite(as_texts(text)), second, length, length, self._marks)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        """Token ids to text, as transformers' `decode`, also in the graph.

        Args:
            token_ids: `(n, t)` integers, dense or ragged. Ids outside the vocabulary are left out.
            skip_special_tokens: Whether [CLS], [SEP] and the like are left out.
            clean_up: Whether spaces before punctuation and contractions go away, as with
                `clean_up_tokenization_spaces=True`.

        Returns:
            `(n,)` strings.
        """
        return self._decoder(token_ids, skip_special_tokens, clean_up)

    def make_normalizer(self, markers: bool) -> tft.FastBertNormalizer:
        """The op that normalizes for this tokenizer; see `tfzoo.text.normalizer.load`."""
        strip_accents = self.lowercase if self.strip_accents is None else self.strip_accents
        return make_normalizer(
            normalizer.load(self.lowercase, strip_accents, self.split_chinese, markers)
        )

    @property
    def _marks(self) -> packing.Marks:
        return packing.Marks(self.cls_id, self.sep_id, self.pad_id)

    @functools.cached_property
    def _lite(self) -> LiteTokenizer:
        return LiteTokenizer(self)

    def _spelling(self) -> list[str]:
        """The vocabulary as FastWordpiece has to see it, so that it finds what BERT finds."""
        private = private_alphabet(self.split_chinese)
        special = frozenset(self.special_tokens)
        words = []
        for number, token in enumerate(self.vocabulary):
            if token in special and (self.special_literals or not token.isalnum()):
                words.append(f"{OPEN}{number}{CLOSE}")  # As it is marked in a text, if at all.
            elif _NEVER_IN_TEXT.search(token) or token == PREFIX or len(token) > _LONGEST_TOKEN:
                words.append(f"\x02{number}")  # Cannot be found, but keeps its id.
            else:
                words.append(token.translate(private))
        return words

    def _mark_special_tokens(self, texts: tf.Tensor) -> tf.Tensor:
        # Whoever types the marks themselves gets them removed, not understood. They must not vanish
        # yet: that could put together a special token which nobody wrote.
        texts = tf.strings.regex_replace(texts, f"[{OPEN}{CLOSE}]", "\ufffd")
        for token in sorted(set(self.special_tokens), key=len, reverse=True):
            mark = f"{OPEN}{self.id_of(token)}{CLOSE}"
            texts = tf.strings.regex_replace(texts, re.escape(token), mark)
        return texts

    def _check_lengths(self, max_length: int | None, pad_to: int | None, least: int) -> int:
        limit = self.max_length if pad_to is None else min(self.max_length, pad_to)
        if max_length is None:
            max_length = limit
        if pad_to is not None and pad_to < max_length:
            raise UserError(
                "Rows of max_length tokens must fit into pad_to. "
                f"Received: max_length={max_length}, pad_to={pad_to}. Lower max_length."
            )
        if not least <= max_length <= self.max_length:
            raise UserError(
                f"max_length must be at least {least}, the special tokens, and at most the "
                f"tokenizer's {self.max_length}. Received: max_length={max_length}."
            )
        return max_length


def _as_many(pairs: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
    """`pairs`, certain to be as many as `texts`; one pair would otherwise serve every text."""
    if not pairs.shape.is_compatible_with(texts.shape):
        raise UserError(
            "Every text needs its pair. "
            f"Received: {texts.shape[0]} texts and {pairs.shape[0]} pairs."
        )
    count = tf.debugging.assert_equal(tf.size(pairs), tf.size(texts), "Every text needs its pair.")
    with tf.control_dependencies([count] if count is not None else []):
        return tf.identity(pairs)


def as_texts(texts: Any) -> tf.Tensor:
    """A list of str or bytes, or a tensor, as an `(n,)` string tensor.

    Raises:
        UserError: for anything else.
    """
    if isinstance(texts, (list, tuple)):
        # A lone surrogate is no character; as bytes that are not UTF-8 it vanishes like U+FFFD.
        texts = [t.encode("utf-8", "surrogatepass") if isinstance(t, str) else t for t in texts]
        if not all(isinstance(t, bytes) or tf.is_tensor(t) for t in texts):
            wrong = next(t for t in texts if not isinstance(t, bytes))
            raise UserError(f"Texts must be strings. Received: {wrong!r}.")
        texts = tf.constant(texts, tf.string, shape=None if texts else [0])
    elif not tf.is_tensor(texts):
        try:
            texts = tf.convert_to_tensor(texts)
        except (TypeError, ValueError) as error:
            raise UserError(f"Texts must be a list of strings. Received: {texts!r}.") from error
    if texts.dtype != tf.string or texts.shape.rank != 1:
        raise UserError(
            "Texts must be a list of strings, or a string tensor of one axis. "
            f"Received: dtype={texts.dtype.name}, shape={texts.shape}. Put one text into a list."
        )
    return texts
