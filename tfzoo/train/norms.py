"""Norms of gradients and weights, layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.train.strategies import components


def layer(path: str) -> str:
    """The layer that a weight belongs to: of blocks, the sublayer.

    `block_0/attention/qkv/kernel` is of `block_0/attention`, `pooler/bias` of `pooler`.
    """
    folders = path.split("/")[:-1]
    return "/".join(folders[:2]) or path


class Norms:
    """The norms of layers.

    Args:
        weights: The trainable weights of a model.
    """

    def __init__(self, weights: Sequence[Any]):
        self._weights = weights
        self._layers = list(dict.fromkeys(layer(weight.path) for weight in weights))
        self._index = np.array([self._layers.index(layer(weight.path)) for weight in weights])
        self._squares = tf.function(self._squares_of_weights)

    def gradients(self, squares: np.ndarray) -> dict[str, float]:
        """Means over steps.

        Args:
            squares: `(steps, weights)`, the squared norm of each weight's gradient.
        """
        return self._named("gradient_norms", self._of_layers(squares).mean(0))

    def weights(self) -> dict[str, float]:
        """The weights' norms as they are now."""
        return self._named("weight_norms", self._of_layers(self._squares().numpy()[None])[0])

    def _of_layers(self, squares: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(self._layers), len(squares)))
        np.add.at(sums, self._index, squares.T.astype(np.float64))
        return np.sqrt(sums.T)

    def _named(self, kind: str, norms: np.ndarray) -> dict[str, float]:
        return {
            f"{kind}/{name}": norm for name, norm in zip(self._layers, norms.tolist(), strict=True)
        }

    def _squares_of_weights(self) -> tf.Tensor:
        copies = (components(weight)[0] for weight in self._weights)
        # The kernel of `l2_loss` squares and sums in one pass.
        return tf.stack([2.0 * tf.nn.l2_loss(tf.cast(copy, tf.float32)) for copy in copies])
