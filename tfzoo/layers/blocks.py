"""Transformer blocks: attention and a feed-forward network joined by residuals."""

from typing import Any

import keras
from keras import ops

from tfzoo.layers.attention import MultiHeadAttention
from tfzoo.layers.feed_forward import FeedForward
from tfzoo.layers.normalization import norm


@keras.saving.register_keras_serializable("tfzoo")
class Block(keras.layers.Layer):
    """One transformer layer, `(b, t, d)` to `(b, t, d)`: an encoder's, or a decoder's.

    Args:
        num_heads: Number of attention heads, h. Must divide the input width d.
        feed_forward_dim: Width of the feed-forward network, f.
        dropout: Probability of dropping an element of a sublayer's output.
        attention_dropout: Probability of dropping an attention weight.
        activation: Name of the feed-forward activation.
        norm_first: True normalizes each sublayer's input (GPT-2, ViT); False normalizes the sum
            after the residual (BERT, the original transformer).
        norm_epsilon: Added to the variance in layer norm.
        cross: Whether a second attention, to an encoder's output, stands between the two sublayers.
        initializer_range: As in `MultiHeadAttention`.
        head_dim: Width of each head, e. None means `d / num_heads`.
        scale: As in `MultiHeadAttention`.
        norm: `layer` or `rms`.
        gated: As in `FeedForward`.
        use_bias: Whether the projections carry a bias.
        activation_dropout: Probability of dropping an element inside the feed-forward network.
        residual_after_norm: Whether, with `norm_first`, a sublayer's normalized input and not its
            plain one is added to its output (an option of BLOOM).
        drops_attention: Whether `dropout` acts on what the attentions give, too (DistilBERT: no).
        output_range: Standard deviation of the last kernel of each sublayer, where it is another.
        float32_sums: Whether under float16 what the residuals add up to, and the feed-forward
            network's last product, stay in float32: in T5's published weights they go beyond what
            float16 holds. Needs `norm` rms.

    Call:
        x_btd: `(b, t, d)` tensor.
        mask_bqk: Boolean mask of the self-attention, True where allowed.
        bias_bhqk: Tensor added to the scores of the self-attention.
        encoder_bkd: `(b, k, d)` encoder output, with `cross` only.
        encoder_mask_bqk: Boolean mask of the cross-attention.
        cache, start: As in `MultiHeadAttention`, for the self-attention.
        encoder_cache: What `cross_attention.key_values` gave, instead of `encoder_bkd`.
        return_weights: Whether to return the attention weights too.
        Returns the `(b, t, d)` output; with `cache`, `(output, cache)`; with `return_weights`,
        `(output, weights_bhqk)` and, with `cross`, the weights of the cross-attention third.

    Raises:
        ValueError: when `num_heads` does not divide d and `head_dim` is None.
    """

    def __init__(
        self,
        num_heads: int,
        feed_forward_dim: int,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: str = "gelu",
        norm_first: bool = False,
        norm_epsilon: float = 1e-12,
        cross: bool = False,
        initializer_range: float | None = 0.02,
        head_dim: int | None = None,
        scale: float | None = None,
        norm: str = "layer",
        gated: bool = False,
        use_bias: bool = True,
        activation_dropout: float = 0.0,
        residual_after_norm: bool = False,
        drops_attention: bool = True,
        float32_sums: bool = False,
        output_range: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(autocast=not float32_sums, **kwargs)
        self.float32_sums = float32_sums
        self.output_range = output_range
        wide = float32_sums and self.compute_dtype == "float16"
        self.sum_dtype = "float32" if wide else self.compute_dtype
        self.num_heads = num_heads
        self.feed_forward_dim = feed_forward_dim
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.norm_first = norm_first
        self.norm_epsilon = norm_epsilon
        self.cross = cross
        self.initializer_range = initializer_range
        self.head_dim = head_dim
        self.scale = scale
        self.norm = norm
        self.gated = gated
        self.use_bias = use_bias
        self.activation_dropout = activation_dropout
        self.residual_after_norm = residual_after_norm
        self.drops_attention = drops_attention
        self.dropout = keras.layers.Dropout(dropout, dtype=self.sum_dtype, name="dropout")

    def build(self, x_btd_shape: Any, encoder_bkd_shape: Any = None) -> None:
        shape = x_btd_shape
        if self.head_dim is None and shape[-1] % self.num_heads:
            raise ValueError(
                f"num_heads must divide the model width. Received: num_heads={self.num_heads}, "
                f"width={shape[-1]}."
            )
        self.attention = self._attention("attention", shape, None)
        self.attention_norm = self._norm("attention_norm", shape)
        if self.cross:
            self.cross_attention = self._attention("cross_attention", shape, encoder_bkd_shape)
            self.cross_attention_norm = self._norm("cross_attention_norm", shape)
        self.feed_forward = FeedForward(
            self.feed_forward_dim,
            self.activation,
            self.initializer_range,
            self.gated,
            self.use_bias,
            self.activation_dropout,
            self.float32_sums,
            self.output_range,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self.feed_forward.build(shape)
        self.feed_forward_norm = self._norm("feed_forward_norm", shape)

    def call(
        self,
        x_btd: Any,
        mask_bqk: Any = None,
        bias_bhqk: Any = None,
        encoder_bkd: Any = None,
        encoder_mask_bqk: Any = None,
        cache: Any = None,
        start: Any = 0,
        encoder_cache: Any = None,
        training: bool | None = None,
        return_weights: bool = False,
    ) -> Any:
        more = []  # what the attentions return beside their output

        def attend(y_btd: Any) -> Any:
            result = self.attention(
                y_btd,
                mask_bqk=mask_bqk,
                bias_bhqk=bias_bhqk,
                cache=cache,
                start=start,
                training=training,
                return_weights=return_weights,
            )
            return _first(result, more)

        def attend_to_encoder(y_btd: Any) -> Any:
            result = self.cross_attention(
                y_btd,
                encoder_bkd,
                mask_bqk=encoder_mask_bqk,
                cache=encoder_cache,
                training=training,
                return_weights=return_weights,
            )
            return _first(result, more)

        def feed_forward(y_btd: Any) -> Any:
            return self.feed_forward(y_btd, training=training)

        x_btd = ops.cast(x_btd, self.sum_dtype)
        drops = training if self.drops_attention else False
        x_btd = self._residual(x_btd, attend, self.attention_norm, drops)
        if self.cross:
            x_btd = self._residual(x_btd, attend_to_encoder, self.cross_attention_norm, drops)
        x_btd = self._residual(x_btd, feed_forward, self.feed_forward_norm, training)
        return (x_btd, *more) if more else x_btd

    def compute_output_spec(self, x_btd: Any, *args: Any, **kwargs: Any) -> Any:
        # Keras would trace the block to learn this, at 0.15 s for each, twice the time to load it.
        if kwargs.get("cache") is not None or kwargs.get("return_weights"):
            return super().compute_output_spec(x_btd, *args, **kwargs)
        return keras.KerasTensor(x_btd.shape, self.sum_dtype)

    def _residual(self, x_btd: Any, sublayer: Any, norm: Any, training: Any) -> Any:
        if not self.norm_first:
            y_btd = self.dropout(sublayer(x_btd), training=training)
            return norm(ops.add(x_btd, y_btd))
        normed_btd = norm(x_btd)
        y_btd = self.dropout(sublayer(normed_btd), training=training)
        return ops.add(normed_btd if self.residual_after_norm else x_btd, y_btd)

    def _attention(self, name: str, shape: Any, key_shape: Any) -> MultiHeadAttention:
        layer = MultiHeadAttention(
            self.num_heads,
            self.head_dim or shape[-1] // self.num_heads,
            cross=name == "cross_attention",
            dropout=self.attention_dropout,
            use_bias=self.use_bias,
            scale=self.scale,
            initializer_range=self.initializer_range,
            output_range=self.output_range,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(shape, key_shape)
        return layer

    def _norm(self, name: str, shape: Any) -> Any:
        layer = norm(self.norm, self.norm_epsilon, dtype=self.dtype_policy, name=name)
        layer.build(shape)
        return layer


def _first(result: Any, more: list[Any]) -> Any:
    """The output of an attention; what came with it goes into `more`."""
    if not isinstance(result, tuple):
        return result
    output, extra = result
    more.append(extra)
    return output


def run(
    blocks: Any, x_btd: Any, others: dict[str, Any] | list[Any], caches: Any = None, start: Any = 0
) -> tuple[Any, Any, tuple[Any, ...]]:
    """Sends a sequence through a pile of blocks.

    Args:
        blocks: The blocks.
        x_btd: `(b, t, d)` tensor.
        others: The other tensors that blocks are called with, by argument; a list has one dict for
            each block.
        caches: What `caches.empty` or the last step gave, for decoding step by step.
        start: Position of the first token in the caches.

    Returns:
        The `(b, t, d)` output; the caches after this step, or None; and for each block what it was
        called on: `(block, x_btd, others)`.
    """
    calls, grown = [], []
    for i, block in enumerate(blocks):
        arguments = others[i] if isinstance(others, list) else others
        calls.append((block, x_btd, arguments))
        if caches is None:
            x_btd = block(x_btd, **arguments)
        else:
            x_btd, cache = block(x_btd, **arguments, **caches[i], start=start)
            grown.append({**caches[i], "cache": cache})
    return x_btd, tuple(grown) if caches is not None else None, tuple(calls)
