"""Learning-rate schedules: a rise in a line, then one of five shapes.

    n-th step, from 1     1 ... w           w + 1 ...                       last
    share of the peak     n / w             `constant`: 1
                                            `linear`: in a line             1 / (total - w)
                                            `inverse_square_root`: sqrt(w / n)

With `progress` the share of the steps after the warm-up that are taken already, and `left` 1 minus
that, the share of the way from the peak down to the final rate that is left is `left` (linear),
`left ** power` (polynomial), `(1 + cos(pi * progress)) / 2` (cosine). The final rate itself would
be that of the step after the last.

Easy to get wrong: transformers' schedules give the first step the rate 0, which teaches nothing.
Here no step has the rate 0. After the warm-up `linear`, `polynomial` and `cosine` are theirs, and
`inverse_square_root` is theirs one step on, which is "Attention Is All You Need" (section 5.3)
with its step numbers from 1.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from tfzoo.core.duration import Duration
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice

# Without a warm-up, `inverse_square_root` stays at the peak for as long as T5 does (Raffel et al.
# 2020, section 3.1.2: 1 / sqrt(max(n, 10_000))). Its peak, 0.01, is 1 / sqrt(10_000).
_T5_STEPS = 10_000
_FALLING = ("linear", "cosine", "polynomial")


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of each step.

    Args:
        peak: The highest rate.
        warmup_steps: Number of steps up to it, 0 or more.
        total_steps: Number of steps of the whole training.
        shape: `constant`, `linear`, `cosine`, `polynomial` or `inverse_square_root`.
        power: The exponent of `polynomial`.
        final: Share of the peak at which `linear`, `cosine` and `polynomial` end, and stay.

    Call: with the number of steps taken before, an int or a scalar tensor; returns a float32
    scalar.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        shape: str = "linear",
        power: float = 1.0,
        final: float = 0.0,
    ):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.shape = shape
        self.power = power
        self.final = final

    def __call__(self, step: Any) -> tf.Tensor:
        taken = tf.cast(step, tf.float32)
        rising = tf.minimum(1.0, (taken + 1.0) / max(self.warmup_steps, 1))
        return self.peak * rising * self._falling(taken)

    def _falling(self, taken: tf.Tensor) -> tf.Tensor:
        """The share of the peak, which is 1 as long as the rate rises."""
        if self.shape == "constant":
            return tf.ones([])
        if self.shape == "inverse_square_root":
            flat = float(self.warmup_steps or _T5_STEPS)
            return tf.sqrt(flat / tf.maximum(taken + 1.0, flat))
        left = (self.total_steps - taken) / max(self.total_steps - self.warmup_steps, 1)
        left = tf.clip_by_value(left, 0.0, 1.0)
        if self.shape == "cosine":
            left = (1.0 + tf.cos(math.pi * (1.0 - left))) / 2.0
        elif self.shape == "polynomial":
            left = left**self.power
        return self.final + (1.0 - self.final) * left

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "shape": self.shape,
            "power": self.power,
            "final": self.final,
        }


def schedule(choice: TrainChoice, steps_per_epoch: int, total_steps: int) -> Schedule:
    """The schedule that an experiment asks for.

    Raises:
        UserError: when the warm-up is longer than the training, or a field is set that the schedule
            has no use for.
    """
    warmup_steps = Duration.parse(choice.warmup).steps(steps_per_epoch, total_steps)
    if warmup_steps > total_steps:
        raise UserError(
            f"train.warmup is longer than train.duration. Received: {warmup_steps} of "
            f"{total_steps} steps. Shorten it, for instance train.warmup=10%."
        )
    for name, default, users in (
        ("schedule_power", 1.0, ("polynomial",)),
        ("final_rate", 0.0, _FALLING),
    ):
        value = getattr(choice, name)
        if value != default and choice.schedule not in users:
            raise UserError(
                f"train.{name} is for train.schedule={' or '.join(users)}; take one of them, or "
                f"leave it at {default}. Received: train.{name}={value}, "
                f"train.schedule={choice.schedule}."
            )
    return Schedule(
        choice.learning_rate,
        warmup_steps,
        total_steps,
        choice.schedule,
        choice.schedule_power,
        choice.final_rate,
    )
