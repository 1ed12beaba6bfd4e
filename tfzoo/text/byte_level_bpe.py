r"""Byte-level BPE inside the TensorFlow graph: the tokenizer of GPT-2, GPT-3, RoBERTa, BART, BLOOM.

Sources: Radford et al. 2019 (GPT-2); tokenizers 0.23, pre_tokenizers/byte_level.rs. Checked against
tokenizers 0.23 and transformers 5.23.

    texts ─► UTF-8 ─► added tokens cut out ─► words by a regex ─► bytes ─► merges ─► ids

Equal means: the same ids for every string, singles and pairs, at every maximal length, and the same
text for all ids. No difference is known. Bytes that are not UTF-8 count as U+FFFD, as Python's
`errors="replace"` has it, and so does a lone surrogate in a Python string (tokenizers raises an
error).

Easy to get wrong: GPT-2's regex looks ahead (`\s+(?!\S)`: white space gives its last character to
the word after it), which RE2 cannot; so runs of white space are cut before the regex sees them. And
the newest letters and digits of Unicode are none for the RE2 in TensorFlow.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.text import decoding, packing, unicode_tables
from tfzoo.text.added_tokens import EDGE, WHITESPACE, AddedToken, AddedTokens, split_words
from tfzoo.text.decoding import PieceDecoder, Pieces
from tfzoo.text.merges import MergeRules, Merges, Spelling, Words
from tfzoo.text.tokenizer import Tokenizer, as_texts, to_utf8
from tfzoo.text.vocabulary import Vocabulary

_LETTER = r"\p{L}" + unicode_tables.regex_class(unicode_tables.LATER_LETTERS)
_NUMBER = r"\p{N}" + unicode_tables.regex_class(unicode_tables.LATER_NUMBERS)

# What words are cut by, and what is written there: one after the other.
_CUTS = {
    "gpt2": (
        # The lookahead: of several white space characters before a word, the last stands apart.
        (f"([{WHITESPACE}])([{WHITESPACE}][^{WHITESPACE}])", rb"\1" + EDGE + rb"\2"),
        (
            f"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+"
            f"| ?[^{WHITESPACE}{_LETTER}{_NUMBER}]+|[{WHITESPACE}]+",
            rb"\0" + EDGE,
        ),
    ),
    "bloom": ((f" ?[^{WHITESPACE}(|.,!?…。，、।۔،)]+", EDGE + rb"\0" + EDGE),),
}


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in the files of a vocabulary.

    Printable ones stand for themselves, the others for those from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


class ByteLevelBPE(Tokenizer):
    """The tokenizer of GPT-2 and of all that took it over.

    Args:
        vocabulary: The tokens, in the order of their ids, written in `byte_alphabet`; the added
            tokens among them as they are.
        merges: Pairs of tokens, in the order of their rank.
        words: "gpt2" or "bloom": the regular expression that cuts words.
        add_prefix_space: Whether a text that does not begin with a space gets one.
        added_tokens: Tokens that are looked for in a text.
        special_literals: Whether a special token's text inside a text, like `</s>`, is that token.
            Off for text that others wrote: there it is tokenized like any text.
        named_tokens: What transformers calls some tokens, like {"pad_token": "<pad>"}. "pad_token"
            fills rows up; without it that is id 0, where the padding mask is 0 too.
        before: Tokens before the first text of a row.
        between: Tokens after the first text of a pair.
        after: Tokens after the last text.
        padding_side: "right" or "left".
        max_length: The longest row, in tokens with the special ones, that `__call__` makes.
        unknown: The token for bytes that the vocabulary lacks; None leaves them out.

    Raises:
        UserError: for a vocabulary with an empty or repeated token, or without one that is named
            elsewhere; for what is not one of the values above.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        merges: Sequence[tuple[str, str]],
        *,
        words: str = "gpt2",
        add_prefix_space: bool = False,
        added_tokens: Sequence[AddedToken] = (),
        special_literals: bool = True,
        named_tokens: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        between: Sequence[str] = (),
        after: Sequence[str] = (),
        padding_side: str = "right",
        max_length: int = 1024,
        unknown: str | None = None,
    ):
        if words not in _CUTS:
            raise UserError(unknown_name("kind of words", words, _CUTS))
        self.named_tokens = dict(named_tokens or {})
        special = tuple(token.content for token in added_tokens if token.special)
        named = [*self.named_tokens.values(), *([] if unknown is None else [unknown])]
        added = [token.content for token in added_tokens]
        checked = Vocabulary(vocabulary, [*dict.fromkeys([*added, *named])])
        padding = self.named_tokens.get("pad_token")
        frame = packing.Frame(
            *(tuple(map(checked.id_of, part)) for part in (before, between, after)),
            padding=0 if padding is None else checked.id_of(padding),
            padding_side=padding_side,
        )
        super().__init__(checked, special, frame, max_length)
        self._rules = MergeRules(merges)
        self.words = words
        self.add_prefix_space = add_prefix_space
        self.added_tokens = tuple(added_tokens)
        self.special_literals = special_literals
        self.unknown = unknown
        looked_for = [token for token in added_tokens if special_literals or not token.special]
        self._added = AddedTokens(looked_for)
        codes = {_code(self.id_of(t.content)): self.id_of(t.content) for t in looked_for}
        self._codes = list(codes)
        pieces = _as_bytes(checked.tokens)
        self._decoder = PieceDecoder(lambda: Pieces(pieces), [*map(self.id_of, special)])
        absent = -1 if unknown is None else self.id_of(unknown)
        self._byte_ids = np.array([checked.get(c, absent) for c in byte_alphabet()], np.int64)
        merge = Merges(self._rules.ids(checked))
        self._words = Words(merge, self._spell, sorted(set(pieces)), codes)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "ByteLevelBPE":
        """Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, or OpenAI's own two files."""
        from tfzoo.text import bpe_files

        return cls(**bpe_files.read_byte_level(folder, options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json, tokenizer_config.json, vocab.json and merges.txt."""
        from tfzoo.text import bpe_files

        bpe_files.write_byte_level(self, folder)

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of tokens, in the order of their rank."""
        return self._rules.pairs

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        texts = to_utf8(as_texts(texts))
        segments = self._added.split(texts)
        parts = segments.texts
        if self.add_prefix_space:
            is_bare = tf.strings.substr(parts, 0, 1) != " "
            parts = tf.where(is_bare & (parts != ""), tf.strings.join([" ", parts]), parts)
        if self._codes:
            codes = tf.gather(tf.constant(self._codes), tf.maximum(segments.tokens, 0))
            parts = tf.where(segments.tokens >= 0, codes, parts)
        for pattern, replacement in _CUTS[self.words]:
            parts = tf.strings.regex_replace(parts, pattern, replacement)
        places, words = split_words(parts, EDGE)
        rows = tf.gather(segments.rows, places)
        ids = tf.RaggedTensor.from_value_rowids(
            self._words(words), rows, tf.size(texts, tf.int64), validate=False
        )
        return ids.merge_dims(1, 2)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        texts = to_utf8(self._decoder(token_ids, skip_special_tokens))
        return decoding.clean_up(texts) if clean_up else texts

    def _spell(self, words: tf.Tensor) -> Spelling:
        """Every byte of each word to its id."""
        values = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        ids = tf.gather(tf.constant(self._byte_ids), tf.cast(values, tf.int32))
        lengths = tf.strings.length(words)
        places = tf.ragged.range(lengths, row_splits_dtype=tf.int64).value_rowids()
        if (self._byte_ids >= 0).all():
            return Spelling(ids, places)
        known = ids >= 0
        return Spelling(tf.boolean_mask(ids, known), tf.boolean_mask(places, known))


def _as_bytes(tokens: Sequence[str]) -> list[bytes]:
    """The bytes of tokens; one that is not written in the alphabet stands for itself."""
    alphabet = byte_alphabet()
    is_written = re.compile(f"[{re.escape(''.join(alphabet))}]*").fullmatch
    bytes_of = {ord(character): byte for byte, character in enumerate(alphabet)}
    return [
        token.translate(bytes_of).encode("latin-1") if is_written(token) else token.encode()
        for token in tokens
    ]


def _code(number: int) -> bytes:
    """A word that stands for an added token: bytes that no text and no regular expression has."""
    return bytes(0xF8 + int(digit) for digit in np.base_repr(number, 4))
