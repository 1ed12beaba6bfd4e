"""Batches as a pure function of (seed, step), so that a run can go on anywhere as if never stopped.

There is no iterator state to save: `training(..., start=1000)` begins with exactly the batch that
an uninterrupted run would take at step 1000. An epoch is `ceil(rows / batch_size)` steps; each row
occurs in it exactly once, in an order of its own. Every batch has `batch_size` rows; the last of
an epoch is filled up with rows that are not real, which no loss, count or metric sees.

    seed, step ─► numbers of the batch's rows ─► those of this replica ─► Source.examples ─► tensors

Each replica makes its own rows and no others, on whatever machine it is, and the rows of a step are
the same however many replicas there are.
"""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from tfzoo.core.errors import UserError

Tensors = dict[str, tf.Tensor]
Batch = tuple[Tensors, Tensors]

# Rounds of the cipher that shuffles. With 4, which TensorFlow's own wrapper takes, the positions of
# 40 rows are not uniform (chi squared 3 standard deviations off); with 8 they are.
_ROUNDS = 8
# AutoGraph would take seconds to read code that has nothing for it.
_AS_IT_IS = tf.autograph.experimental.do_not_convert
_WINDOW = 64  # batches whose rows are sorted by length together


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples by number.

    Attributes:
        num_rows: How many there are.
        examples: Maps the numbers of `b` rows, `(b,)` int64, the epoch, `()` int64, and which of
            them are real, `(b,)` bool, to inputs and targets with b rows each, inside the graph.
            Chance comes from numbers alone, the seed, the epoch and the row's, so that a row is the
            same in whatever company it is. Rows that are not real weigh nothing in the targets.
        lengths: `(n,)` integers by which rows of about one length come into one batch. None: rows
            come as they are shuffled.
    """

    num_rows: int
    examples: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Batch]
    lengths: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of every batch that one input pipeline makes: that of its replicas.

    Attributes:
        first: Number of its first replica.
        count: How many replicas it feeds; their batches come in turns.
        replicas: How many there are in all.
    """

    first: int = 0
    count: int = 1
    replicas: int = 1


def of_rows(rows: Tensors, encode: Callable[[Tensors], Batch]) -> Source:
    """The rows of a table as examples.

    Args:
        rows: Columns by name, `(n, ...)` each; `weight`, float32, is one of them.
        encode: Maps `b` of these rows, as tensors inside the graph, to inputs and targets.
    """

    def examples(numbers: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        taken = {name: tf.gather(column, numbers) for name, column in rows.items()}
        return encode({**taken, "weight": tf.where(is_real, taken["weight"], 0.0)})

    return Source(len(rows["weight"]), examples)


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Number of batches that hold `num_rows` rows, the last one filled up."""
    return math.ceil(num_rows / batch_size)


def training(
    source: Source, batch_size: int, seed: int, start: int = 0, share: Share | None = None
) -> tf.data.Dataset:
    """Endless shuffled batches from step `start` on.

    Args:
        source: The examples.
        batch_size: Rows in a batch, over all replicas.
        seed: Decides the order of every epoch.
        start: Step of the first batch.
        share: Which replicas to make batches for; None: for the one there is.

    Returns:
        A dataset of what `source.examples` returns, for one replica at a time: the same for the
        same seed, step and replica.
    """
    _check_size(batch_size, share)
    num_batches = steps_per_epoch(source.num_rows, batch_size)
    order = _Order(source, batch_size, seed)

    @_AS_IT_IS
    def batch_at(step: tf.Tensor, replica: tf.Tensor) -> Batch:
        epoch, batch = step // num_batches, step % num_batches
        rows, is_real = order.batch(epoch, batch)
        share_of = _replica_rows(batch_size, replica, share)
        return _sized(source, tf.gather(rows, share_of), epoch, tf.gather(is_real, share_of))

    # The number of steps in a run is far below this; Dataset.range needs an end. Of a dataset that
    # has one, tf.distribute asks all replicas at every step whether there still is a batch.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    steps = _numbers(start, 2**50, share).apply(endless)
    return steps.map(batch_at, 2, deterministic=True).prefetch(2)


def evaluation(source: Source, batch_size: int, share: Share | None = None) -> tf.data.Dataset:
    """All rows once, in order; the last batch is filled up with rows that are not real."""
    _check_size(batch_size, share)

    @_AS_IT_IS
    def batch_at(batch: tf.Tensor, replica: tf.Tensor) -> Batch:
        rows = batch * batch_size + _replica_rows(batch_size, replica, share)
        inside = tf.minimum(rows, source.num_rows - 1)
        return _sized(source, inside, tf.constant(0, tf.int64), rows < source.num_rows)

    batches = _numbers(0, steps_per_epoch(source.num_rows, batch_size), share)
    return batches.map(batch_at, 2, deterministic=True).prefetch(2)


def first(source: Source, count: int) -> Batch:
    """Inputs and targets of the first rows, as many as there are of `count`, as in epoch 0."""
    rows = tf.range(min(count, source.num_rows), dtype=tf.int64)
    return source.examples(rows, tf.constant(0, tf.int64), tf.ones_like(rows, tf.bool))


def pad(inputs: Tensors, multiple: int, limit: int) -> Tensors:
    """Widens `(b, t)` tensors with zeros to the next multiple, so that few shapes occur.

    Args:
        inputs: Integer tensors, t at most `limit`.
        multiple: What t becomes a multiple of; `limit` gives one shape, which XLA wants.
        limit: The largest t, whatever the multiple.
    """
    padded = {}
    for name, ids_bt in inputs.items():
        length = tf.shape(ids_bt)[1]
        wanted = tf.minimum((length + multiple - 1) // multiple * multiple, limit)
        wide_bt = tf.pad(ids_bt, [[0, 0], [0, wanted - length]])
        static = limit if multiple >= limit else None
        padded[name] = tf.ensure_shape(wide_bt, [ids_bt.shape[0], static])
    return padded


class _Order:
    """Which rows a batch of an epoch holds."""

    def __init__(self, source: Source, batch_size: int, seed: int):
        self._num_rows = source.num_rows
        self._batch_size = batch_size
        self._seed = seed
        self._lengths = source.lengths
        self._num_batches = steps_per_epoch(source.num_rows, batch_size)

    def batch(self, epoch: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The numbers of a batch's rows, and which of them are real, `(batch_size,)` each."""
        if self._lengths is None:
            positions = batch * self._batch_size + tf.range(self._batch_size, dtype=tf.int64)
            return self._rows(positions, epoch), positions < self._num_rows
        # The rows of a window, shuffled like all others, are sorted by length and cut into batches,
        # which come in an order of their own.
        window = batch // _WINDOW
        first = window * _WINDOW
        size = tf.minimum(tf.constant(_WINDOW, tf.int64), self._num_batches - first)
        positions = first * self._batch_size + tf.range(size * self._batch_size)
        rows, is_real = self._rows(positions, epoch), positions < self._num_rows
        lengths = tf.where(is_real, tf.cast(tf.gather(self._lengths, rows), tf.int64), 2**62)
        longest_last = tf.argsort(lengths, stable=True)
        key = tf.stack([self._seed % 2**63, -1 - epoch * self._num_batches - window])
        batch = _shuffled(batch - first, size - 1, key)
        chosen = longest_last[batch * self._batch_size : (batch + 1) * self._batch_size]
        chosen = tf.ensure_shape(chosen, [self._batch_size])
        return tf.gather(rows, chosen), tf.gather(is_real, chosen)

    def _rows(self, positions: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Which row stands at each position of an epoch."""
        inside = tf.minimum(positions, self._num_rows - 1)
        key = tf.stack([self._seed % 2**63, epoch])
        return _shuffled(inside, tf.constant(self._num_rows - 1, tf.int64), key)


def _shuffled(positions: tf.Tensor, last: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """What stands at some positions of a permutation of 0 to `last`, which takes no memory."""
    # The cipher looks at the lowest few bits of its key only: 8 for a dozen rows, so that plain
    # (seed, epoch) keys would repeat their orders after 256 epochs.
    seed = tf.random.stateless_uniform([3], key, minval=None, maxval=None, dtype=tf.int32)
    # The raw operation, because the Python wrapper of TensorFlow 2.21,
    # tf.random.experimental.index_shuffle, pads seeds of another rank wrongly.
    return tf.raw_ops.RandomIndexShuffle(index=positions, seed=seed, max_index=last, rounds=_ROUNDS)


def _sized(source: Source, rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
    """The examples, their static shapes with the number of rows, which XLA and TPUs want."""
    batch: Batch = tf.nest.map_structure(
        lambda column: tf.ensure_shape(column, [rows.shape[0], *column.shape[1:]]),
        source.examples(rows, epoch, is_real),
    )
    return batch


def _check_size(batch_size: int, share: Share | None) -> None:
    replicas = (share or Share()).replicas
    if batch_size % replicas:
        raise UserError(
            f"train.batch_size must divide evenly among the replicas. Received: "
            f"train.batch_size={batch_size}, {replicas} replicas."
        )


def _replica_rows(batch_size: int, replica: tf.Tensor, share: Share | None) -> tf.Tensor:
    """The places of a replica's rows in a batch. Neighbours in length go to different replicas."""
    replicas = (share or Share()).replicas
    return replica + replicas * tf.range(batch_size // replicas, dtype=tf.int64)


def _numbers(start: int, stop: int, share: Share | None) -> tf.data.Dataset:
    """Steps and replicas, the replicas of a step one after the other."""
    share = share or Share()
    places = tf.data.Dataset.range(start * share.count, stop * share.count)
    return places.map(lambda i: (i // share.count, share.first + i % share.count))
