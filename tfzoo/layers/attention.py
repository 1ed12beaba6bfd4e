"""Multi-head attention: one layer for self, causal, cross and cached attention."""

from typing import Any

import keras
from keras import ops

from tfzoo.layers import caches, masks
from tfzoo.layers.initializers import kernel


@keras.saving.register_keras_serializable("tfzoo")
class MultiHeadAttention(keras.layers.Layer):
    """Attends from queries to keys through `num_heads` independent heads.

    Queries, keys and values of self-attention come from one product with one kernel,
    `qkv: (d, 3 * h * e)`; cross-attention has `query: (d, h * e)` and `key_value: (d, 2 * h * e)`.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2,
    https://arxiv.org/abs/1706.03762.

    Args:
        num_heads: Number of heads, h.
        head_dim: Width of each head, e.
        cross: Whether keys and values come from another sequence than the queries.
        dropout: Probability of dropping an attention weight during training.
        use_bias: Whether the projections carry a bias. T5 sets this to False.
        scale: Factor on the query-key product. None means `head_dim ** -0.5`; T5 folds the scale
            into its initializer and passes 1.0.
        initializer_range: Standard deviation of the truncated-normal kernels. None means one over
            the root of the number of inputs, and queries as much smaller as `scale` is larger than
            `head_dim ** -0.5`, so that scores begin as if it were that.
        output_range: Standard deviation of the output kernel, where it is another (GPT-2).

    Call:
        query_btd: `(b, q, d)` tensor to attend from.
        key_btd: `(b, k, d)` tensor to attend to, with `cross` only.
        mask_bqk: `(b | 1, q | 1, k)` boolean tensor, True where attention is allowed.
        bias_bhqk: Tensor added to the scores before the softmax, broadcastable to `(b, h, q, k)`:
            ALiBi or T5's relative positions.
        cache: `(keys_bhke, values_bhke)`. For self-attention of a fixed length k: the keys and
            values of this call are written into it at `start` before attending, and the caller
            masks what is not yet written. For cross-attention what `key_values` gave, instead of
            `key_btd`.
        start: Position of the first query in the cache: an int, or int32 `()` or `(b,)`.
        return_weights: Whether to return the attention weights too.
        Returns the `(b, q, d)` output; self-attention with `cache`, `(output, cache)`; with
        `return_weights`, `(output, weights_bhqk)`.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        cross: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        scale: float | None = None,
        initializer_range: float | None = 0.02,
        output_range: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.cross = cross
        self.use_bias = use_bias
        self.scale = head_dim**-0.5 if scale is None else scale
        self.initializer_range = initializer_range
        self.output_range = output_range
        self.attention_dropout = keras.layers.Dropout(
            dropout, dtype=self.dtype_policy, name="attention_dropout"
        )

    def build(self, query_btd_shape: Any, key_btd_shape: Any = None) -> None:
        width = query_btd_shape[-1]
        inner = self.num_heads * self.head_dim
        query_factor = self.head_dim**-0.5 / self.scale
        if self.cross:
            self.query = self._dense("query", width, inner, (query_factor,))
            key_width = key_btd_shape[-1] if key_btd_shape else width
            self.key_value = self._dense("key_value", key_width, 2 * inner)
        else:
            self.qkv = self._dense("qkv", width, 3 * inner, (query_factor, 1.0, 1.0))
        self.output_projection = self._dense("output", inner, width, spread=self.output_range)

    def call(
        self,
        query_btd: Any,
        key_btd: Any = None,
        mask_bqk: Any = None,
        bias_bhqk: Any = None,
        cache: Any = None,
        start: Any = 0,
        training: bool | None = None,
        return_weights: bool = False,
    ) -> Any:
        if self.cross:
            (query_bhqe,) = self._heads(self.query, query_btd, 1)
            key_bhke, value_bhke = self.key_values(key_btd) if cache is None else cache
        else:
            query_bhqe, key_bhke, value_bhke = self._heads(self.qkv, query_btd, 3)
            if cache is not None:
                key_bhke = caches.write(cache[0], key_bhke, start)
                value_bhke = caches.write(cache[1], value_bhke, start)

        weights_bhqk = self._weights(query_bhqe, key_bhke, mask_bqk, bias_bhqk)
        dropped_bhqk = self.attention_dropout(weights_bhqk, training=training)
        mixed_bhqe = ops.matmul(dropped_bhqk, value_bhke)
        output_btd = self._merge(mixed_bhqe, ops.shape(query_btd))

        if cache is not None and not self.cross:
            return output_btd, (key_bhke, value_bhke)
        return (output_btd, weights_bhqk) if return_weights else output_btd

    def key_values(self, key_btd: Any) -> Any:
        """The keys and values of cross-attention, `(b, h, k, e)` each: the same at every step."""
        key_bhke, value_bhke = self._heads(self.key_value, key_btd, 2)
        return key_bhke, value_bhke

    def _heads(self, dense: keras.layers.Dense, x_btd: Any, parts: int) -> Any:
        """Projects `(b, t, d)` and returns `parts` tensors `(b, h, t, e)`."""
        batch, length = ops.shape(x_btd)[:2]
        rows_nc = dense(ops.reshape(x_btd, (-1, x_btd.shape[-1])))
        split = ops.reshape(rows_nc, (batch, length, parts, self.num_heads, self.head_dim))
        return ops.unstack(ops.transpose(split, (2, 0, 3, 1, 4)), parts, axis=0)

    def _weights(self, query_bhqe: Any, key_bhke: Any, mask_bqk: Any, bias_bhqk: Any) -> Any:
        scaled_bhqe = ops.multiply(query_bhqe, self.scale)
        scores_bhqk = ops.matmul(scaled_bhqe, ops.transpose(key_bhke, (0, 1, 3, 2)))
        scores_bhqk = ops.cast(scores_bhqk, "float32")
        if bias_bhqk is not None:
            scores_bhqk = ops.add(scores_bhqk, ops.cast(bias_bhqk, "float32"))
        if mask_bqk is not None:
            scores_bhqk = ops.add(scores_bhqk, masks.additive(mask_bqk))
        if scores_bhqk.shape[-1] == 1:  # one key takes it all; Keras warns of such a softmax
            return ops.ones_like(scores_bhqk, dtype=self.compute_dtype)
        return ops.cast(ops.softmax(scores_bhqk), self.compute_dtype)

    def _merge(self, mixed_bhqe: Any, shape: Any) -> Any:
        mixed_bqhe = ops.transpose(mixed_bhqe, (0, 2, 1, 3))
        mixed_nc = ops.reshape(mixed_bqhe, (-1, self.num_heads * self.head_dim))
        return ops.reshape(self.output_projection(mixed_nc), shape)

    def _dense(
        self,
        name: str,
        inputs: int,
        units: int,
        factors: tuple[float, ...] = (1.0,),
        spread: float | None = None,
    ) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=kernel(spread or self.initializer_range, factors),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, inputs))
        return layer
