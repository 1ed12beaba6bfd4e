"""GPT-1's BPE inside the TensorFlow graph, equal to transformers' OpenAIGPTTokenizer.

Sources: Radford et al. 2018 (GPT); Sennrich et al. 2016 (BPE). Checked against tokenizers 0.23 and
transformers 5.23, which since version 5 have one tokenizer for GPT-1:

    texts ─► added tokens marked ─► BERT's normalizer ─► words ─► characters ─► merges ─► ids

OpenAI's own code cleaned texts otherwise: ftfy mended wrong encodings, `text_standardize` rewrote
dashes, quotes and dots, and spaCy cut words (its "don't" is "do" and "n't", BERT's is "don", "'"
and "t"); it kept accents, which BERT's normalizer drops. transformers did so too where ftfy and
spaCy were installed, until version 4. None of that is done here. Whoever wants those ids cleans
texts before.

The known differences are those of `tfzoo.text.wordpiece`: bytes that are not UTF-8 and lone
surrogates vanish, as U+FFFD does; and the canonical order of two spacing marks in a row.

Easy to get wrong: the last character of a word is another id (`e</w>`) than the same one inside,
and every character that the vocabulary lacks is an unknown token of its own.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.text import decoding, normalizer, packing
from tfzoo.text.added_tokens import EDGE, mark, split_words
from tfzoo.text.decoding import PieceDecoder, Pieces
from tfzoo.text.fast_ops import make_normalizer
from tfzoo.text.merges import MergeRules, Merges, Spelling, Words
from tfzoo.text.private_alphabet import CLOSE, OPEN, WORD_ENDS, private_alphabet
from tfzoo.text.tokenizer import Tokenizer, as_texts
from tfzoo.text.vocabulary import Vocabulary, check_literals

SUFFIX = "</w>"

_WORD = f"[^{WORD_ENDS}]+|[^ ]"


class GptBPE(Tokenizer):
    """The tokenizer of GPT-1.

    Args:
        vocabulary: The tokens, in the order of their ids. The last piece of a word ends in `</w>`.
        merges: Pairs of tokens, in the order of their rank.
        unknown: The token for characters that the vocabulary lacks.
        added_tokens: Further special tokens, looked for in texts as `unknown` is.
        special_literals: Whether a special token's text inside a text is that token. Off for text
            that others wrote.
        named_tokens: What transformers calls some tokens, like {"pad_token": "<pad>"}. "pad_token"
            fills rows up; without it that is id 0, where the padding mask is 0 too.
        padding_side: "right" or "left".
        max_length: The longest row that `__call__` makes.

    Raises:
        UserError: for a vocabulary with an empty or repeated token, or without one that is named
            elsewhere; for special tokens that cannot be told from text.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        merges: Sequence[tuple[str, str]],
        *,
        unknown: str = "<unk>",
        added_tokens: Sequence[str] = (),
        special_literals: bool = True,
        named_tokens: Mapping[str, str] | None = None,
        padding_side: str = "right",
        max_length: int = 512,
    ):
        self.named_tokens = {**(named_tokens or {}), "unk_token": unknown}
        special = tuple(dict.fromkeys([*self.named_tokens.values(), *added_tokens]))
        checked = Vocabulary(vocabulary, special)
        padding = checked.get(self.named_tokens.get("pad_token", ""), 0)
        frame = packing.Frame(padding=padding, padding_side=padding_side)
        super().__init__(checked, special, frame, max_length)
        self._rules = MergeRules(merges)
        self.unknown = unknown
        self.special_literals = special_literals
        self._marks = {}
        if special_literals:
            check_literals(special)
            self._marks = {token: self.id_of(token) for token in special}
        self._normalizer = make_normalizer(normalizer.load(True, True, True, special_literals))
        self._decoder = PieceDecoder(self._decoded_pieces, [*map(self.id_of, special)])
        self._characters = self._character_table()
        private = private_alphabet(split_chinese=True)
        whole = [
            t.removesuffix(SUFFIX).translate(private) for t in vocabulary if t.endswith(SUFFIX)
        ]
        self._words = Words(
            Merges(self._rules.ids(checked)),
            self._spell,
            [word.encode() for word in whole if word],
            {f"{OPEN}{number}{CLOSE}".encode(): number for number in self._marks.values()},
        )

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "GptBPE":
        """Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, or OpenAI's own two files."""
        from tfzoo.text import bpe_files

        return cls(**bpe_files.read_gpt(folder, options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json, tokenizer_config.json, vocab.json and merges.txt."""
        from tfzoo.text import bpe_files

        bpe_files.write_gpt(self, folder)

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of tokens, in the order of their rank."""
        return self._rules.pairs

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        texts = as_texts(texts)
        if self._marks:
            texts = mark(texts, self._marks)
        normal = tf.strings.regex_replace(self._normalizer.normalize(texts), _WORD, rb"\0" + EDGE)
        rows, words = split_words(normal, b" " + EDGE)
        ids = tf.RaggedTensor.from_value_rowids(
            self._words(words), rows, tf.size(texts, tf.int64), validate=False
        )
        return ids.merge_dims(1, 2)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        texts = self._decoder(token_ids, skip_special_tokens)
        return decoding.clean_up(texts) if clean_up else texts

    def _decoded_pieces(self) -> Pieces:
        return Pieces(
            [token.replace(SUFFIX, " ") for token in self.vocabulary],
            last=[token.replace(SUFFIX, "") for token in self.vocabulary],
        )

    def _character_table(self) -> tf.lookup.StaticHashTable:
        """Twice a code point, and one more at the end of a word, to the id."""
        private = private_alphabet(split_chinese=True)
        ids = {-1: self.id_of(self.unknown)}  # No table may be empty.
        for number, token in enumerate(self.vocabulary):
            character = token.removesuffix(SUFFIX)
            # No text holds a private letter once it is normalized; ours stand for other characters.
            if len(character) == 1 and unicodedata.category(character) != "Co":
                point = private.get(ord(character), ord(character))
                ids[2 * point + (character != token)] = number
        with tf.init_scope(), tf.device("CPU"):
            entries = tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(ids), tf.int64), tf.constant(list(ids.values()), tf.int64)
            )
            return tf.lookup.StaticHashTable(entries, np.int64(self.id_of(self.unknown)))

    def _spell(self, words: tf.Tensor) -> Spelling:
        """Every character of each word to its id."""
        points = tf.strings.unicode_decode(words, "UTF-8")
        places = points.value_rowids()
        is_last = tf.concat([places[1:], [-1]], 0)[: tf.size(places)] != places
        keys = 2 * points.flat_values + tf.cast(is_last, tf.int32)
        return Spelling(self._characters.lookup(tf.cast(keys, tf.int64)), places)
