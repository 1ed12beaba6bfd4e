"""Which devices a run gets; what it does with two of them is in loop_test.py."""

import json
import urllib.error

import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice
from tfzoo.train import strategies

VARIABLES = ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "TPU_NAME")
CLUSTER = {"worker": ["a:1", "b:2"]}


@pytest.fixture
def machine(monkeypatch):
    """Says what there is, and notes which strategy is made."""
    made = []
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def noted(kind):
        def make(choice):
            made.append(kind)
            return tf.distribute.get_strategy()

        return make

    def of(devices=None, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        counts = devices or {}
        monkeypatch.setattr(
            tf.config, "list_physical_devices", lambda kind: [kind] * counts.get(kind, 0)
        )
        for kind in strategies._MAKERS:
            monkeypatch.setitem(strategies._MAKERS, kind, noted(kind))
        strategies.choose(TrainChoice())
        return made.pop()

    return of


@pytest.mark.parametrize(
    ("devices", "variables", "wanted"),
    [
        ({}, {}, "one_device"),
        ({"GPU": 1}, {}, "one_device"),
        ({"GPU": 2}, {}, "mirrored"),
        ({"TPU": 8}, {}, "tpu"),
        ({}, {"TPU_NAME": "local"}, "tpu"),
        ({"GPU": 8}, {"TF_CONFIG": json.dumps({"cluster": CLUSTER})}, "multi_worker"),
        ({"GPU": 8}, {"SLURM_STEP_NUM_TASKS": "2"}, "multi_worker"),
        ({"GPU": 8}, {"SLURM_STEP_NUM_TASKS": "1"}, "mirrored"),
    ],
)
def test_the_default_is_what_the_machine_has(machine, devices, variables, wanted):
    assert machine(devices, **variables) == wanted


def test_here_it_is_one_device(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if len(tf.config.list_physical_devices("GPU")) < 2:
        assert strategies.choose(TrainChoice()).num_replicas_in_sync == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker 0",
        "[]",
        "null",
        "3",
        json.dumps({"cluster": CLUSTER}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker"}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": "one"}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": CLUSTER, "task": []}),
        json.dumps({"cluster": {}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_a_tf_config_that_names_no_worker_is_refused_in_one_line(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"TF_CONFIG must be like .*Received: ") as caught:
        strategies.choose(TrainChoice(strategy="multi_worker"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "index", "cluster"),
    [
        ("worker", 1, CLUSTER),
        ("worker", "1", CLUSTER),
        ("worker", 0, {**CLUSTER, "chief": ["c:3"]}),
        ("chief", 0, {**CLUSTER, "chief": ["c:3"]}),
        ("worker", 0, {"worker": ["a:1"]}),
    ],
)
def test_a_right_one_is_taken(kind, index, cluster):
    task = {"type": kind, "index": index}
    strategies._check_cluster(json.dumps({"cluster": cluster, "task": task}))


def test_several_workers_that_nobody_names_are_refused(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"no description of the workers.*--workers=2"):
        strategies.choose(TrainChoice(strategy="multi_worker"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Please provide a TPU Name to connect to.\nOr else."),
        urllib.error.URLError("no host given"),
        tf.errors.NotFoundError(None, None, "TPUs not found in the cluster."),
    ],
)
def test_a_tpu_that_is_not_there_is_one_line(monkeypatch, error):
    def find(name):
        raise error

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", find)
    with pytest.raises(UserError, match=r"found no TPU: \S") as caught:
        strategies.choose(TrainChoice(strategy="tpu"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_tpu_compiles_by_itself(monkeypatch):
    monkeypatch.setitem(strategies._MAKERS, "tpu", lambda choice: tf.distribute.get_strategy())
    with pytest.raises(UserError, match=r"leave train\.jit out"):
        strategies.choose(TrainChoice(strategy="tpu", jit=True))


@pytest.mark.parametrize(("replicas", "accumulate"), [(3, 1), (8, 1), (2, 20)])
def test_a_batch_must_be_divisible(monkeypatch, replicas, accumulate):
    class Some:
        num_replicas_in_sync = replicas

    monkeypatch.setitem(strategies._MAKERS, "one_device", lambda choice: Some)
    choice = TrainChoice(strategy="one_device", batch_size=20, accumulate=accumulate)
    with pytest.raises(UserError, match=rf"batch_size=20, {replicas} replicas.*={accumulate}"):
        strategies.choose(choice)


def test_more_gpus_than_there_are_cannot_be_had(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * 2)
    choice = TrainChoice(strategy="mirrored", replicas=3, batch_size=6)
    with pytest.raises(UserError, match=r"at most 2. Received: train.replicas=3"):
        strategies.choose(choice)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
def test_mirrored_without_gpus_must_say_how_many():
    with pytest.raises(UserError, match=r"found no GPU.*train\.replicas=2"):
        strategies.choose(TrainChoice(strategy="mirrored"))


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
def test_the_cpu_cannot_be_split_once_tensorflow_runs():
    tf.constant(1.0)
    with pytest.raises(UserError, match="in a process of its own"):
        strategies.choose(TrainChoice(strategy="mirrored", replicas=64, batch_size=64))


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "wanted"),
    [
        (CLUSTER, "worker", 0, 0),
        (CLUSTER, "worker", 1, 1),
        ({**CLUSTER, "chief": ["c:3"]}, "chief", 0, 0),
        ({**CLUSTER, "chief": ["c:3"]}, "worker", 0, 1),
        ({**CLUSTER, "chief": ["c:3"]}, "worker", 1, 2),
    ],
)
def test_a_worker_is_counted_after_the_chief(monkeypatch, cluster, kind, index, wanted):
    class Several:
        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster), task_type=kind, task_id=index
        )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Several)
    assert strategies.worker(Several()) == wanted


def test_one_process_is_the_chief_and_waits_for_nobody():
    strategy = tf.distribute.get_strategy()
    assert strategies.worker(strategy) == 0
    strategies.wait_for_all(strategy)
