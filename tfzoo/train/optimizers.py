"""Optimizers for dense gradients that are summed over the replicas already.

Keras' `Optimizer` keeps the variables, the count of steps and the rules of tf.distribute; what is
done to a weight stands in `tfzoo.train.update_rules`, how fast in `tfzoo.train.rates`.

Easy to get wrong: gradients of embedding tables must be made dense (`tf.convert_to_tensor`) before
they come here. Keras' adaptive optimizers take sparse ones too, and square the gradients of a token
that occurs several times one by one, not their sum.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import OptimizerChoice, TrainChoice
from tfzoo.train.rates import Rate, rates
from tfzoo.train.rates import decays as decays
from tfzoo.train.update_rules import RULES, Step

# Weights that hold several published ones side by side.
_PARTS = {"qkv": 3, "key_value": 2}
_FUSED = re.compile(rf"/({'|'.join(_PARTS)})/(?:kernel|bias)$")


class Optimizer(keras.optimizers.Optimizer):
    """Applies a rule of `tfzoo.train.update_rules` to each weight, at the weight's own rate.

    Weights that never learn (a factor of 0) have no slots, and gradients for them are passed over.
    Weights that begin to learn later stay bit for bit as they are until then, and begin as in a
    first step.

    Args:
        rule: What is done to a weight.
        learning_rate: A number or a schedule.
        decay: How strongly weights are pulled towards 0, times the learning rate.
        how: How each weight learns, by its path.
        name: The path of every slot begins with it, and checkpoints go by path.
    """

    def __init__(
        self, rule: Any, learning_rate: Any, decay: float, how: dict[str, Rate], name: str
    ):
        super().__init__(learning_rate=learning_rate, name=name)
        self._rule = rule
        self._decay = decay
        self._how = how

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the slots. To be called in the strategy's scope."""
        if self.built:
            return
        learning = [v for v in variables if self._how[v.path].factor]
        super().build(learning)
        self._rates = tuple(self._how[v.path] for v in learning)
        self._parts = tuple(_parts(v.path) for v in learning)
        self._slots = tuple(
            {
                name: self.add_variable(shape, dtype=v.dtype, name=f"{_flat(v.path)}_{name}")
                for name, shape in self._rule.slots(tuple(v.shape), parts).items()
            }
            for v, parts in zip(learning, self._parts, strict=True)
        )

    @property
    def learning(self) -> list[Any]:
        """The weights that ever learn; no others need a gradient."""
        return list(self._trainable_variables)

    def masked(self, gradients: Sequence[Any], variables: Sequence[Any]) -> list[tf.Tensor]:
        """The gradients, 0 for weights that do not learn at this step.

        `apply` does this itself; whoever takes the gradients' norm, does it before.
        """
        masked = []
        for gradient, variable in zip(gradients, variables, strict=True):
            how = self._how[variable.path]
            if not how.factor:
                gradient = tf.zeros_like(gradient)
            elif how.start:
                learns = self._iterations.value >= how.start
                gradient = tf.where(learns, gradient, tf.zeros_like(gradient))
            masked.append(gradient)
        return masked

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        """Takes a step.

        Args:
            grads: Dense gradients, the same on all replicas.
            trainable_variables: Their weights. Weights that are left out stay as they are.
        """
        pairs = zip(self.masked(grads, trainable_variables), trainable_variables, strict=True)
        kept = [(g, v) for g, v in pairs if self._how[v.path].factor]
        super().apply([g for g, _ in kept], [v for _, v in kept])

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
        """One weight's step, called by Keras for each replica's copy."""
        index = self._get_variable_index(variable)
        how = self._rates[index]
        time = tf.cast(self._iterations.value + 1 - how.start, variable.dtype)
        factor = how.factor
        if how.start:
            factor = tf.where(time > 0, factor, 0.0)
            time = tf.maximum(time, 1.0)
        self._rule.step(
            Step(
                weight=variable,
                slots={name: slot.value for name, slot in self._slots[index].items()},
                gradient=tf.cast(gradient, variable.dtype),
                time=time,
                rate=tf.cast(learning_rate, variable.dtype) * factor,
                decay=self._decay if how.decays else None,
                parts=self._parts[index],
            )
        )

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        # Keras sums them here, inside `apply`, which is too late for clipping. This is a private
        # method: keras is pinned to 3.15 for its sake, and a test watches it.
        return list(grads_and_vars)


def make(
    choice: TrainChoice, model: Any, rate: Any, steps_per_epoch: int, total_steps: int
) -> Optimizer:
    """The optimizer that an experiment asks for, built for a model's weights.

    Args:
        choice: How the model is trained.
        model: A Keras model.
        rate: The learning rate, a number or a schedule.
        steps_per_epoch: Number of steps in which the training data is seen once.
        total_steps: Number of steps of the whole training.

    Call it within the strategy's scope.

    Raises:
        UserError: when a field is set that the optimizer has not, or a pattern finds no weight.
    """
    variables = model.trainable_variables
    paths = [variable.path for variable in variables]
    made = rates(choice.optimizer, paths, steps_per_epoch, total_steps)
    how = dict(zip(paths, made, strict=True))
    name = choice.optimizer.name
    optimizer = Optimizer(_rule(choice.optimizer), rate, choice.weight_decay, how, name)
    optimizer.build(variables)
    return optimizer


def _rule(choice: OptimizerChoice) -> Any:
    """The rule that is asked for, with those of its numbers that are."""
    rule = RULES[choice.name]
    own = {field.name for field in dataclasses.fields(rule)}
    given = {}
    for field in dataclasses.fields(OptimizerChoice):
        if field.name not in ("beta_1", "beta_2", "epsilon", "momentum", "nesterov"):
            continue
        value = getattr(choice, field.name)
        if field.name in own and value is not None:
            given[field.name] = value
        elif field.name not in own and value != field.default:
            raise UserError(
                f"{choice.name} has no {field.name}; leave train.optimizer.{field.name} at "
                f"{str(field.default).lower() if field.default is not None else 'null'}. "
                f"Received: train.optimizer.{field.name}={value}."
            )
    return rule(**given)


def _parts(path: str) -> int:
    fused = _FUSED.search(path)
    return _PARTS[fused[1]] if fused else 1


def _flat(path: str) -> str:
    return path.replace("/", "_")
