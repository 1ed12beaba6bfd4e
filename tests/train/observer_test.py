"""Everything that TensorBoard shows of a run, and that it changes nothing of the run."""

import contextlib
import re

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.train import tiny
from tfzoo.train.observer import Observer
from tfzoo.train.run import run

NOTHING = {"layers": False, "graph": False, "pictures": False, "samples": 0}
EVERYTHING = {
    "layers": True,
    "graph": True,
    "pictures": True,
    "samples": 2,
    "histograms": True,
    "attention": True,
    "projector": True,
    "profile": "5-7",
}
TRAIN = {"duration": "2 epochs", "evaluate_every": "4 steps", "checkpoint_every": "3 steps"}


def make(folder, name, tensorboard):
    workdir = folder / name
    run(tiny.make(folder, tensorboard=tensorboard, **TRAIN), workdir)
    return workdir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def whole(folder):
    """The workdir of a run that shows everything, and that nothing disturbed."""
    return make(folder, "whole", EVERYTHING)


def shown(workdir):
    """At which steps there is what, over both folders, and how many graphs there are."""
    found, graphs = {}, 0
    for name in ("train", "evaluation"):
        accumulator = EventAccumulator(str(workdir / "logs" / name)).Reload()
        for tag in accumulator.Tags()["tensors"]:
            found[name, tag] = [event.step for event in accumulator.Tensors(tag)]
        for path in (workdir / "logs" / name).glob("events*"):
            graphs += sum(
                event.HasField("graph_def") for event in EventFileLoader(str(path)).Load()
            )
    return found, graphs


def weights(workdir):
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name).tobytes() for name in names}


@pytest.mark.slow
def test_what_is_wanted_is_there(whole):
    found, graphs = shown(whole)
    assert graphs == 1
    evaluated = [4, 8, 10]
    points = [2, 3, 4, 6, 8, 9, 10]
    for tag in (
        "loss",
        "learning_rate",
        "gradient_norm",
        "gradient_norms/block_0/attention",
        "weight_norms/token_embedding",
        "speed/tokens_per_second",
        "speed/input_seconds_per_step",
        "memory/process_gib",
    ):
        assert found["train", tag] == points, tag
    for tag in (
        "loss",
        "accuracy",
        "confusion_matrix",
        "precision_recall/metal/pr_curves",
        "samples/predictions",
        "weights/block_0/attention/qkv/kernel",
        "attention/block_0",
    ):
        assert found["evaluation", tag] == evaluated, tag
    assert found["train", "experiment"] == [0]
    assert found["evaluation", "_hparams_/session_start_info"] == [0]
    assert found["evaluation", "_hparams_/session_end_info"] == [10]
    assert ("train", "speed/model_flops_utilization") not in found  # no peak of a CPU is known
    graph = EventAccumulator(str(whole / "logs" / "train")).Reload().Graph()
    assert any(re.match(r"bert\w*/block_0\w*/attention", node.name) for node in graph.node)
    assert len(list((whole / "logs").glob("train/plugins/profile/*/*.xplane.pb"))) == 1
    assert (whole / "logs" / "evaluation" / "embeddings-10.index").exists()


@pytest.mark.slow
def test_nothing_is_there_twice_after_a_resume(whole, folder, monkeypatch):
    show = Observer.show

    def fail(self, step, kept):
        show(self, step, kept)
        if step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Observer, "show", fail)
    with contextlib.suppress(BaseException):
        make(folder, "resumed", EVERYTHING)
    monkeypatch.undo()
    assert not (folder / "resumed" / "summary.json").exists()
    resumed = make(folder, "resumed", EVERYTHING)
    assert shown(resumed) == shown(whole)
    assert len(list((resumed / "logs").glob("train/plugins/profile/*/*.xplane.pb"))) == 1
    assert len(list((resumed / "logs" / "evaluation").glob("*.index"))) == 1
    assert (resumed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_what_is_shown_changes_nothing_of_the_run(whole, folder):
    bare = make(folder, "bare", NOTHING)
    found, graphs = shown(bare)
    assert graphs == 0
    kinds = {tag for _, tag in found if not tag.startswith(("speed/", "memory/", "_hparams_/"))}
    scores = {"loss", "accuracy", "macro_f1"}
    assert kinds == {"learning_rate", "gradient_norm", "experiment", *scores}
    assert (bare / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert weights(bare) == weights(whole)
    assert len(weights(bare)) > 10


def test_the_utilization_is_measured_where_the_peak_is_known(monkeypatch):
    made = {}
    monkeypatch.setattr("tfzoo.train.observer.machine.peak_of_all", lambda *of: 1e12)
    monkeypatch.setattr("tfzoo.train.observer.first", lambda source, rows: (rows, {}))
    monkeypatch.setattr(
        "tfzoo.train.observer.machine.operations_per_token", lambda model, rows: model * rows
    )
    monkeypatch.setattr("tfzoo.train.observer.Meter", lambda *of: made.update(of=of))
    monkeypatch.setattr("tfzoo.train.observer.Views", lambda *of: None)
    monkeypatch.setattr("tfzoo.train.observer.Profiler", lambda *of: None)
    strategy = type("Strategy", (), {"num_replicas_in_sync": 2})
    task = type("Task", (), {"model": 3.0})
    loop = type("Loop", (), {"strategy": strategy, "task": task})
    curves = dict.fromkeys(("train", "evaluation"), type("Curves", (), {"folder": None}))
    choice = tiny.experiment.TrainChoice()
    Observer(choice, loop, None, curves, 0)
    assert made["of"] == (loop, True, 3.0 * 64, 1e12)
