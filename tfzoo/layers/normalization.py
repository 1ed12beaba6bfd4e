"""Layer and root-mean-square normalization, computed in float32 whatever the policy."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfzoo")
class LayerNorm(keras.layers.Layer):
    """Normalizes the last axis to mean 0 and variance 1, then scales and shifts it.

    Source: Ba et al. 2016, section 3, https://arxiv.org/abs/1607.06450.

    Args:
        epsilon: Added to the variance. BERT's 1e-12 is part of its checkpoints' numbers.

    Call:
        x: `(..., d)` tensor. Returns a tensor of the same shape.
    """

    def __init__(self, epsilon: float = 1e-12, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: Any) -> None:
        one = {"shape": (shape[-1],), "autocast": False}  # float32, as all that is computed here
        self.gamma = self.add_weight(name="gamma", initializer="ones", **one)
        self.beta = self.add_weight(name="beta", initializer="zeros", **one)

    def call(self, x: Any) -> Any:
        x_float = ops.cast(x, "float32")
        # Three passes fewer than ops.layer_normalization makes on a CPU, and centred before it is
        # squared, which loses fewer digits.
        centred = ops.subtract(x_float, ops.mean(x_float, axis=-1, keepdims=True))
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        unit = ops.multiply(centred, ops.rsqrt(ops.add(variance, self.epsilon)))
        scaled = ops.add(ops.multiply(unit, self.gamma), self.beta)
        return ops.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


@keras.saving.register_keras_serializable("tfzoo")
class RMSNorm(keras.layers.Layer):
    """Divides the last axis by its root mean square, then scales it: no mean, no shift.

    Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467. T5 calls it layer norm.

    Args:
        epsilon: Added to the mean square.

    Call:
        x: `(..., d)` tensor. Returns a tensor of the same shape.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)  # float32 input may be beyond float16
        self.epsilon = epsilon

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(
            name="gamma", shape=(shape[-1],), initializer="ones", autocast=False
        )

    def call(self, x: Any) -> Any:
        x_float = ops.cast(x, "float32")
        mean_square = ops.mean(ops.square(x_float), axis=-1, keepdims=True)
        unit = ops.multiply(x_float, ops.rsqrt(ops.add(mean_square, self.epsilon)))
        return ops.cast(ops.multiply(unit, self.gamma), self.compute_dtype)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def norm(kind: str, epsilon: float, **kwargs: Any) -> LayerNorm | RMSNorm:
    """The normalization of a `kind`, `layer` or `rms`."""
    return {"layer": LayerNorm, "rms": RMSNorm}[kind](epsilon, **kwargs)
