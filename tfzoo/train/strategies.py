"""Which devices a run uses, and which of its processes this is."""

import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice


def choose(choice: TrainChoice) -> tf.distribute.Strategy:
    """The strategy that an experiment asks for. To be called before TensorFlow has run anything.

    `default` takes what there is: the workers that TF_CONFIG or SLURM name, a TPU, several GPUs, or
    the one device. `mirrored` takes GPUs where there are any; on a machine without, it splits the
    CPU into `train.replicas` logical devices. `tpu` follows the rules of TPUs, but was never run on
    one.

    Raises:
        UserError: when there are too few devices, `mirrored` on a CPU says no number, TensorFlow
            has started already, the cluster's description is wrong, or the batch cannot be divided.
    """
    kind = _kind() if choice.strategy == "default" else choice.strategy
    strategy = _MAKERS[kind](choice)
    replicas = strategy.num_replicas_in_sync
    if choice.batch_size % (replicas * choice.accumulate):
        raise UserError(
            "train.batch_size must divide evenly among the replicas, and there into "
            f"train.accumulate parts. Received: train.batch_size={choice.batch_size}, {replicas} "
            f"replicas, train.accumulate={choice.accumulate}."
        )
    if choice.jit and kind == "tpu":
        raise UserError("A TPU compiles everything by itself: leave train.jit out.")
    return strategy


def components(variable: Any) -> tuple[tf.Variable, ...]:
    """A Keras variable's copies on the local replicas, one where nothing is replicated."""
    return tuple(getattr(variable.value, "values", (variable.value,)))


def worker(strategy: tf.distribute.Strategy) -> int:
    """The number of this process among those that train together; 0 is the chief."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0
    resolver = strategy.cluster_resolver
    chiefs = resolver.cluster_spec().as_dict().get("chief", [])
    return (resolver.task_id or 0) + (len(chiefs) if resolver.task_type == "worker" else 0)


def total(strategy: tf.distribute.Strategy, values: Any) -> np.ndarray:
    """The sum of the numbers that each replica's process says; all that train must ask.

    They are added as float32.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return np.asarray(values, "float32")
    said = tf.constant(values, tf.float32)
    each = strategy.experimental_distribute_values_from_function(lambda _: said)
    summed: np.ndarray = strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None).numpy()
    return summed


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every process that trains is here."""
    total(strategy, 0.0)


def _kind() -> str:
    """What `default` is on this machine."""
    if "TF_CONFIG" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return "multi_worker"
    if tf.config.list_physical_devices("TPU") or "TPU_NAME" in os.environ:
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"


def _one_device(choice: TrainChoice) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored(choice: TrainChoice) -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        if choice.replicas is None:
            raise UserError(
                "train.strategy=mirrored found no GPU. Say into how many devices the CPU is to be "
                "split, such as train.replicas=2, or use train.strategy=default."
            )
        return tf.distribute.MirroredStrategy(_logical_cpus(choice.replicas))
    replicas = choice.replicas or len(gpus)
    if replicas > len(gpus):
        raise UserError(
            f"train.replicas exceeds the GPUs of this machine. Expected at most {len(gpus)}. "
            f"Received: train.replicas={replicas}."
        )
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])


def _multi_worker(choice: TrainChoice) -> tf.distribute.Strategy:
    resolvers = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        _check_cluster(os.environ["TF_CONFIG"])
        resolver = resolvers.TFConfigClusterResolver()
    elif "SLURM_STEP_NUM_TASKS" in os.environ:
        resolver = _slurm()
    else:
        raise UserError(
            "train.strategy=multi_worker found no description of the workers. Set TF_CONFIG on "
            "each, start them with SLURM's srun, or try it here with `tfzoo train --workers=2`."
        )
    communication = tf.distribute.experimental.CommunicationImplementation
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=communication.AUTO if on_gpu else communication.RING
    )
    return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)


def _slurm() -> Any:
    """SLURM's description of the workers, with or without GPUs.

    TensorFlow 2.21 counts GPUs by nvidia-smi; where there are none, one a task is made believe.
    """
    made: dict[str, Any] = {}
    if not tf.config.list_physical_devices("GPU"):
        tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split("(")[0].split(",")[0]
        made = {"gpus_per_node": int(tasks), "gpus_per_task": 1, "auto_set_gpu": False}
    try:
        return tf.distribute.cluster_resolver.SlurmClusterResolver(**made)
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"SLURM's variables do not describe the workers: {reason}.") from None


def _check_cluster(text: str) -> None:
    """Refuses a TF_CONFIG that TensorFlow would answer with a traceback, or wait with forever."""
    try:
        values = json.loads(text)
        workers, task = values["cluster"]["worker"], values["task"]
        chiefs = values["cluster"].get("chief", [])
        known = {"worker": workers, "chief": chiefs}[task["type"]]
        is_right = isinstance(workers, list) and 0 <= int(task["index"]) < len(known)
    except (ValueError, KeyError, TypeError, AttributeError):
        is_right = False
    if not is_right:
        raise UserError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host0:5000", "host1:5000"]}, "task": '
            f'{{"type": "worker", "index": 0}}}}, its index one of the workers. Received: {text}.'
        )


def _tpu(choice: TrainChoice) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME", ""))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:  # OSError: no Google Cloud around
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"train.strategy=tpu found no TPU: {reason}") from None
    return tf.distribute.TPUStrategy(resolver)


_MAKERS = {
    "one_device": _one_device,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
}


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
