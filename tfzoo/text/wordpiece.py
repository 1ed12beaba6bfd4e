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
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_text as tft

from tfzoo.text import decoding, normalizer, packing
from tfzoo.text.added_tokens import mark
from tfzoo.text.decoding import PieceDecoder
from tfzoo.text.fast_ops import MAX_WORD_LENGTH, PREFIX, make_normalizer, make_pieces
from tfzoo.text.private_alphabet import CLOSE, OPEN, TOO_LONG, WORD_ENDS, private_alphabet
from tfzoo.text.tokenizer import Tokenizer, as_texts
from tfzoo.text.vocabulary import Vocabulary, check_literals
from tfzoo.text.wordpiece_lite import LiteTokenizer

_LONG_WORD = f"[^{WORD_ENDS}]{{{MAX_WORD_LENGTH + 1},}}"
# Characters that no text has after the normalizer. A token with one of them can never be found,
# but FastWordpiece would look through white space and mistake our private letters for its own.
_NEVER_IN_TEXT = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
_LONGEST_TOKEN = len(PREFIX) + MAX_WORD_LENGTH


class WordPiece(Tokenizer):
    """The tokenizer of BERT and its family. For TFLite see `tfzoo.text.wordpiece_lite`.

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

    lite_is_exact: ClassVar[bool] = True

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
        special = (unknown, separator, padding, classifier, mask, *added_tokens)
        checked = Vocabulary(vocabulary, special)
        cls_id, sep_id, pad_id = map(checked.id_of, (classifier, separator, padding))
        frame = packing.Frame((cls_id,), (sep_id,), (sep_id,), pad_id, segments=True)
        super().__init__(checked, special, frame, max_length)
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.split_chinese = split_chinese
        self.special_literals = special_literals
        self._decoder = PieceDecoder(
            lambda: decoding.wordpiece(self.vocabulary, PREFIX), [*map(self.id_of, special)]
        )
        if special_literals:
            check_literals(special)
        self._normalizer = self.make_normalizer(markers=special_literals)
        words = self._spelling()
        self.pieces = make_pieces(words, words[self.unk_id])

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "WordPiece":
        """Reads `vocab.txt` or `tokenizer.json` and the files beside it that hold options."""
        from tfzoo.text import wordpiece_files

        return cls(**wordpiece_files.read(folder, options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes vocab.txt, tokenizer.json and tokenizer_config.json, for transformers too."""
        from tfzoo.text import wordpiece_files

        wordpiece_files.write(self, folder)

    @property
    def unk_id(self) -> int:
        """Id of the unknown token."""
        return self.id_of(self.special_tokens[0])

    @property
    def sep_id(self) -> int:
        """Id of the separator."""
        return self.id_of(self.special_tokens[1])

    @property
    def cls_id(self) -> int:
        """Id of the classifier token."""
        return self.id_of(self.special_tokens[3])

    @property
    def mask_id(self) -> int:
        """Id of the mask."""
        return self.id_of(self.special_tokens[4])

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        texts = as_texts(texts)
        if self.special_literals:
            texts = mark(texts, {token: self.id_of(token) for token in self.special_tokens})
        words = self._normalizer.normalize(texts)
        words = tf.strings.regex_replace(words, _LONG_WORD, TOO_LONG)
        return self.pieces.tokenize(words)

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
        self.check_lengths(length, length, pair is not None)
        second = None if pair is None else self._lite(as_texts(pair))
        return packing.pack(self._lite(as_texts(text)), second, length, length, self.frame)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        texts = self._decoder(token_ids, skip_special_tokens)
        return decoding.clean_up(texts) if clean_up else texts

    def make_normalizer(self, markers: bool) -> tft.FastBertNormalizer:
        """The op that normalizes for this tokenizer; see `tfzoo.text.normalizer.load`."""
        strip_accents = self.lowercase if self.strip_accents is None else self.strip_accents
        return make_normalizer(
            normalizer.load(self.lowercase, strip_accents, self.split_chinese, markers)
        )

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
