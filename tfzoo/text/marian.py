"""The tokenizer of Marian and OPUS-MT inside the TensorFlow graph.

Source: Junczys-Dowmunt et al. 2018 (Marian); transformers 5.23, MarianTokenizer, against which it
is checked. Two SentencePiece models, unigram or BPE, cut source and target texts; one vocabulary
numbers the pieces of both.

    texts ─► UTF-8 ─► special tokens ─► >>fra<< ─► SentencepieceTokenize ─► pieces ─► ids
                      cut out           taken off   (source.spm)            (table)

Source texts go through the tokenizer itself, target texts through `tokenizer.target`; `decode` is
the same for both. Equal means: the same ids for every text, and the same texts for all ids.
tensorflow-text's ops differ from sentencepiece where two ways to cut a word are as good as each
other, but for the one that knows unigram models alone and tells no more than ids. So that one cuts,
and the other is asked what the unknown pieces are. The known differences:

- bytes that are not UTF-8 count as U+FFFD, as Python's `errors="replace"` has it, and so does a
  lone surrogate in a Python string;
- a text with both such a tie, of two ways with different numbers of pieces, and an unknown piece
  that the vocabulary has: that piece is unknown;
- pairs, which no Marian model takes, are cut as every other tokenizer here cuts them.

Easy to get wrong: the ids of the SentencePiece models mean nothing; a piece that source.spm does
not know may still be in the vocabulary, by way of target.spm. And `>>...<<` is taken off each part
between special tokens, whether the vocabulary has it or not.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text as tft

from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside
from tfzoo.text import decoding, packing
from tfzoo.text.added_tokens import AddedToken, AddedTokens
from tfzoo.text.decoding import PieceDecoder, Pieces
from tfzoo.text.fast_unigram import FastUnigram
from tfzoo.text.sentencepiece_model import parse, pieces_of
from tfzoo.text.tokenizer import Tokenizer, as_texts, to_utf8
from tfzoo.text.tokenizer_json import (
    CONFIG,
    SPECIAL_MAP,
    add_tokens,
    check_class,
    content_of,
    decoder_entries,
    max_length,
    read_json,
    require,
    tokens_in_order,
    unsupported,
    write_json,
)
from tfzoo.text.vocabulary import Vocabulary

SOURCE, TARGET, VOCABULARY = "source.spm", "target.spm", "vocab.json"

_SPACE = "▁"
_CODE = "(?s)^(>>.*?<<)(.*)$"
# While a text is put together: after a special token, and a space that stays there. No piece has
# them.
_GAP, _KEPT = "\0", "\1"
_NAMES = {"padding": ("pad_token", "<pad>"), "end": ("eos_token", "</s>"),
          "unknown": ("unk_token", "<unk>")}  # fmt: skip
_EXTRA = ("additional_special_tokens", "extra_special_tokens")


class Marian(Tokenizer):
    """The tokenizer of one side of a Marian model.

    Args:
        vocabulary: The tokens, in the order of their ids.
        source: The SentencePiece model for the texts of this side, the contents of its file.
        other: That for the texts of the other side.
        unknown: The token for pieces that the vocabulary lacks.
        end: The token after each text.
        padding: The token that fills rows up.
        added_tokens: Tokens that are looked for in a text.
        special_literals: Whether a token's text inside a text, like `</s>`, is that token.
        max_length: The longest row, in tokens with the special ones, that `__call__` makes.

    Raises:
        UserError: for a vocabulary with an empty or repeated token, or without one that is named
            elsewhere; for bytes that are no SentencePiece model.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        source: bytes,
        other: bytes,
        *,
        unknown: str = "<unk>",
        end: str = "</s>",
        padding: str = "<pad>",
        added_tokens: Sequence[AddedToken] = (),
        special_literals: bool = True,
        max_length: int = 512,
    ):
        named = (padding, end, unknown)
        found = {token: AddedToken(token) for token in named}
        found |= {token.content: token for token in added_tokens}
        checked = Vocabulary(vocabulary, [*found])
        special = [token.content for token in found.values() if token.special]
        frame = packing.Frame(after=(checked.id_of(end),), padding=checked.id_of(padding))
        super().__init__(checked, special, frame, max_length)
        self.source, self.other = source, other
        self.unknown, self.end, self.padding = unknown, end, padding
        self.added_tokens = tuple(found.values())
        self.special_literals = special_literals
        self._added = AddedTokens(self.added_tokens if special_literals else ())
        self._added_ids = [self.id_of(token.content) for token in self.added_tokens]
        self._known, self._hidden = pieces_of(source)
        # In a SavedModel two models under one name would be one.
        name = f"pieces_{hashlib.sha256(source).hexdigest()[:16]}"
        self._pieces = tft.SentencepieceTokenizer(source, out_type=tf.string, name=name)
        with tf.init_scope(), tf.device("CPU"):
            entries = tf.lookup.KeyValueTensorInitializer(
                tf.constant(self.vocabulary), tf.range(self.vocab_size)
            )
            self._ids = tf.lookup.StaticHashTable(entries, self.id_of(unknown))
        self._unigram = FastUnigram.make(source)
        if self._unigram is not None:
            unknown_id = self.id_of(unknown)
            found = [checked.get(piece, unknown_id) for piece in self._unigram.pieces]
            self._ids_of_pieces = tf.constant(found)
        self._decoder = PieceDecoder(
            lambda: Pieces([*map(self._as_text, self.vocabulary)]), [*map(self.id_of, special)]
        )

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "Marian":
        """Reads `source.spm`, `target.spm`, `vocab.json` and the files beside them with options."""
        return cls(**_read(pathlib.Path(folder), options))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes source.spm, target.spm, vocab.json and tokenizer_config.json."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((SOURCE, self.source), (TARGET, self.other)):
            with write_aside(folder / name) as path:
                path.write_bytes(content)
        write_json(folder / VOCABULARY, {t: i for i, t in enumerate(self.vocabulary)})
        named = (self.padding, self.end, self.unknown)
        entries = {
            str(self.id_of(token.content)): {**token._asdict(), "single_word": False}
            for token in self.added_tokens
        }
        config = {
            "tokenizer_class": "MarianTokenizer",
            **{key: token for (key, _), token in zip(_NAMES.values(), named, strict=True)},
            "additional_special_tokens": [t for t in self.special_tokens if t not in named],
            "added_tokens_decoder": entries,
            "model_max_length": self.max_length,
            "split_special_tokens": not self.special_literals,
            "clean_up_tokenization_spaces": False,
            "separate_vocabs": False,
        }
        write_json(folder / CONFIG, config)

    @functools.cached_property
    def target(self) -> "Marian":
        """The tokenizer for target texts; its own `target` is one for source texts again."""
        return Marian(
            self.vocabulary,
            self.other,
            self.source,
            unknown=self.unknown,
            end=self.end,
            padding=self.padding,
            added_tokens=self.added_tokens,
            special_literals=self.special_literals,
            max_length=self.max_length,
        )

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        texts = to_utf8(as_texts(texts))
        segments = self._added.split(texts)
        is_token = segments.tokens >= 0
        parts = tf.where(is_token, "", segments.texts)
        has_code = tf.strings.regex_full_match(parts, _CODE)
        codes = tf.where(has_code, tf.strings.regex_replace(parts, _CODE, r"\1"), "")
        parts = tf.where(has_code, tf.strings.regex_replace(parts, _CODE, r"\2"), parts)
        ids = self._cut(parts)
        added = tf.gather(tf.constant(self._added_ids), tf.maximum(segments.tokens, 0))
        before = tf.where(is_token, added, self._ids.lookup(codes))
        has_before = is_token | has_code
        ids = tf.cond(
            tf.reduce_any(has_before), lambda: _put_before(before, has_before, ids), lambda: ids
        )
        return tf.RaggedTensor.from_value_rowids(
            ids, segments.rows, tf.size(texts, tf.int64), validate=False
        ).merge_dims(1, 2)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        texts = self._decoder(token_ids, skip_special_tokens)
        texts = tf.strings.regex_replace(texts, f"{_GAP} *", " ")
        texts = tf.strings.strip(tf.strings.regex_replace(texts, _KEPT, " "))
        return decoding.clean_up(texts) if clean_up else texts

    def token_bytes(self) -> list[bytes]:
        return [piece.replace(_KEPT.encode(), b" ") for piece in super().token_bytes()]

    def _cut(self, parts: tf.Tensor) -> tf.RaggedTensor:
        """`(s,)` texts to the ids of their pieces."""
        if self._unigram is None:
            pieces = self._pieces.tokenize(parts)
            return pieces.with_flat_values(self._ids.lookup(pieces.flat_values))
        pieces = self._unigram(parts).with_row_splits_dtype(tf.int64)
        is_unknown = pieces == self._unigram.unk_id
        ids = pieces.with_flat_values(tf.gather(self._ids_of_pieces, pieces.flat_values))
        return tf.cond(
            tf.reduce_any(is_unknown.flat_values),
            lambda: self._look_up(parts, ids, is_unknown),
            lambda: ids,
        )

    def _look_up(
        self, parts: tf.Tensor, ids: tf.RaggedTensor, is_unknown: tf.RaggedTensor
    ) -> tf.RaggedTensor:
        """Ids with those of pieces that this side's model does not know, but the vocabulary has."""
        parts = tf.where(tf.reduce_any(is_unknown, 1), parts, "")
        names = self._pieces.tokenize(parts)
        # The slower op may cut a word another way that is just as good: as many pieces, mostly.
        is_same = names.row_lengths() == ids.row_lengths()
        rows = ids.value_rowids()
        places = tf.range(tf.size(rows, tf.int64)) - tf.gather(ids.row_starts(), rows)
        places = tf.where(tf.gather(is_same, rows), places + tf.gather(names.row_starts(), rows), 0)
        found = self._ids.lookup(tf.gather(tf.concat([names.flat_values, [""]], 0), places))
        is_found = is_unknown.flat_values & tf.gather(is_same, rows)
        return ids.with_flat_values(tf.where(is_found, found, ids.flat_values))

    def _as_text(self, token: str) -> str:
        if token in self.special_tokens:
            return token + _GAP
        # sentencepiece takes the first space off a piece that it knows.
        space = " " if token in self._known else _KEPT
        return "" if token in self._hidden else token.replace(_SPACE, space)


def _put_before(first: tf.Tensor, has_first: tf.Tensor, ids: tf.RaggedTensor) -> tf.RaggedTensor:
    counts = tf.cast(has_first, tf.int64)
    first = tf.boolean_mask(first, has_first)
    first = tf.RaggedTensor.from_row_lengths(first, counts, validate=False)
    return tf.concat([first, ids], 1)


def _read(folder: pathlib.Path, given: dict[str, Any]) -> dict[str, Any]:
    missing = [n for n in (SOURCE, TARGET, VOCABULARY) if not (folder / n).exists()]
    if missing:
        raise UserError(
            f"{folder}: expected {SOURCE}, {TARGET} and {VOCABULARY}. "
            f"Received: none called {' or '.join(missing)}."
        )
    config = read_json(folder / CONFIG, missing={})
    check_class(folder / CONFIG, config, ("MarianTokenizer",))
    require(folder / CONFIG, config, separate_vocabs=False, padding_side="right",
            truncation_side="right", sp_model_kwargs=({}, None))  # fmt: skip
    models = {"source": (folder / SOURCE).read_bytes(), "other": (folder / TARGET).read_bytes()}
    for name, content in zip((SOURCE, TARGET), models.values(), strict=True):
        if parse(content, folder / name).trainer_spec.byte_fallback:
            raise unsupported(folder / name, "byte_fallback", True, False)
    vocabulary = tokens_in_order(folder / VOCABULARY, read_json(folder / VOCABULARY))
    names = read_json(folder / SPECIAL_MAP, missing={}) | config
    named = {n: content_of(names.get(key)) or absent for n, (key, absent) in _NAMES.items()}
    entries = decoder_entries(folder / CONFIG, config)
    added = {t.content: t for t in add_tokens(folder / CONFIG, vocabulary, entries)}
    for content in [*named.values(), *(content_of(t) for k in _EXTRA for t in names.get(k) or [])]:
        if content not in set(vocabulary):
            vocabulary.append(content)
        added[content] = added.get(content, AddedToken(content))._replace(special=True)
    return {
        "vocabulary": vocabulary,
        **models,
        **named,
        "added_tokens": [*added.values()],
        "max_length": max_length(config, 512),
        "special_literals": not config.get("split_special_tokens", False),
    } | given
