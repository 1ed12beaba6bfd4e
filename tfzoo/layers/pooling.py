"""Picks one vector out of a sequence."""

from typing import Any

import keras
from keras import ops


def last(x_btd: Any, marked_bt: Any) -> Any:
    """The vectors at the last marked position of each row, `(b, d)`; the first where none is.

    Args:
        x_btd: `(b, t, d)` tensor.
        marked_bt: `(b, t)`, not zero where marked: the padding mask, or where a token stands.
    """
    return Last(name="last")(x_btd, marked_bt)


@keras.saving.register_keras_serializable("tfzoo")
class Last(keras.layers.Layer):
    """`last` as a layer: only inside of one the length is known while Keras draws a graph."""

    def call(self, x_btd: Any, marked_bt: Any) -> Any:
        positions_1t = ops.expand_dims(ops.arange(ops.shape(x_btd)[1], dtype="int32"), 0)
        marked_bt = ops.cast(ops.cast(marked_bt, "bool"), "int32")  # packed rows count 1, 2, ...
        marked_positions_bt = ops.multiply(positions_1t, marked_bt)
        index_b1 = ops.max(marked_positions_bt, axis=1, keepdims=True)
        # A product with a row of zeros and a one: TFLite has no batched gather of two free axes.
        chosen_b1t = ops.expand_dims(ops.cast(ops.equal(positions_1t, index_b1), x_btd.dtype), 1)
        return ops.squeeze(ops.matmul(chosen_b1t, x_btd), 1)
