"""The position-wise feed-forward network of a transformer block."""

from typing import Any

import keras
from keras import ops

from tfzoo.layers.activations import activation as find_activation
from tfzoo.layers.initializers import kernel


@keras.saving.register_keras_serializable("tfzoo")
class FeedForward(keras.layers.Layer):
    """Two dense layers around an activation, `(b, t, d)` to `(b, t, d)`.

    Source: Vaswani et al. 2017, section 3.3, https://arxiv.org/abs/1706.03762; gated: Shazeer 2020,
    "GLU Variants Improve Transformer", https://arxiv.org/abs/2002.05202.

    Args:
        feed_forward_dim: Width between the two layers, f.
        activation: A name of `tfzoo.layers.activations`.
        initializer_range: Standard deviation of the truncated-normal kernels. None means one over
            the root of the number of inputs.
        gated: Whether instead of one layer `expand` there are two, `gate`, which goes through the
            activation, and `linear`, whose outputs are multiplied.
        use_bias: Whether the layers carry a bias.
        dropout: Probability of dropping an element between the two layers.
        output_range: Standard deviation of the last kernel, where it is another (GPT-2).
        float32_sums: Whether under float16 the last product is computed in float32 and stays so.
    """

    def __init__(
        self,
        feed_forward_dim: int,
        activation: str = "gelu",
        initializer_range: float | None = 0.02,
        gated: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        float32_sums: bool = False,
        output_range: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.float32_sums = float32_sums
        self.output_range = output_range
        wide = float32_sums and self.compute_dtype == "float16"
        self.sum_dtype = "float32" if wide else self.dtype_policy
        self.feed_forward_dim = feed_forward_dim
        self.activation = activation
        self.initializer_range = initializer_range
        self.gated = gated
        self.use_bias = use_bias
        self.dropout = keras.layers.Dropout(dropout, dtype=self.sum_dtype, name="dropout")

    def build(self, shape: Any) -> None:
        self.width = shape[-1]
        function = find_activation(self.activation)
        if self.gated:
            self.gate = self._dense("gate", self.width, self.feed_forward_dim, function)
            self.linear = self._dense("linear", self.width, self.feed_forward_dim)
        else:
            self.expand = self._dense("expand", self.width, self.feed_forward_dim, function)
        self.contract = self._dense(
            "contract",
            self.feed_forward_dim,
            self.width,
            dtype=self.sum_dtype,
            spread=self.output_range,
        )

    def call(self, x_btd: Any, training: bool | None = None) -> Any:
        # Two dimensions, because TensorFlow's CPU optimizer fuses product, bias and gelu into one
        # kernel for plain matrices only (measured: 10 % of a BERT-base forward pass).
        x_nd = ops.reshape(x_btd, (-1, self.width))
        if self.gated:
            gate_nf = ops.cast(self.gate(x_nd), self.contract.compute_dtype)
            hidden_nf = ops.multiply(gate_nf, self.linear(x_nd))
        else:
            hidden_nf = self.expand(x_nd)
        hidden_nf = self.dropout(hidden_nf, training=training)
        return ops.reshape(self.contract(hidden_nf), ops.shape(x_btd))

    def _dense(
        self,
        name: str,
        inputs: int,
        units: int,
        function: Any = None,
        dtype: Any = None,
        spread: float | None = None,
    ) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            units,
            function,
            use_bias=self.use_bias,
            kernel_initializer=kernel(spread or self.initializer_range),
            dtype=dtype or self.dtype_policy,
            name=name,
        )
        layer.build((None, inputs))
        return layer

    def compute_output_shape(self, shape: Any) -> Any:
        return shape
