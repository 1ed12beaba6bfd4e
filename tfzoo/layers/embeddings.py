"""Token and segment embeddings, with a gradient that every optimizer gets right."""

from typing import Any

import keras
from keras import ops

from tfzoo.layers import runtime


@keras.saving.register_keras_serializable("tfzoo")
class TokenEmbedding(keras.layers.Layer):
    """A table of `vocab_size` vectors: looks ids up, and scores vectors against the whole table.

    The gradient of a lookup is handed over dense and already summed over repeated tokens.
    TensorFlow's own is a list of rows in which a token stands once for each time it occurs; Keras'
    adaptive optimizers square those rows before they are summed, so that a token met twice learns
    at another rate than in PyTorch (Keras 3.15: Adam, AdamW, RMSprop, Adafactor, LAMB).

    Args:
        vocab_size: Number of vectors, v, at least 1.
        width: Width of each, d.
        initializer_range: Standard deviation of the truncated-normal initial values.
        output_bias: Whether scores get a bias per entry (BERT's masked-language-model head).

    Call:
        inputs: `(b, t)` int32 ids in `[0, vocab_size)`; or, with `reverse=True`, `(b, t, d)`
            vectors.
        Returns `(b, t, d)` vectors; or, reversed, `(b, t, v)` float32 scores (tied output
        embedding, Press and Wolf 2017, https://arxiv.org/abs/1608.05859).
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        initializer_range: float = 0.02,
        output_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.width = width
        self.initializer_range = initializer_range
        self.output_bias = output_bias

    def build(self, shape: Any) -> None:
        self.embeddings_vd = self.add_weight(
            name="embeddings",
            shape=(self.vocab_size, self.width),
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
        )
        if self.output_bias:
            self.bias_v = self.add_weight(
                name="output_bias", shape=(self.vocab_size,), initializer="zeros", autocast=False
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        table_vd = ops.convert_to_tensor(self.embeddings_vd)  # in the layer's compute dtype
        return self._score(inputs, table_vd) if reverse else lookup(table_vd, inputs)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        # Said here, and not found by Keras tracing `call`, which takes longer than all the rest of
        # drawing a model.
        if reverse:
            return keras.KerasTensor((*inputs.shape[:-1], self.vocab_size), "float32")
        return keras.KerasTensor((*inputs.shape, self.width), self.compute_dtype)

    def _score(self, x_btd: Any, table_vd: Any) -> Any:
        batch, length = ops.shape(x_btd)[:2]
        x_nd = ops.reshape(x_btd, (-1, self.width))
        if x_btd.shape[1] == 1 and not runtime.is_tflite():
            # One token of each text, as in decoding: for 2 to some dozens of rows TensorFlow's CPU
            # kernel (2.21, without oneDNN) takes up to ten times as long the other way round.
            # TFLite has an operation for that way, whose weights can be of 8 bits.
            logits_nv = ops.transpose(ops.matmul(table_vd, ops.transpose(x_nd)))
        else:
            logits_nv = ops.matmul(x_nd, ops.transpose(table_vd))
        logits_nv = ops.cast(logits_nv, "float32")
        if self.output_bias:
            logits_nv = ops.add(logits_nv, self.bias_v)
        return ops.reshape(logits_nv, (batch, length, self.vocab_size))


def lookup(table_vd: Any, ids: Any) -> Any:
    """Rows of `table_vd` at `ids` of any shape, with a dense gradient for the table."""
    num_rows, width = table_vd.shape
    # A reshape copies nothing, and turns a variable into a tensor: custom gradients treat the two
    # differently.
    table_vd = ops.reshape(table_vd, (num_rows, width))

    @ops.custom_gradient
    def take(table_vd: Any) -> Any:
        def gradient(*arguments: Any, upstream: Any = None) -> Any:
            # Keras' PyTorch backend passes it by name. Summed in float32: in 16 bits a row met
            # thousands of times stops growing as soon as what is added is below its last digit.
            upstream = arguments[0] if upstream is None else upstream
            upstream_nd = ops.cast(ops.reshape(upstream, (-1, width)), "float32")
            total_vd = ops.segment_sum(upstream_nd, ops.reshape(ids, (-1,)), num_segments=num_rows)
            return ops.cast(total_vd, table_vd.dtype)

        return ops.take(table_vd, ids, axis=0), gradient

    return take(table_vd)
