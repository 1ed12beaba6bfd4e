"""Dropout streams: each replica has its own, and a resumed run goes on with them."""

from typing import Any

import tensorflow as tf

from tfzoo.train.strategies import components, worker

# Far apart in 32 bits, and prime: streams of different replicas do not meet.
_STRIDE = 1_000_003


def seeds(model: Any) -> list[Any]:
    """The states of the model's dropout generators, Keras variables of two numbers: seed, count."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def spread_seeds(model: Any, strategy: tf.distribute.Strategy) -> None:
    """Gives each replica dropout streams of its own.

    To be called once when the model is built, and once after every restore: a checkpoint holds the
    first replica's only.
    """
    for variable in seeds(model):
        copies = components(variable)
        seed, count = copies[0].numpy().tolist()
        first = len(copies) * worker(strategy)
        for replica, copy in enumerate(copies, first):
            if replica:
                copy.assign([(seed + _STRIDE * replica) % 2**32, count])
