"""The training loop: the mathematics of one device, on any strategy.

    on each replica                          the same on all
    counts ─► all-reduce SUM ─┐
    rows ─► model ─► losses / counts ─► gradients ─► all-reduce SUM ─► clip ─► optimizer ─► EMA

Keras' own `fit` does it otherwise, and there two replicas are not one device:

- The loss is divided by the count of ALL replicas, itself summed. A mean of means is wrong as soon
  as one replica holds fewer rows, and a replica may hold none: the last batch of an epoch.
- Gradients are summed over the parts of a batch, then over the replicas, and then clipped, by the
  norm of the sum. Keras 3.15 clips before.
- Gradients are dense. Keras' adaptive optimizers square the rows of sparse ones un-summed.
- Each replica drops other elements: `spread_seeds`. Keras gives all of them one mask.
- Many steps run in one call of one graph; the forward and backward pass may be compiled by XLA, the
  optimizer stays outside, where the variables of all replicas are in reach.
- Whether a step is taken or skipped (float16 overflows) is decided on the reduced gradient, outside
  of `strategy.run`, because the optimizer's merge_call may not stand in a `cond` within one.

Everything the next step depends on is in variables: weights, optimizer, averages, `step`, the loss
scale, dropout seeds. The batches are a pure function of the step (`tfzoo.data.batches`).
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.data.batches import Share
from tfzoo.train.seeds import spread_seeds
from tfzoo.train.strategies import components

Tensors = dict[str, tf.Tensor]
Batch = tuple[Tensors, Tensors]

# Loss scaling as NVIDIA's guide on mixed precision and Keras have it.
_FIRST_SCALE = 2.0**15
_STEPS_TO_GROW = 2000


@dataclasses.dataclass(frozen=True)
class Taken:
    """What some steps showed, one entry a step.

    Attributes:
        loss: Mean over all that the loss counts, on all replicas; float32, as all others.
        gradient_norm: Global norm of its gradient before clipping.
        applied: 1 where the step was taken, 0 where it was skipped.
        examples: Rows of weight above 0.
        tokens: Real tokens in them.
        input_seconds: How long the step waited for its batch.
        squares: `(steps, weights)`: the squared norm of each weight's gradient, in the order of
            `Loop.weights`.
    """

    loss: np.ndarray
    gradient_norm: np.ndarray
    applied: np.ndarray
    examples: np.ndarray
    tokens: np.ndarray
    input_seconds: np.ndarray
    squares: np.ndarray

    def __len__(self) -> int:
        return len(self.loss)


class Loop:
    """Trains and evaluates a task's model.

    Args:
        task: A task with `model`; `forward(inputs, training)`; `count(targets)`, over how much the
            loss is a mean, and `loss(targets, outputs)`, the sum over that, both `()`, or `(n,)` of
            a loss that is the sum of n means; and `kept(targets, outputs)`.
        optimizer: An optimizer of `tfzoo.train.optimizers`, built for the model's weights. It and
            the model were made within the strategy's scope.
        strategy: Where to run.
        clip_norm: Global norm of the gradient above which it is scaled down. None means never.
        accumulate: In how many parts, one after the other, each replica takes its rows.
        jit: Whether XLA compiles the forward and backward pass. Needs batches of one shape.
        ema: Decay of a moving average of the weights; None keeps none.
        scale_loss: Whether the loss is scaled so that float16 gradients stay in range. A step whose
            gradient overflows is skipped.
        skip: Whether every step is skipped whose gradient is no number.

    Attributes:
        step: Number of steps gone so far, an int64 variable.
        weights: Those that ever learn.
        may_skip: Whether a step may be skipped.
        state: The loop's own variables beside `step`, by name, for checkpoints.
    """

    def __init__(
        self,
        task: Any,
        optimizer: Any,
        strategy: tf.distribute.Strategy,
        clip_norm: float | None = None,
        accumulate: int = 1,
        jit: bool = False,
        ema: float | None = None,
        scale_loss: bool = False,
        skip: bool = False,
    ):
        self.task, self.optimizer, self.strategy = task, optimizer, strategy
        self.weights = optimizer.learning
        self._clip_norm, self._accumulate, self._decay = clip_norm, accumulate, ema
        self.may_skip = scale_loss or skip
        self.state: dict[str, tf.Variable] = {}
        with strategy.scope():
            self.step = _counter(0, tf.int64)
            if scale_loss:
                self.state["scale"] = _counter(_FIRST_SCALE, tf.float32)
                self.state["good_steps"] = _counter(0, tf.int64)
            if ema is not None:
                averages = {f"average/{w.path}": tf.Variable(w.value, False) for w in self.weights}
                self.state |= averages
                self._averages = list(averages.values())
        spread_seeds(task.model, strategy)
        self._sums = tf.function(self._part_sums, jit_compile=True) if jit else self._part_sums
        self.graph = tf.function(self._steps)
        self._evaluate = tf.function(self._forward)

    def distribute(self, make: Callable[[Share], tf.data.Dataset]) -> Any:
        """The batches that `make` gives for the replicas of each host."""
        replicas = self.strategy.num_replicas_in_sync

        def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
            local = replicas // context.num_input_pipelines
            return make(Share(context.input_pipeline_id * local, local, replicas))

        return self.strategy.distribute_datasets_from_function(of_host)

    def train(self, batches: Iterator[Any], steps: int) -> Taken:
        """Takes `steps` steps."""
        points = self.graph(batches, tf.constant(steps)).numpy()
        return Taken(*points[:, :6].T, points[:, 6:])

    def drawn(self, batches: Iterator[Any]) -> tf.Graph:
        """The graph that `train` runs."""
        graph: tf.Graph = self.graph.get_concrete_function(batches, tf.constant(1)).graph
        return graph

    def evaluate(self, batches: Iterable[Any]) -> dict[str, np.ndarray]:
        """Runs the model over finitely many batches and returns what the task keeps, in order."""
        parts = [{k: v.numpy() for k, v in self._evaluate(batch).items()} for batch in batches]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the model has its averaged weights, if any are kept."""
        pairs = [] if self._decay is None else list(zip(self.weights, self._averages, strict=True))
        try:
            _swap(pairs)
            yield
        finally:
            _swap(pairs)

    def _steps(self, batches: Iterator[Any], steps: tf.Tensor) -> tf.Tensor:
        points = tf.TensorArray(tf.float32, steps, element_shape=[6 + len(self.weights)])
        for i in tf.range(steps):
            began = _now()
            with tf.control_dependencies([began]):
                batch = next(batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                waited = tf.cast(_now() - began, tf.float32)
            values, squares = self._skipping_step(batch) if self.may_skip else self._step(batch)
            self.step.assign_add(1)
            points = points.write(i, tf.concat([values, [waited], squares], 0))
        return points.stack()

    def _step(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """One step that is always taken: one program on each replica."""

        def whole(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
            gradients, values, squares = self._reduced(batch, None)
            self._apply(gradients)
            return values, squares

        return self._first(self.strategy.run(whole, args=(batch,)))

    def _skipping_step(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """One step that is skipped when the reduced gradient is no number."""
        scale = self.state["scale"].read_value() if "scale" in self.state else None
        gradients, *shown = self.strategy.run(self._reduced, args=(batch, scale))
        values, squares = self._first(shown)
        # The same on every replica and host: it comes of reduced numbers only.
        is_finite = tf.math.is_finite(values[1])
        if is_finite:
            self.strategy.run(self._apply, args=(gradients,))
        if "scale" in self.state:
            self._rescale(is_finite)
        applied = tf.cast(is_finite, tf.float32)
        return tf.concat([values[:2], [applied], values[3:]], 0), squares

    def _rescale(self, is_finite: tf.Tensor) -> None:
        """Halves the loss scale at an overflow, and doubles it after many steps without one."""
        scale, good_steps = self.state["scale"], self.state["good_steps"]
        good = tf.where(is_finite, good_steps.read_value() + 1, 0)
        grows = good >= _STEPS_TO_GROW
        factor = tf.where(is_finite, tf.where(grows, 2.0, 1.0), 0.5)
        # Below 1 it would protect nothing, and could come to 0.
        scale.assign(tf.maximum(scale.read_value() * factor, 1.0))
        good_steps.assign(tf.where(grows, tf.zeros_like(good), good))

    def _first(self, values: Any) -> Any:
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0], values
        )

    def _reduced(
        self, batch: Batch, scale: tf.Tensor | None
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """The mean's gradients, clipped, and what the step shows; on each replica, the same."""
        context, add = tf.distribute.get_replica_context(), tf.distribute.ReduceOp.SUM
        counts = context.all_reduce(add, self.task.count(batch[1]))
        sums, gradients = self._batch_sums(batch, counts, scale)
        # A weight that the loss does not depend on is left alone, and does not decay.
        self._present = [i for i, gradient in enumerate(gradients) if gradient is not None]
        sums, *found = context.all_reduce(add, [sums, *(gradients[i] for i in self._present)])
        if scale is not None:
            found = [gradient / scale for gradient in found]
        # Weights that do not learn yet have no part in the norm.
        found = self.optimizer.masked(found, [self.weights[i] for i in self._present])
        squares = [tf.reduce_sum(tf.square(gradient)) for gradient in found]
        norm = tf.sqrt(tf.add_n(squares))
        if self._clip_norm is not None:
            found, _ = tf.clip_by_global_norm(found, self._clip_norm, norm)
        values = tf.stack([sums[0], norm, 1.0, sums[1], sums[2]])
        places = [[i] for i in self._present]
        return found, values, tf.scatter_nd(places, tf.stack(squares), [len(gradients)])

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply(gradients, [self.weights[i] for i in self._present])
        if self._decay is not None:
            for average, weight in zip(self._averages, self.weights, strict=True):
                average.assign(self._decay * average + (1.0 - self._decay) * weight.value)

    def _batch_sums(
        self, batch: Batch, counts: tf.Tensor, scale: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[Any]]:
        """`_part_sums` of all rows of this replica, one part after the other."""
        if self._accumulate == 1:
            return self._sums(*batch, counts, scale)

        def part(i: tf.Tensor) -> Batch:
            def rows(column: tf.Tensor) -> tf.Tensor:
                size = tf.shape(column)[0] // self._accumulate
                return column[i * size : (i + 1) * size]

            return tf.nest.map_structure(rows, batch)

        sums, gradients = self._sums(*part(tf.constant(0)), counts, scale)
        present = [i for i, gradient in enumerate(gradients) if gradient is not None]
        found = [gradients[i] for i in present]
        for i in tf.range(1, self._accumulate):
            more, others = self._sums(*part(i), counts, scale)
            sums = sums + more
            found = [a + others[k] for a, k in zip(found, present, strict=True)]
        for i, gradient in zip(present, found, strict=True):
            gradients[i] = gradient
        return sums, gradients

    def _part_sums(
        self, inputs: Tensors, targets: Tensors, counts: tf.Tensor, scale: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """What some rows add to the loss, to examples and tokens; and the loss' dense gradients."""
        weights = [weight.value for weight in self.weights]
        with tf.GradientTape() as tape:
            sums = self.task.loss(targets, self.task.forward(inputs, training=True))
            loss = tf.reduce_sum(tf.math.divide_no_nan(sums, counts))
            scaled = loss if scale is None else loss * scale
        gradients = tape.gradient(scaled, weights)
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        return tf.stack([loss, *_seen(inputs, targets)]), dense

    def _forward(self, batch: Batch) -> Tensors:
        def replica_forward(batch: Batch) -> Tensors:
            inputs, targets = batch
            kept: Tensors = self.task.kept(targets, self.task.forward(inputs, training=False))
            return kept

        def in_order(value: Any) -> tf.Tensor:
            # Replica i has the rows i, i + replicas, and so on.
            together = self.strategy.gather(value, axis=0)
            replicas, shape = self.strategy.num_replicas_in_sync, tf.shape(together)
            apart = tf.reshape(together, tf.concat([[replicas, -1], shape[1:]], 0))
            turned = tf.transpose(apart, [1, 0, *range(2, len(apart.shape))])
            return tf.reshape(turned, shape)

        kept = self.strategy.run(replica_forward, args=(batch,))
        return {name: in_order(value) for name, value in kept.items()}


def _counter(value: float, dtype: tf.DType) -> tf.Variable:
    first_only = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(value, False, dtype=dtype, aggregation=first_only)


def _now() -> tf.Tensor:
    """Seconds, `()` float64. TensorFlow's own operation is refused where all is deterministic."""
    return tf.ensure_shape(tf.numpy_function(time.perf_counter, [], tf.float64), [])


def _seen(inputs: Tensors, targets: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
    """How many real rows there are, and how many real tokens in them."""
    is_real = tf.cast(targets["weight"] > 0, tf.float32)
    masks = [mask for name, mask in inputs.items() if name.endswith("padding_mask")]
    tokens = [
        tf.reduce_sum(tf.cast(tf.cast(mask, tf.bool), tf.float32), 1) * is_real for mask in masks
    ]
    return tf.reduce_sum(is_real), tf.add_n([tf.reduce_sum(t) for t in tokens] or [tf.zeros([])])


def _swap(pairs: list[tuple[Any, tf.Variable]]) -> None:
    for weight, average in pairs:
        copies = getattr(average, "values", (average,))
        for one, other in zip(components(weight), copies, strict=True):
            before = one.numpy()
            one.assign(other)
            other.assign(before)
