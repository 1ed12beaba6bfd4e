"""tensorflow-text's fastest op for SentencePiece models, which knows unigram models alone.

It equals sentencepiece, ties included, for texts of some thousand characters; in longer ones sums
in 32 bits are too coarse for some ties. Easy to get wrong: it makes garbage of models that are not
unigram, without an error; so they must not get here.
"""

import numpy as np
import tensorflow as tf
from tensorflow_text.core.pybinds import pywrap_model_converter
from tensorflow_text.python.ops import fast_sentencepiece_tokenizer

from tfzoo.text.sentencepiece_model import UNIGRAM, parse

_op = fast_sentencepiece_tokenizer.gen_fast_sentencepiece_tokenizer
_PLAIN_KINDS = {0, 1, 2, 3}  # Of pieces: unset, normal, unknown, control.


class FastUnigram:
    """Cuts texts into the pieces of a unigram model.

    Args:
        model: The model, the contents of its file.

    Attributes:
        pieces: Its pieces, in the order of their ids.
        unk_id: Id of the unknown one.
    """

    def __init__(self, model: bytes):
        parsed = parse(model, "model")
        self.pieces = [entry.piece.decode(errors="replace") for entry in parsed.pieces]
        self.unk_id = parsed.trainer_spec.unk_id
        buffer = pywrap_model_converter.convert_sentencepiece_model(model)
        # On the CPU, where ops on strings run; from a GPU it would be copied at each call.
        with tf.init_scope(), tf.device("CPU"):
            self._model = tf.constant(np.frombuffer(buffer, np.uint8))

    @classmethod
    def make(cls, model: bytes) -> "FastUnigram | None":
        """The op for a model, or None for one of which it would make garbage."""
        parsed = parse(model, "model")
        kinds = {entry.type for entry in parsed.pieces}
        is_unigram = (parsed.trainer_spec.model_type or UNIGRAM) == UNIGRAM
        is_plain = not (parsed.trainer_spec.byte_fallback or kinds - _PLAIN_KINDS)
        return cls(model) if is_unigram and is_plain else None

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """`(n,)` strings to `(n, (t))` int32 ids, with int32 row splits."""
        ids, splits = _op.tf_text_fast_sentencepiece_tokenize(
            self._model, texts, 0, 0, False, False, False
        )
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
