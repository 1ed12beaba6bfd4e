"""Attention masks: boolean, True = may attend, and the one place that turns them into numbers."""

from typing import Any

from keras import ops

# Far below any real score, yet inside the range of float16 and of int8 quantization. A row that
# may attend to nothing at all comes out as plain attention without a mask, never as NaN.
MASKED = -1e4


def padding(padding_mask_bt: Any) -> Any:
    """`(b, t)` with 1 on real tokens, to a `(b, 1, t)` mask: every query sees the real keys."""
    return ops.expand_dims(ops.cast(padding_mask_bt, "bool"), 1)


def causal(num_queries: Any, num_keys: Any, start: Any = 0) -> Any:
    """`(1, q, k)` mask: query i stands at position `start + i` and sees keys up to itself."""
    query_positions_q1 = ops.expand_dims(ops.arange(num_queries, dtype="int32") + start, 1)
    key_positions_1k = ops.expand_dims(ops.arange(num_keys, dtype="int32"), 0)
    return ops.expand_dims(ops.less_equal(key_positions_1k, query_positions_q1), 0)


def additive(mask_bqk: Any) -> Any:
    """`(b, q, k)` boolean mask to a `(b, 1, q, k)` float32 bias: 0 where allowed, else `MASKED`."""
    blocked_bqk = ops.subtract(1.0, ops.cast(mask_bqk, "float32"))
    return ops.expand_dims(ops.multiply(blocked_bqk, MASKED), 1)
