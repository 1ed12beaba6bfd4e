"""Initial values of kernels."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def kernel(
    initializer_range: float | None, factors: Sequence[float] = (1.0,)
) -> keras.initializers.Initializer:
    """A truncated normal of that standard deviation, or, for None, `FanIn` with `factors`."""
    if initializer_range is None:
        return FanIn(factors)
    return keras.initializers.TruncatedNormal(stddev=initializer_range)


@keras.saving.register_keras_serializable("tfzoo")
class FanIn(keras.initializers.Initializer):
    """A normal whose standard deviation is one over the root of the number of inputs.

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6; all kernels of T5.

    Args:
        factors: Of the standard deviations of equal parts of the outputs: `(0.5, 1.0, 1.0)` draws
            the queries of one kernel for queries, keys and values half as large.
    """

    def __init__(self, factors: Sequence[float] = (1.0,)):
        self.factors = tuple(factors)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        inputs, outputs = shape
        part = (inputs, outputs // len(self.factors))
        deviations = [factor * inputs**-0.5 for factor in self.factors]
        drawn = [keras.initializers.RandomNormal(stddev=d)(part, dtype) for d in deviations]
        return ops.concatenate(drawn, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"factors": self.factors}
