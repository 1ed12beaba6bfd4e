"""What each optimizer does to one weight, given its gradient.

A rule is a frozen dataclass of what the algorithm can be told, with two methods: `slots`, the
shapes of what it remembers of a weight, and `step`, which changes the weight and what it remembers.

What Keras 3.15 does otherwise, and why the steps are written out here:

- Adam: Keras adds epsilon before it corrects the bias of the second moment, PyTorch (and the
  paper's algorithm 1) after. In the first step Keras' is 32 times as large.
- SGD: Keras' momentum remembers steps, with the rates they were taken at, PyTorch's gradients. They
  part as soon as the rate changes. PyTorch's weight decay is a part of the gradient; it is
  decoupled here, as in Keras (SGDW, Loshchilov and Hutter 2019).
- LAMB: Keras decays before the step; in the paper the decay is inside, and so in the trust ratio.
  Keras also takes a ratio for norms and biases, which the authors' code leaves out.
- Adafactor: Keras bounds the rate by 1 / sqrt(step) even when relative steps are off, and holds the
  second moment as a whole beside its factors, so that no memory is saved.
- Lion is Keras' own; it is here so that all five are one class.

Easy to get wrong: LAMB and Adafactor measure whole weights, and some of ours are several published
ones side by side (query, key and value). They are taken apart (`parts`) before one is measured.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core import checks

Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of one weight.

    Attributes:
        weight: The weight, a variable.
        slots: What the rule remembers of it, variables by name.
        gradient: Its gradient, of its shape and type.
        time: Number of the step among those the weight takes part in, from 1, a float scalar.
        rate: Learning rate, a scalar.
        decay: How strongly the weight is pulled towards 0, or None where it is a norm or a bias.
        parts: Of how many weights, side by side along the last axis, this one consists.
    """

    weight: Any
    slots: dict[str, Any]
    gradient: tf.Tensor
    time: tf.Tensor
    rate: tf.Tensor
    decay: float | None
    parts: int


@dataclasses.dataclass(frozen=True)
class AdamW:
    """Kingma and Ba 2015, algorithm 1; decay as in Loshchilov and Hutter 2019, algorithm 2."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        checks.above(self, 0, "beta_2")  # at 0 the fused operation loses all digits

    def slots(self, shape: tuple[int, ...], parts: int) -> Shapes:
        del parts
        return {"momentum": shape, "velocity": shape}

    def step(self, s: Step) -> None:
        _shrink(s)
        # The one fused operation makes this several times faster than written out. It corrects
        # for the bias in few digits and adds epsilon first, so it is given a rate and an epsilon
        # that already are what they must be, and powers of 0, which correct nothing.
        first, second = _unbiased(self.beta_1, s.time), tf.sqrt(_unbiased(self.beta_2, s.time))
        momentum, velocity = s.slots["momentum"], s.slots["velocity"]
        tf.raw_ops.ResourceApplyAdam(
            var=s.weight.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=0.0,
            beta2_power=0.0,
            lr=s.rate * second / first,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon * second,
            grad=s.gradient,
        )


@dataclasses.dataclass(frozen=True)
class Lamb:
    """You et al. 2020, algorithm 2, with phi the identity; epsilon and exceptions of their code."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6

    def slots(self, shape: tuple[int, ...], parts: int) -> Shapes:
        del parts
        return {"momentum": shape, "velocity": shape}

    def step(self, s: Step) -> None:
        mean = _average(s.slots["momentum"], s.gradient, self.beta_1)
        square = _average(s.slots["velocity"], tf.square(s.gradient), self.beta_2)
        mean, square = (
            mean / _unbiased(self.beta_1, s.time),
            square / _unbiased(self.beta_2, s.time),
        )
        direction = mean / (tf.sqrt(square) + self.epsilon)
        if s.decay is not None:
            weight = tf.convert_to_tensor(s.weight)
            pieces = _apart(direction + s.decay * weight, s.parts)
            lengths = _length(_apart(weight, s.parts)), _length(pieces)
            ratio = tf.math.divide_no_nan(*lengths)
            direction = _together(tf.where(ratio > 0, ratio, 1.0) * pieces, s.weight.shape)
        s.weight.assign_sub(s.rate * direction)


@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Shazeer and Stern 2018, algorithms 4 and 5, as T5 has it: no relative steps.

    `beta_1` None means no momentum; `beta_2` None means 1 - t ** -0.8 (section 7.2), a number its
    corrected average (section 7.1).
    """

    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float = 1e-30
    least_scale: float = 1e-3
    clip_threshold: float = 1.0

    def __post_init__(self) -> None:
        checks.above(self, 0, "beta_2")  # at 0 the first step would be 0 / 0

    def slots(self, shape: tuple[int, ...], parts: int) -> Shapes:
        piece = _piece(shape, parts)
        made = {"momentum": shape} if self.beta_1 is not None else {}
        if len(piece) > 2:
            return {**made, "row": piece[:-1], "column": (*piece[:-2], piece[-1])}
        return {**made, "velocity": piece}

    def step(self, s: Step) -> None:
        gradient = _apart(s.gradient, s.parts)
        square = tf.square(gradient) + self.epsilon
        if self.beta_2 is None:
            beta = 1.0 - s.time**-0.8
        else:
            before = _unbiased(self.beta_2, s.time - 1.0)
            beta = self.beta_2 * before / _unbiased(self.beta_2, s.time)
        if "row" in s.slots:
            row = _average(s.slots["row"], tf.reduce_mean(square, -1), beta)[..., tf.newaxis]
            column = _average(s.slots["column"], tf.reduce_mean(square, -2), beta)
            share = row / tf.reduce_mean(row, -2, keepdims=True)
            update = gradient * tf.math.rsqrt(share) * tf.math.rsqrt(column)[..., tf.newaxis, :]
        else:
            update = gradient * tf.math.rsqrt(_average(s.slots["velocity"], square, beta))
        update /= tf.maximum(1.0, _size(update) / self.clip_threshold)
        scale = _size(_apart(tf.convert_to_tensor(s.weight), s.parts))
        rate = s.rate * tf.maximum(self.least_scale, scale)
        update = _together(rate * update, s.weight.shape)
        if self.beta_1 is not None:
            update = _average(s.slots["momentum"], update, self.beta_1)
        if s.decay:
            pull = rate * s.decay * _apart(tf.convert_to_tensor(s.weight), s.parts)
            update += _together(pull, s.weight.shape)
        s.weight.assign_sub(update)


@dataclasses.dataclass(frozen=True)
class Sgd:
    """Sutskever et al. 2013 as PyTorch has it: the momentum is of gradients, the rate outside."""

    momentum: float = 0.9
    nesterov: bool = False

    def slots(self, shape: tuple[int, ...], parts: int) -> Shapes:
        del parts
        return {"momentum": shape} if self.momentum else {}

    def step(self, s: Step) -> None:
        direction = s.gradient
        if self.momentum:
            slot = s.slots["momentum"]
            direction = slot.assign(self.momentum * slot + s.gradient, read_value=True)
            direction = tf.convert_to_tensor(direction)
            if self.nesterov:
                direction = s.gradient + self.momentum * direction
        _shrink(s)
        s.weight.assign_sub(s.rate * direction)


@dataclasses.dataclass(frozen=True)
class Lion:
    """Chen et al. 2023, algorithm 2."""

    beta_1: float = 0.9
    beta_2: float = 0.99

    def slots(self, shape: tuple[int, ...], parts: int) -> Shapes:
        del parts
        return {"momentum": shape}

    def step(self, s: Step) -> None:
        momentum = tf.convert_to_tensor(s.slots["momentum"])
        direction = tf.sign(self.beta_1 * momentum + (1.0 - self.beta_1) * s.gradient)
        _average(s.slots["momentum"], s.gradient, self.beta_2)
        _shrink(s)
        s.weight.assign_sub(s.rate * direction)


RULES: dict[str, type] = {
    "adamw": AdamW,
    "lamb": Lamb,
    "adafactor": Adafactor,
    "sgd": Sgd,
    "lion": Lion,
}


def _shrink(s: Step) -> None:
    """Decoupled weight decay."""
    if s.decay:
        s.weight.assign_sub(s.rate * s.decay * tf.convert_to_tensor(s.weight))


def _average(slot: Any, value: tf.Tensor, beta: Any) -> tf.Tensor:
    """Moves an average in `slot` towards `value`, and returns it."""
    before = tf.convert_to_tensor(slot)
    after = beta * before + (1.0 - beta) * value
    slot.assign(after)
    return after


def _unbiased(beta: float, time: tf.Tensor) -> tf.Tensor:
    """1 - beta ** time, without the digits that float32 loses where beta is close to 1."""
    # Of the beta that float32 has, as the averages use it.
    logarithm = math.log(np.float32(beta)) if beta else -math.inf
    return -tf.math.expm1(time * logarithm)


def _size(pieces: tf.Tensor) -> tf.Tensor:
    """Root of the mean square of each piece; broadcasts with the pieces."""
    axes = list(range(1, pieces.shape.rank))
    return tf.sqrt(tf.reduce_mean(tf.square(pieces), axes, keepdims=True))


def _length(pieces: tf.Tensor) -> tf.Tensor:
    """Euclidean norm of each piece; broadcasts with the pieces."""
    axes = list(range(1, pieces.shape.rank))
    return tf.sqrt(tf.reduce_sum(tf.square(pieces), axes, keepdims=True))


def _piece(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    """The shape of `_apart`."""
    return (parts, *shape[:-1], shape[-1] // parts) if shape else (1,)


def _apart(value: tf.Tensor, parts: int) -> tf.Tensor:
    """`(..., parts * n)` to `(parts, ..., n)`."""
    if parts == 1:
        return value[tf.newaxis]
    *rows, columns = value.shape.as_list()
    apart = tf.reshape(value, (*rows, parts, columns // parts))
    return tf.transpose(apart, (len(rows), *range(len(rows)), len(rows) + 1))


def _together(pieces: tf.Tensor, shape: Any) -> tf.Tensor:
    """Undoes `_apart`."""
    rank = pieces.shape.rank
    if pieces.shape[0] > 1:
        pieces = tf.transpose(pieces, (*range(1, rank - 1), 0, rank - 1))
    return tf.reshape(pieces, shape)
