"""Attention masks: boolean, True = may attend, and the one place that turns them into numbers."""

from typing import Any

import keras
from keras import ops

# Far below any real score, yet inside the range of float16 and of int8 quantization. A row that
# may attend to nothing at all comes out as plain attention without a mask, never as NaN.
MASKED = -1e4


def padding(padding_mask_bt: Any) -> Any:
    """`(b, t)` with 1 on real tokens, to a `(b, 1, t)` mask: every query sees the real keys.

    None, for tokens that are all real, stays None.
    """
    if padding_mask_bt is None:
        return None
    return ops.expand_dims(ops.cast(padding_mask_bt, "bool"), 1)


def causal(num_queries: Any, num_keys: Any, start: Any = 0, window: int | None = None) -> Any:
    """Query i stands at position `start + i` and sees the keys up to itself.

    Args:
        num_queries: Number of queries, q.
        num_keys: Number of keys, k; key j stands at position j.
        start: Position of the first query: an int, or int32 `()` or `(b,)`, one for each row.
        window: How many keys a query sees at most, its own counted (locally banded attention, Child
            et al. 2019, https://arxiv.org/abs/1904.10509). None: all.

    Returns:
        `(1, q, k)` boolean, or `(b, q, k)` with a `start` for each row.
    """
    start_b11 = ops.reshape(ops.cast(start, "int32"), (-1, 1, 1))
    queries_1q1 = ops.reshape(ops.arange(num_queries, dtype="int32"), (1, -1, 1))
    keys_11k = ops.reshape(ops.arange(num_keys, dtype="int32"), (1, 1, -1))
    distance_bqk = queries_1q1 + start_b11 - keys_11k
    seen_bqk = distance_bqk >= 0
    return seen_bqk if window is None else ops.logical_and(seen_bqk, distance_bqk < window)


def of_documents(documents_bt: Any) -> Any:
    """`(b, t)` numbers of documents, to a `(b, t, t)` mask: each token sees those of its own."""
    return ops.equal(ops.expand_dims(documents_bt, 2), ops.expand_dims(documents_bt, 1))


def additive(mask_bqk: Any) -> Any:
    """`(b, q, k)` boolean mask to a `(b, 1, q, k)` float32 bias: 0 where allowed, else `MASKED`."""
    blocked_bqk = ops.subtract(1.0, ops.cast(mask_bqk, "float32"))
    return ops.expand_dims(ops.multiply(blocked_bqk, MASKED), 1)


@keras.saving.register_keras_serializable("tfzoo")
class CausalMask(keras.layers.Layer):
    """The mask of a decoder's self-attention, with or without caches.

    A layer, and not a function, because only inside of one the length of a sequence is known while
    Keras draws a graph.

    Args:
        window: As in `causal`.
        packed: Whether `padding_mask_bt` numbers the documents of a row, none of which sees
            another. Not with `caches`.

    Call:
        x_btd: `(b, q, d)` tokens; only their shape is read.
        padding_mask_bt: `(b, t)` with 1 on real tokens, or `packed` 1, 2, 3, ...; None: all are
            real, and of one document.
        caches: As in `blocks.run`; None: the keys are the tokens themselves.
        start: As in `causal`.
        Returns a `(1 | b, q, k)` boolean tensor, True where attention is allowed.
    """

    def __init__(self, window: int | None = None, packed: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.window = window
        self.packed = packed

    def call(
        self, x_btd: Any, padding_mask_bt: Any = None, caches: Any = None, start: Any = 0
    ) -> Any:
        num_queries = ops.shape(x_btd)[1]
        num_keys = ops.shape(caches[0]["cache"][0])[2] if caches else num_queries
        mask_bqk = causal(num_queries, num_keys, start, self.window)
        if padding_mask_bt is None:
            return mask_bqk
        if self.packed:
            mask_bqk = ops.logical_and(mask_bqk, of_documents(padding_mask_bt))
        return ops.logical_and(mask_bqk, padding(padding_mask_bt))

    def compute_output_spec(self, x_btd: Any, padding_mask_bt: Any = None, **others: Any) -> Any:
        if others.get("caches") is not None:
            return super().compute_output_spec(x_btd, padding_mask_bt, **others)
        rows, length = (1 if padding_mask_bt is None else x_btd.shape[0]), x_btd.shape[1]
        return keras.KerasTensor((rows, length, length), "bool")
