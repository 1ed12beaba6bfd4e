"""What every tokenizer has: a vocabulary, rows with special tokens and padding, decoding.

    texts ─► tokenize() ─► ragged ids ─► packing.pack(frame) ─► token_ids, segment_ids, padding_mask

A tokenizer says how a text becomes ids (`tokenize`), how ids become a text (`decode`) and how its
files look; the rest is here.
"""

import abc
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text import packing
from tfzoo.text.decoding import PieceDecoder
from tfzoo.text.vocabulary import Vocabulary


class Tokenizer(tf.Module, abc.ABC):
    """Texts to token ids and back, with ops that TensorFlow Serving links.

    Works eagerly, in `tf.data.Dataset.map`, in a `tf.function` and in a SavedModel. As an attribute
    of an exported `tf.Module` it carries its vocabulary into the graph.

    Args:
        vocabulary: The tokens, in the order of their ids.
        special_tokens: Those that frame, fill up or hide text; `decode` can skip them.
        frame: What stands around texts in a row.
        max_length: The longest row, in tokens with the special ones, that `__call__` makes.

    Raises:
        UserError: when a pair's frame does not fit into `max_length`, or has no such side.
    """

    # Whether it has `lite_inputs`, and that gives the ids of `__call__` for every string.
    lite_is_exact: ClassVar[bool] = False
    _decoder: PieceDecoder

    def __init__(
        self,
        vocabulary: Vocabulary,
        special_tokens: Sequence[str],
        frame: packing.Frame,
        max_length: int,
    ) -> None:
        super().__init__()
        self._vocabulary = vocabulary
        self.special_tokens = tuple(special_tokens)
        self.frame = frame
        self.max_length = max_length
        _check_side(frame)
        least = max(1, frame.count(pairs=True))
        if max_length < least:
            raise UserError(
                f"A row needs room for its special tokens, so max_length must be {least} or more. "
                f"Received: max_length={max_length}. Most models have 512."
            )

    @classmethod
    @abc.abstractmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> "Tokenizer":
        """Reads the files of a Hugging Face or tfzoo model folder.

        Args:
            folder: The folder.
            **options: Constructor arguments that override what the files say.

        Raises:
            UserError: naming the file, for what is missing, broken or not supported.
        """

    @abc.abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the files that `from_folder` reads, for transformers too."""

    @abc.abstractmethod
    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """`(n,)` strings to their token ids, `(n, (t))` int32, without those of the frame.

        Args:
            texts: A list of str or bytes, or a string tensor of one axis.

        Raises:
            UserError: for anything else.
        """

    @abc.abstractmethod
    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up: bool = False
    ) -> tf.Tensor:
        """Token ids to text, as transformers' `decode`, also in the graph.

        Args:
            token_ids: `(n, t)` integers, dense or ragged. Ids outside the vocabulary are left out.
            skip_special_tokens: Whether special tokens are left out.
            clean_up: Whether spaces before punctuation and contractions go away, as with
                `clean_up_tokenization_spaces=True` (which transformers 5 ignores for BPE).

        Returns:
            `(n,)` strings.
        """

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their ids."""
        return self._vocabulary.tokens

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._vocabulary.tokens)

    @property
    def pad_id(self) -> int:
        """Id of what fills rows up; 0 where a family has no padding token."""
        return self.frame.padding

    def token_bytes(self) -> list[bytes]:
        """What each token adds to a text that `decode` gives without special tokens, behind others.

        In UTF-8; not every piece is whole characters.
        """
        return self._decoder.texts()

    def id_of(self, token: str) -> int:
        """Id of a token of the vocabulary.

        Raises:
            UserError: when the vocabulary does not have it.
        """
        return self._vocabulary.id_of(token)

    def __call__(
        self,
        texts: Any,
        pairs: Any = None,
        max_length: int | None = None,
        pad_to: int | None = None,
        padding_side: str | None = None,
    ) -> dict[str, tf.Tensor]:
        """Texts, or pairs of texts, to a model's inputs.

        Args:
            texts: `(n,)` strings.
            pairs: `(n,)` strings, the second text of each row, or None.
            max_length: The longest row, special tokens included; longer texts lose their ends, of a
                pair the longer one first. None: the tokenizer's own, or `pad_to` if that is less.
            pad_to: Width of the rows; None: that of the longest.
            padding_side: "right" or "left"; None: the family's.

        Returns:
            token_ids, segment_ids (1 in the second text and what follows it, in a family that has
            segments) and padding_mask (1 on tokens), `(n, t)` int32 each.

        Raises:
            UserError: for lengths that do not fit each other, or texts that are not strings.
        """
        max_length = self.check_lengths(max_length, pad_to, pairs is not None)
        texts = as_texts(texts)
        first = packing.Rows.from_ragged(self.tokenize(texts))
        second = None
        if pairs is not None:
            pairs = _as_many(as_texts(pairs), texts)
            second = packing.Rows.from_ragged(self.tokenize(pairs))
        frame = self.frame._replace(padding_side=padding_side or self.frame.padding_side)
        _check_side(frame)
        return packing.pack(first, second, max_length, pad_to, frame)

    def check_lengths(self, max_length: int | None, pad_to: int | None, pairs: bool) -> int:
        """The longest row, from what the caller of `__call__` gave.

        Raises:
            UserError: for lengths that do not fit each other or the tokenizer.
        """
        least = max(1, self.frame.count(pairs))
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


def _check_side(frame: packing.Frame) -> None:
    if frame.padding_side not in ("right", "left"):
        raise UserError(
            f"padding_side must be right or left. Received: padding_side={frame.padding_side!r}."
        )


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


def to_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Texts with U+FFFD for bytes that are not UTF-8, as Python's `errors="replace"` puts them."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def as_texts(texts: Any) -> tf.Tensor:
    """A list of str or bytes, or a tensor, as an `(n,)` string tensor.

    Raises:
        UserError: for anything else.
    """
    if isinstance(texts, (list, tuple)):
        # A lone surrogate is no character; its bytes are not UTF-8, and count as U+FFFD.
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
