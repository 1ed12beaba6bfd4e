"""AdamW as BERT is trained with, and its learning-rate schedule."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfzoo.core.duration import Duration
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice

# Gains, shifts and biases are not pulled towards 0 (google-research/bert, optimization.py, commit
# eedf571: "LayerNorm", "layer_norm", "bias").
_NO_DECAY = re.compile(r"(^|[/_])(bias|gamma|beta)$")


class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW for gradients that are summed over the replicas already.

    Keras sums them itself inside `apply`, which is too late for clipping. This one private method
    is all that is changed; keras is pinned to 3.15 for its sake, and a test watches it.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        return list(grads_and_vars)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a line to `peak` over `warmup_steps`, then falls in a line, or stays.

    The first step has the rate `peak / warmup_steps`, the last one `peak / (total - warmup)`: no
    step is spent at a rate of 0.

    Args:
        peak: The highest rate.
        warmup_steps: Number of steps up to it, 0 or more.
        total_steps: Number of steps of the whole training.
        shape: `linear` falls, `constant` stays.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, shape: str = "linear"):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.shape = shape

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        factor = tf.minimum(1.0, (step + 1.0) / max(self.warmup_steps, 1))
        if self.shape == "linear":
            falling = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
            factor = tf.maximum(tf.minimum(factor, falling), 0.0)
        return self.peak * factor

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "shape": self.shape,
        }


def schedule(choice: TrainChoice, steps_per_epoch: int, total_steps: int) -> WarmUp:
    """The schedule that an experiment asks for.

    Raises:
        UserError: when the warm-up is longer than the training.
    """
    warmup_steps = Duration.parse(choice.warmup).steps(steps_per_epoch, total_steps)
    if warmup_steps > total_steps:
        raise UserError(
            f"train.warmup is longer than train.duration. Received: {warmup_steps} of "
            f"{total_steps} steps. Shorten it, for instance train.warmup=10%."
        )
    return WarmUp(choice.learning_rate, warmup_steps, total_steps, choice.schedule)


def adamw(variables: Sequence[Any], rate: Any, weight_decay: float) -> AdamW:
    """AdamW built for these variables, whose norms and biases do not decay.

    Epsilon is PyTorch's and Hugging Face's 1e-8, which Keras adds before it corrects the bias.
    Call it within the strategy's scope.
    """
    # Named, because the path of every slot begins with it, and checkpoints go by path.
    optimizer = AdamW(rate, weight_decay=weight_decay, epsilon=1e-8, name="adamw")
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not decays(v.path)])
    optimizer.build(variables)
    return optimizer


def decays(path: str) -> bool:
    """Whether the weight at this path is pulled towards 0: kernels and embeddings are."""
    return not _NO_DECAY.search(path)
