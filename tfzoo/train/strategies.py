"""Which devices a run uses."""

from typing import Any

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice


def choose(choice: TrainChoice) -> tf.distribute.Strategy:
    """The strategy that an experiment asks for.

    `mirrored` takes GPUs where there are any. On a machine without, it splits the CPU into
    `train.replicas` logical devices, which must happen before TensorFlow has run anything.

    Raises:
        UserError: when there are too few devices, `mirrored` on a CPU says no number, TensorFlow
            has started already, or the batch cannot be divided.
    """
    if choice.strategy == "default":
        return tf.distribute.get_strategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        replicas = choice.replicas or len(gpus)
        if replicas > len(gpus):
            raise UserError(
                f"train.replicas exceeds the GPUs of this machine. Expected at most {len(gpus)}. "
                f"Received: train.replicas={replicas}."
            )
        devices = [f"GPU:{i}" for i in range(replicas)]
    else:
        if choice.replicas is None:
            raise UserError(
                "train.strategy=mirrored found no GPU. Say into how many devices the CPU is to be "
                "split, such as train.replicas=2, or use train.strategy=default."
            )
        devices = _logical_cpus(choice.replicas)
    if choice.batch_size % len(devices):
        raise UserError(
            "train.batch_size must divide evenly among the replicas. Received: "
            f"train.batch_size={choice.batch_size}, {len(devices)} replicas."
        )
    return tf.distribute.MirroredStrategy(devices)


def components(variable: Any) -> tuple[tf.Variable, ...]:
    """A Keras variable's copies on the local replicas, one where nothing is replicated."""
    return tuple(getattr(variable.value, "values", (variable.value,)))


def _logical_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
            parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
            tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        raise UserError(
            f"The CPU cannot be split into {count} devices any more: TensorFlow is running "
            "already. Start the training in a process of its own."
        ) from None
    return [f"CPU:{i}" for i in range(count)]
