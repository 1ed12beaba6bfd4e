"""Positions: learned and sinusoidal vectors, T5's relative and ALiBi's linear biases."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tfzoo.layers import masks
from tfzoo.layers.embeddings import lookup


@keras.saving.register_keras_serializable("tfzoo")
class LearnedPositions(keras.layers.Layer):
    """Learned absolute positions, Devlin et al. 2018, section 3.2 (https://arxiv.org/abs/1810.04805).

    Args:
        max_length: Number of positions that a sequence may have.
        initializer_range: Standard deviation of the truncated-normal initial values.
        offset: Rows of the table before that of position 0: BART's and RoBERTa's first two.

    Call:
        x_btd: Any `(b, t, d)` tensor; only its shape is read.
        start: Position of the first token: an int, or int32 `()` or `(b,)`, one for each row.
        positions_bt: `(b, t)` int32 positions, at least `-offset`, instead of `start`.
        documents_bt: `(b, t)` int32 numbers of the documents that share a row; positions are those
            within each, instead of `start`.
        Returns a `(1, t, d)` tensor, or `(b, t, d)` where rows have positions of their own.

    Raises:
        ValueError: when t is known and exceeds `max_length`.
    """

    def __init__(
        self, max_length: int, initializer_range: float = 0.02, offset: int = 0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.max_length = max_length
        self.initializer_range = initializer_range
        self.offset = offset

    def build(self, shape: Any) -> None:
        self.embeddings_td = self.add_weight(
            name="embeddings",
            shape=(self.max_length + self.offset, shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
        )

    def call(
        self, x_btd: Any, start: Any = 0, positions_bt: Any = None, documents_bt: Any = None
    ) -> Any:
        _check_length(x_btd, start, self.max_length)
        table_td = ops.convert_to_tensor(self.embeddings_td)
        if documents_bt is not None:
            positions_bt = _within(documents_bt)
        if positions_bt is not None:
            return lookup(table_td, positions_bt + self.offset)
        return _rows(table_td, x_btd, start, self.offset)


@keras.saving.register_keras_serializable("tfzoo")
class SinusoidalPositions(keras.layers.Layer):
    """Sines and cosines of geometrically growing wavelengths, Vaswani et al. 2017, section 3.5.

    Args:
        max_length: Number of positions.
        interleaved: True puts sines on even and cosines on odd columns, as the paper prints it;
            False puts all sines first, as Marian does.

    Call:
        x_btd: Any `(b, t, d)` tensor; only its shape is read.
        start: As in `LearnedPositions`.
        Returns a `(1, t, d)` tensor, or `(b, t, d)` with a `start` for each row.

    Raises:
        ValueError: when t is known and exceeds `max_length`.
    """

    def __init__(self, max_length: int, interleaved: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_length = max_length
        self.interleaved = interleaved

    def build(self, shape: Any) -> None:
        self.table_td = sinusoids(self.max_length, shape[-1], self.interleaved)

    def call(self, x_btd: Any, start: Any = 0) -> Any:
        _check_length(x_btd, start, self.max_length)
        table_td = ops.convert_to_tensor(self.table_td, dtype=self.compute_dtype)
        return _rows(table_td, x_btd, start, 0)


def sinusoids(num_positions: int, width: int, interleaved: bool) -> np.ndarray:
    """The `(t, d)` float32 table of `SinusoidalPositions`."""
    positions_t1 = np.arange(num_positions, dtype=np.float64)[:, None]
    columns_d = np.arange(width)
    angles_td = positions_t1 / 10_000 ** (2 * (columns_d // 2) / width)
    table_td = np.where(columns_d % 2, np.cos(angles_td), np.sin(angles_td)).astype(np.float32)
    if interleaved:
        return table_td
    return np.concatenate([table_td[:, 0::2], table_td[:, 1::2]], 1)


@keras.saving.register_keras_serializable("tfzoo")
class RelativePositions(keras.layers.Layer):
    """T5's bias on attention scores by the distance from query to key, in buckets.

    Half of the buckets hold one distance each, the other half logarithmically growing ranges up to
    `max_distance`; the last takes all that is further. One table serves all layers of a stack.

    Source: Raffel et al. 2019, section 2.1, https://arxiv.org/abs/1910.10683.

    Args:
        num_heads: Number of attention heads, h.
        num_buckets: Number of buckets.
        max_distance: Distance from which on all keys share one bucket.
        bidirectional: Whether keys after the query have buckets of their own (half of them).
            Otherwise they share that of distance 0, and the caller masks them.
        initializer_range: Standard deviation of the truncated-normal initial values.

    Call:
        x_btd: `(b, q, d)` queries; only their shape is read.
        caches: As in `blocks.run`; None: the keys are the queries themselves.
        start: Position of the first query: an int, or int32 `()` or `(b,)`, one for each row.
        Returns `(1, h, q, k)` float32, or `(b, h, q, k)` with a `start` for each row.

    Raises:
        ValueError: when there is no bucket of one distance, or none of larger ones.
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        exact = num_buckets // (4 if bidirectional else 2)
        if not 0 < exact < max_distance:
            raise ValueError(
                f"Expected at least {4 if bidirectional else 2} buckets, and a max_distance above "
                f"the {exact} that have a bucket each. Received: num_buckets={num_buckets}, "
                f"max_distance={max_distance}, bidirectional={bidirectional}."
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.initializer_range = initializer_range

    def build(self, shape: Any) -> None:
        self.embeddings_rh = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            autocast=False,
        )

    def call(self, x_btd: Any, caches: Any = None, start: Any = 0) -> Any:
        num_queries = ops.shape(x_btd)[1]
        num_keys = ops.shape(caches[0]["cache"][0])[2] if caches else num_queries
        start_b11 = ops.reshape(ops.cast(start, "int32"), (-1, 1, 1))
        queries_1q1 = ops.reshape(ops.arange(num_queries, dtype="int32"), (1, -1, 1))
        keys_11k = ops.reshape(ops.arange(num_keys, dtype="int32"), (1, 1, -1))
        buckets_bqk = self._buckets(queries_1q1 + start_b11 - keys_11k)
        bias_bqkh = lookup(ops.convert_to_tensor(self.embeddings_rh), buckets_bqk)
        return ops.transpose(bias_bqkh, (0, 3, 1, 2))

    def _buckets(self, distance_bqk: Any) -> Any:
        """Distances from query back to key, to buckets."""
        count, first = self.num_buckets, 0
        if self.bidirectional:
            count //= 2
            first = ops.where(distance_bqk < 0, count, 0)
            distance_bqk = ops.abs(distance_bqk)
        distance_bqk = ops.maximum(distance_bqk, 0)
        bucket_bqk = ops.minimum(distance_bqk, count // 2)
        # Compared with whole numbers: a logarithm of each distance rounds differently on each
        # machine, and just where a bucket begins.
        for begin in bucket_begins(count, self.max_distance):
            bucket_bqk = bucket_bqk + ops.cast(distance_bqk >= begin, "int32")
        return first + bucket_bqk

    def compute_output_spec(self, x_btd: Any, **others: Any) -> Any:
        if others.get("caches") is not None:
            return super().compute_output_spec(x_btd, **others)
        length = x_btd.shape[1]
        return keras.KerasTensor((1, self.num_heads, length, length), "float32")


def bucket_begins(num_buckets: int, max_distance: int) -> list[int]:
    """The least distance of each logarithmic bucket but the first one, in one direction.

    As T5 computed it, in float32: `exact + log(n / exact) / log(max_distance / exact) *
    (num_buckets - exact)` cut to a whole number, `exact` being half of the buckets.
    """
    exact = num_buckets // 2
    distances = np.arange(exact, max_distance + 1, dtype=np.float32)
    growth = np.log(distances / np.float32(exact)) / np.float32(math.log(max_distance / exact))
    buckets = exact + (growth * np.float32(num_buckets - exact)).astype(np.int32)
    buckets = np.minimum(buckets, num_buckets - 1)
    return [exact + int(np.argmax(buckets >= b)) for b in range(exact + 1, num_buckets)]


@keras.saving.register_keras_serializable("tfzoo")
class LinearBias(keras.layers.Layer):
    """ALiBi: a bias on attention scores that falls linearly with the distance to the key.

    It is 0 where the key is the query's own token. Implementations that add the slope times the
    position of the key alone, as transformers does, give the same softmax; but their bias grows
    with the length, takes digits from the scores, and past some 10,000 tokens lifts keys after the
    query over what `masks.MASKED` takes from them.

    Source: Press et al. 2021, section 3, https://arxiv.org/abs/2108.12409.

    Args:
        num_heads: Number of attention heads, h; any number.

    Call:
        x_btd: `(b, q, d)` queries; only their shape is read.
        caches: As in `blocks.run`; None: the keys are the queries themselves.
        start: Position of the first query: an int, or int32 `()` or `(b,)`, one for each row.
        Returns `(1, h, q, k)` float32, or `(b, h, q, k)` with a `start` for each row.
    """

    def __init__(self, num_heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def call(self, x_btd: Any, caches: Any = None, start: Any = 0) -> Any:
        num_queries = ops.shape(x_btd)[1]
        num_keys = ops.shape(caches[0]["cache"][0])[2] if caches else num_queries
        start_b111 = ops.reshape(ops.cast(start, "int32"), (-1, 1, 1, 1))
        queries_11q1 = ops.reshape(ops.arange(num_queries, dtype="int32"), (1, 1, -1, 1))
        keys_111k = ops.reshape(ops.arange(num_keys, dtype="int32"), (1, 1, 1, -1))
        distance_b1qk = ops.abs(queries_11q1 + start_b111 - keys_111k)
        slopes_1h11 = ops.reshape(slopes(self.num_heads), (1, -1, 1, 1))
        return ops.multiply(-slopes_1h11, ops.cast(distance_b1qk, "float32"))

    def compute_output_spec(self, x_btd: Any, **others: Any) -> Any:
        if others.get("caches") is not None:
            return super().compute_output_spec(x_btd, **others)
        length = x_btd.shape[1]
        return keras.KerasTensor((1, self.num_heads, length, length), "float32")


def slopes(num_heads: int) -> np.ndarray:
    """ALiBi's slope of each head, `(h,)` float32.

    For a power of two n they are 2 ** (-8 / n), 2 ** (-16 / n), ...; another number of heads gets
    those of the power below it, and then every other one of the power above.
    """
    power = 2 ** int(math.log2(num_heads))
    first = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    rest = [2.0 ** (-4 * (2 * i + 1) / power) for i in range(num_heads - power)]
    return np.array(first + rest, np.float32)


def _check_length(x_btd: Any, start: Any, max_length: int) -> None:
    length = x_btd.shape[1]
    if isinstance(length, int) and isinstance(start, int) and start + length > max_length:
        raise ValueError(
            f"The sequence is longer than the positions this model has. Expected at most "
            f"{max_length} tokens. Received: {start + length}. Truncate the input, or "
            f"build the model with a larger max_length."
        )


def _rows(table_td: Any, x_btd: Any, start: Any, offset: int) -> Any:
    """The rows of as many positions as `x_btd` has, from `start` on."""
    length = ops.shape(x_btd)[1]
    if isinstance(start, int):
        first = start + offset
        return ops.expand_dims(table_td[first : first + length], 0)
    start_b1 = ops.reshape(ops.cast(start, "int32"), (-1, 1))
    positions_bt = start_b1 + ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    return ops.take(table_td, positions_bt + offset, axis=0)


def _within(documents_bt: Any) -> Any:
    """`(b, t)` positions: how many tokens of its own document stand before each."""
    length = ops.shape(documents_bt)[1]
    own_bqk = ops.logical_and(masks.causal(length, length), masks.of_documents(documents_bt))
    return ops.sum(ops.cast(own_bqk, "int32"), axis=2) - 1
