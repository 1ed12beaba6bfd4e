"""Caches of keys and values, of a fixed length and filled from the left."""

from typing import Any

from keras import ops

from tfzoo.layers import runtime


def write(cache_bhke: Any, new_bhte: Any, start: Any) -> Any:
    """Puts `t` new positions into a cache at `start`, and returns the new cache.

    A position is chosen by comparing, not by slice-update or scatter: those become operations that
    TF Serving refuses to run or runs slowly. In TFLite slice-update is an operation of its own, and
    the fastest; there it is drawn for one row, whose positions must be within the cache.

    Args:
        cache_bhke: `(b, h, k, e)` tensor.
        new_bhte: `(b, h, t, e)` tensor.
        start: Position of the first new row: an int, or int32 `()` or `(b,)`, one for each row.
    """
    if runtime.is_tflite():
        return _slice_update(cache_bhke, new_bhte, start)
    new_length, length = ops.shape(new_bhte)[2], ops.shape(cache_bhke)[2]
    start_b1 = ops.reshape(ops.cast(start, "int32"), (-1, 1))
    offset_bk = ops.expand_dims(ops.arange(length, dtype="int32"), 0) - start_b1
    written_bk = ops.logical_and(offset_bk >= 0, offset_bk < new_length)
    written_b1k1 = ops.expand_dims(ops.expand_dims(written_bk, 1), 3)
    if new_bhte.shape[2] == 1:  # as every step but the first has it, and twice as fast
        return ops.where(written_b1k1, new_bhte, cache_bhke)
    chosen_bkt = ops.cast(ops.one_hot(offset_bk, new_length, dtype="int32"), new_bhte.dtype)
    spread_bhke = ops.matmul(ops.expand_dims(chosen_bkt, 1), new_bhte)
    return ops.where(written_b1k1, spread_bhke, cache_bhke)


def _slice_update(cache_1hke: Any, new_1hte: Any, start: Any) -> Any:
    if isinstance(start, int) and start == 0 and new_1hte.shape == cache_1hke.shape:
        return new_1hte
    start_1 = ops.reshape(ops.cast(start, "int32"), (1,))
    places_4 = ops.concatenate([ops.zeros((2,), "int32"), start_1, ops.zeros((1,), "int32")])
    return ops.slice_update(cache_1hke, places_4, new_1hte)


def empty(blocks: Any, batch_size: Any, length: Any, encoder_bkd: Any = None) -> Any:
    """What cached decoding starts from, one entry for each block.

    Args:
        blocks: The decoder's blocks, built.
        batch_size: Number of rows, b.
        length: How many positions there is room for.
        encoder_bkd: `(b, k, d)` output of the encoder, for blocks that attend to one.

    Returns:
        A tuple of `{"cache": (keys, values)}`, zeros `(b, h, length, e)`, for `blocks.run`; with an
        encoder also `"encoder_cache"`, its keys and values, computed once.
    """
    entries = []
    for block in blocks:
        attention = block.attention
        shape = (batch_size, attention.num_heads, length, attention.head_dim)
        zeros = ops.zeros(shape, attention.compute_dtype)
        entry: dict[str, Any] = {"cache": (zeros, zeros)}
        if encoder_bkd is not None:
            entry["encoder_cache"] = block.cross_attention.key_values(encoder_bkd)
        entries.append(entry)
    return tuple(entries)
