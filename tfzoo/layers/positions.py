"""Position embeddings."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfzoo")
class LearnedPositions(keras.layers.Layer):
    """Learned absolute positions, Devlin et al. 2018, section 3.2 (https://arxiv.org/abs/1810.04805).

    Args:
        max_length: Number of positions that have a vector.
        initializer_range: Standard deviation of the truncated-normal initial values.

    Call:
        x_btd: Any `(b, t, d)` tensor; only its shape is read.
        start: Position of the first token, an int or a scalar int32 tensor.
        Returns a `(1, t, d)` tensor.

    Raises:
        ValueError: when t is known and exceeds `max_length`.
    """

    def __init__(self, max_length: int, initializer_range: float = 0.02, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_length = max_length
        self.initializer_range = initializer_range

    def build(self, shape: Any) -> None:
        self.embeddings_td = self.add_weight(
            name="embeddings",
            shape=(self.max_length, shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
        )

    def call(self, x_btd: Any, start: Any = 0) -> Any:
        length = x_btd.shape[1]
        if length is not None and isinstance(start, int) and start + length > self.max_length:
            raise ValueError(
                f"The sequence is longer than the positions this model has. Expected at most "
                f"{self.max_length} tokens. Received: {start + length}. Truncate the input, or "
                f"build the model with a larger max_length."
            )
        table_td = ops.convert_to_tensor(self.embeddings_td)
        return ops.expand_dims(table_td[start : start + ops.shape(x_btd)[1]], 0)

    def compute_output_shape(self, shape: Any, *_: Any) -> Any:
        return (1, *shape[1:])
