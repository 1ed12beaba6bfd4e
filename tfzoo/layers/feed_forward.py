"""The position-wise feed-forward network of a transformer block."""

from typing import Any

import keras
from keras import ops

from tfzoo.layers.activations import activation as find_activation


@keras.saving.register_keras_serializable("tfzoo")
class FeedForward(keras.layers.Layer):
    """Two dense layers around an activation, `(b, t, d)` to `(b, t, d)`.

    Source: Vaswani et al. 2017, section 3.3, https://arxiv.org/abs/1706.03762; gated: Shazeer 2020,
    "GLU Variants Improve Transformer", https://arxiv.org/abs/2002.05202.

    Args:
        feed_forward_dim: Width between the two layers, f.
        activation: A name of `tfzoo.layers.activations`.
        initializer_range: Standard deviation of the truncated-normal kernels.
        gated: Whether a second layer `gate`, which alone goes through the activation, is multiplied
            with the first.
        use_bias: Whether the layers carry a bias.
        dropout: Probability of dropping an element between the two layers.
    """

    def __init__(
        self,
        feed_forward_dim: int,
        activation: str = "gelu",
        initializer_range: float = 0.02,
        gated: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.feed_forward_dim = feed_forward_dim
        self.activation = activation
        self.initializer_range = initializer_range
        self.gated = gated
        self.use_bias = use_bias
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, shape: Any) -> None:
        self.width = shape[-1]
        function = find_activation(self.activation)
        self.expand = self._dense(
            "expand", self.width, self.feed_forward_dim, None if self.gated else function
        )
        if self.gated:
            self.gate = self._dense("gate", self.width, self.feed_forward_dim, function)
        self.contract = self._dense("contract", self.feed_forward_dim, self.width, None)

    def call(self, x_btd: Any, training: bool | None = None) -> Any:
        # Two dimensions, because TensorFlow's CPU optimizer fuses product, bias and gelu into one
        # kernel for plain matrices only (measured: 10 % of a BERT-base forward pass).
        x_nd = ops.reshape(x_btd, (-1, self.width))
        hidden_nf = self.expand(x_nd)
        if self.gated:
            hidden_nf = ops.multiply(self.gate(x_nd), hidden_nf)
        hidden_nf = self.dropout(hidden_nf, training=training)
        return ops.reshape(self.contract(hidden_nf), ops.shape(x_btd))

    def _dense(self, name: str, inputs: int, units: int, function: Any) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            units,
            function,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, inputs))
        return layer

    def compute_output_shape(self, shape: Any) -> Any:
        return shape
