"""The training loop: the mathematics of one device, on any strategy.

    on each replica                          the same on all
    rows ─► model ─► sum of losses, count ─┐
                 └─► gradients of the sum ─┴─► all-reduce SUM ─► / count ─► clip ─► optimizer

Keras' own `fit` does it otherwise, and there two replicas are not one device:

- The loss is divided by the count of ALL replicas, itself summed. A mean of means is wrong as soon
  as one replica holds fewer rows, and a replica may hold none: the last batch of an epoch.
- Gradients are clipped after they are summed, by the norm of the sum. Keras 3.15 clips before.
- Gradients are dense. Keras' adaptive optimizers square the rows of sparse ones un-summed.
- Each replica drops other elements: `spread_seeds`. Keras gives all of them one mask.
- Many steps run in one call of one graph; the forward and backward pass may be compiled by XLA, the
  optimizer stays outside, where the variables of all replicas are in reach.
- There is no `cond` inside `strategy.run`, because the optimizer's merge_call may not stand in one.
  A decision on the reduced gradient (loss scaling) belongs between two `strategy.run`.

Everything the next step depends on is in variables: weights, optimizer, `step`, dropout seeds. The
batches are a pure function of the step (`tfzoo.data.batches`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.train.strategies import components

Tensors = dict[str, tf.Tensor]
Batch = tuple[Tensors, Tensors]

# Far apart in 32 bits, and prime: streams of different replicas do not meet.
_SEED_STRIDE = 1_000_003


class Loop:
    """Trains and evaluates a task's model.

    Args:
        task: A task with `model`, `loss(targets, outputs) -> (sum, count)` and
            `kept(targets, outputs)`.
        optimizer: An optimizer of `tfzoo.train.optimizers`, built for the model's weights. It and
            the model were made within the strategy's scope.
        strategy: Where to run.
        clip_norm: Global norm of the gradient above which it is scaled down. None means never.
        jit: Whether XLA compiles the forward and backward pass. Needs batches of one shape.

    Attributes:
        step: Number of steps taken so far, an int64 variable.
    """

    def __init__(
        self,
        task: Any,
        optimizer: Any,
        strategy: tf.distribute.Strategy,
        clip_norm: float | None = None,
        jit: bool = False,
    ):
        self.task = task
        self.optimizer = optimizer
        self.strategy = strategy
        self.clip_norm = clip_norm
        self.weights = task.model.trainable_variables
        with strategy.scope():
            self.step = tf.Variable(
                0, False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )
        sums = self._replica_sums
        self._sums = tf.function(sums, jit_compile=True) if jit else sums
        self._train = tf.function(self._steps)
        self._evaluate = tf.function(self._forward)

    def distribute(self, batches: tf.data.Dataset) -> Iterable[Any]:
        """Global batches, divided evenly among the replicas."""
        return self.strategy.experimental_distribute_dataset(batches)

    def train(self, batches: Iterator[Any], steps: int) -> np.ndarray:
        """Takes `steps` steps.

        Returns:
            `(steps, 2)` float32: the loss of each step, a mean over all replicas' rows, and the
            global norm of its gradient before clipping.
        """
        return self._train(batches, tf.constant(steps)).numpy()

    def evaluate(self, batches: Iterable[Any]) -> dict[str, np.ndarray]:
        """Runs the model over finitely many batches and returns what the task keeps, in order."""
        parts = [{k: v.numpy() for k, v in self._evaluate(batch).items()} for batch in batches]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _steps(self, batches: Iterator[Any], steps: tf.Tensor) -> tf.Tensor:
        points = tf.TensorArray(tf.float32, steps, element_shape=[2])
        for i in tf.range(steps):
            point = self.strategy.run(self._replica_step, args=(next(batches),))
            self.step.assign_add(1)
            # The same on every replica: it comes of reduced numbers only.
            points = points.write(i, self.strategy.experimental_local_results(point)[0])
        return points.stack()

    def _replica_step(self, batch: Batch) -> tf.Tensor:
        """One step, as each replica runs it."""
        total, count, gradients = self._sums(*batch)
        # A weight that the loss does not depend on is left alone, and does not decay.
        pairs = zip(gradients, self.weights, strict=True)
        gradients, weights = zip(*((g, w) for g, w in pairs if g is not None), strict=True)
        context = tf.distribute.get_replica_context()
        total, count, *gradients = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [total, count, *gradients]
        )
        gradients = [gradient / count for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, norm)
        self.optimizer.apply(gradients, weights)
        return tf.stack([total / count, norm])

    def _replica_sums(
        self, inputs: Tensors, targets: Tensors
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """The summed loss of this replica's rows, their count, and the sum's dense gradients."""
        weights = [weight.value for weight in self.weights]
        with tf.GradientTape() as tape:
            outputs = self.task.run(self.task.model, inputs, training=True)
            total, count = self.task.loss(targets, outputs)
        gradients = tape.gradient(total, weights)
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        return total, count, dense

    def _forward(self, batch: Batch) -> Tensors:
        def replica_forward(batch: Batch) -> Tensors:
            inputs, targets = batch
            kept: Tensors = self.task.kept(targets, self.task.run(self.task.model, inputs))
            return kept

        kept = self.strategy.run(replica_forward, args=(batch,))
        return {name: self.strategy.gather(value, axis=0) for name, value in kept.items()}


def seeds(model: Any) -> list[Any]:
    """The states of the model's dropout generators, Keras variables of two numbers: seed, count."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def spread_seeds(model: Any) -> None:
    """Gives each replica dropout streams of its own.

    To be called when the model is built, and again after every restore: a checkpoint holds the
    first replica's only.
    """
    for variable in seeds(model):
        first, *others = components(variable)
        seed, count = first.numpy().tolist()
        for replica, other in enumerate(others, 1):
            other.assign([(seed + _SEED_STRIDE * replica) % 2**32, count])
