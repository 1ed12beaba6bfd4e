"""The two C++ ops of tensorflow-text that tokenize, set up with buffers of our own.

Their constants live on the CPU, where ops on strings run; from a GPU they would be copied at each
call.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text as tft
from tensorflow_text.core.pybinds import pywrap_fast_wordpiece_tokenizer_model_builder as builder

from tfzoo.core.errors import UserError

PREFIX = "##"
MAX_WORD_LENGTH = 100  # In characters; longer words are unknown, as in google-research/bert.

_MAX_PIECE_BYTES = 256


def make_normalizer(buffer: bytes) -> tft.FastBertNormalizer:
    """FastBertNormalize with a buffer from `tfzoo.text.normalizer`."""
    return tft.FastBertNormalizer(model_buffer=_constant(buffer))


def make_pieces(words: Sequence[str], unknown: str) -> tft.FastWordpieceTokenizer:
    """FastWordpiece that finds `words`, whose positions are the ids.

    Args:
        words: The pieces, distinct. Those inside a word start with ##.
        unknown: The one of them that stands for words which the others cannot spell.

    Raises:
        UserError: for a piece that is longer than the op can hold.
    """
    for word in words:
        if len(word) > _MAX_PIECE_BYTES // 4 and len(word.encode()) > _MAX_PIECE_BYTES:
            raise UserError(
                f"A token may have {_MAX_PIECE_BYTES} bytes of UTF-8. Received: {word[:40]!r}..., "
                f"{len(word.encode())} bytes. Leave it out of the vocabulary."
            )
    # The op's limit counts bytes. No word of 100 characters has more than this.
    max_bytes = 4 * MAX_WORD_LENGTH
    model = builder.build_fast_wordpiece_model(
        list(words), max_bytes, PREFIX, unknown, False, False
    )
    return tft.FastWordpieceTokenizer(model_buffer=_constant(model), token_out_type=tf.int32)


def _constant(buffer: bytes) -> tf.Tensor:
    with tf.init_scope(), tf.device("CPU"):
        return tf.constant(np.frombuffer(buffer, np.uint8))
