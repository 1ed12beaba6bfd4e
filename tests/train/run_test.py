"""A run from an experiment to a model folder, stopped and gone on with."""

import dataclasses
import json
import random
import signal

import h5py
import numpy as np
import pytest
import tensorflow as tf
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfzoo
from tests.train import tiny
from tfzoo.core.errors import UserError
from tfzoo.data import tables
from tfzoo.train.checkpoints import Checkpoints
from tfzoo.train.run import read, run

# Steps that are no multiples of each other: 5 an epoch, 15 in all.
TRAIN = {"evaluate_every": "4 steps", "checkpoint_every": "6 steps"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def finished(folder):
    """The experiment, workdir and summary of a run that nothing disturbed."""
    experiment = tiny.make(folder, **TRAIN)
    workdir = folder / "finished"
    return experiment, workdir, run(experiment, workdir)


def weights(workdir):
    """Every number of the last checkpoint, and of the best model."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = sorted(reader.get_variable_to_shape_map())
    last = {n: reader.get_tensor(n) for n in names if ".ATTRIBUTES" in n}
    best = {}
    with h5py.File(workdir / "model" / "model.weights.h5") as file:
        file.visititems(lambda n, x: best.update({n: x[()]}) if hasattr(x, "dtype") else None)
    return last, best


def same(one, two):
    """Whether two workdirs hold the same numbers, bit for bit."""
    for first, second in zip(weights(one), weights(two), strict=True):
        assert first.keys() == second.keys()
        assert len(first) > 10
        for name, value in first.items():
            assert np.asarray(value).tobytes() == np.asarray(second[name]).tobytes(), name
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    assert (one / "evaluation.json").read_bytes() == (two / "evaluation.json").read_bytes()


def test_the_run_folder_holds_what_it_says(finished):
    experiment, workdir, summary = finished
    names = {path.name for path in workdir.iterdir() if not path.name.startswith(".")}
    assert names == {
        "experiment.yaml",
        "data.json",
        "environment.json",
        "checkpoints",
        "metrics.jsonl",
        "logs",
        "model",
        "evaluation.json",
        "confusion_matrix.png",
        "summary.json",
    }
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert summary["steps"] == 15
    assert summary["labels"] == list(tiny.WORDS)
    assert read(workdir / "experiment.yaml") == experiment


def test_points_stand_at_every_multiple_and_the_model_learns(finished):
    points = tiny.points(finished[1])
    train = [p for p in points if p["kind"] == "train"]
    assert [p["step"] for p in train] == [2, 4, 6, 8, 10, 12, 14, 15]
    assert [p["step"] for p in points if p["kind"] == "evaluation"] == [4, 8, 12, 15]
    assert train[-1]["loss"] < 0.7 * train[0]["loss"]
    assert train[0]["learning_rate"] == pytest.approx(3e-2)


def test_the_best_model_is_the_one_that_is_kept(finished):
    experiment, workdir, summary = finished
    points = [p for p in tiny.points(workdir) if p["kind"] == "evaluation"]
    best = max(points, key=lambda p: (p["macro_f1"], -p["step"]))
    assert summary["best_step"] == best["step"]
    assert summary["macro_f1"] == best["macro_f1"]
    loaded = tfzoo.load(workdir / "model")
    assert loaded.labels == tuple(tiny.WORDS)
    from tfzoo.tasks import classification

    kept = classification.read(experiment.data).evaluate
    report = loaded.task.evaluate(kept)
    assert report.accuracy == summary["accuracy"]
    assert json.loads((workdir / "evaluation.json").read_text())["accuracy"] == report.accuracy


def test_tensorboard_shows_the_same_points(finished):
    workdir = finished[1]
    curves = EventAccumulator(str(workdir / "logs" / "train")).Reload()
    tags = set(curves.Tags()["tensors"])
    assert {"loss", "learning_rate", "gradient_norm", "speed/examples_per_second"} <= tags
    found = [(e.step, e.tensor_proto.float_val[0]) for e in curves.Tensors("loss")]
    expected = [(p["step"], p["loss"]) for p in tiny.points(workdir) if p["kind"] == "train"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    text = curves.Tensors("experiment")[0].tensor_proto.string_val[0].decode()
    assert "learning_rate: 0.03" in text
    scores = EventAccumulator(str(workdir / "logs" / "evaluation")).Reload()
    assert {"loss", "accuracy", "macro_f1"} <= set(scores.Tags()["tensors"])


def test_a_finished_run_only_returns_its_summary(finished):
    experiment, workdir, summary = finished
    before = (workdir / "metrics.jsonl").stat().st_mtime_ns
    assert run(experiment, workdir) == summary
    assert (workdir / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_stopped_run_goes_on_to_the_same_bits(finished, folder, monkeypatch):
    experiment, undisturbed, summary = finished
    workdir = folder / "stopped"
    save = Checkpoints.save

    def stop(self):
        save(self)
        if int(self.loop.step.numpy()) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, workdir)
    monkeypatch.setattr(Checkpoints, "save", save)
    # As if it had gone on for some steps before it was killed.
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 8, "epoch": 1.6, "loss": 9.9}\n{"kind": "tra')
    resumed = run(experiment, workdir)
    assert {**resumed, "model": ""} == {**summary, "model": ""}
    same(undisturbed, workdir)
    starts = json.loads((workdir / "environment.json").read_text())["starts"]
    assert len(starts) == 2


def test_another_experiment_in_the_same_folder_is_refused(finished):
    experiment, workdir, _ = finished
    other = dataclasses.replace(experiment, seed=9)
    with pytest.raises(UserError, match=r"`seed` is 0 there\. Received: seed=9"):
        run(other, workdir)


def test_a_loss_that_is_no_number_stops_the_run_and_says_where(folder):
    experiment = tiny.make(folder, learning_rate=1e30, warmup="1 steps", clip_norm=None)
    message = r"broke down at step \d+, batch \d of epoch \d: loss"
    with pytest.raises(UserError, match=message) as error:
        run(experiment, folder / "broken")
    assert "\n" not in str(error.value)
    assert not (folder / "broken" / "summary.json").exists()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"best_by": "acuracy"}, r"figure for train\.best_by\. Did you mean `accuracy`"),
        ({"warmup": "40 steps"}, r"train\.warmup is longer"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(folder, tmp_path, train, message):
    with pytest.raises(UserError, match=message):
        run(tiny.make(folder, **train), tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".lock"]


def test_a_yaml_file_becomes_an_experiment(folder, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(tiny.values(folder)))
    experiment = read(path, ["train.duration=7 steps", "data.max_length=9"])
    assert (experiment.train.duration, experiment.data.max_length) == ("7 steps", 9)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=clasification"], "Did you mean `classification`"),
        (["task=embedding"], "embedding cannot be trained. Expected one of classification, d"),
        (["task=null"], "must say its task"),
        (["data.trian=x"], "Did you mean `train`"),
        (["data.header=perhaps"], "`perhaps` is not a value of `data.header`"),
        (["train.duration=3 day"], "duration with its unit"),
    ],
)
def test_a_wrong_yaml_file_is_one_line(folder, tmp_path, overrides, message):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(tiny.values(folder)))
    with pytest.raises(UserError, match=message) as error:
        read(path, overrides)
    assert "\n" not in str(error.value)


KILLED = """
import os, pathlib, signal, sys
from tfzoo.train.loop import Loop
from tfzoo.train.run import read, run

path, workdir, die = sys.argv[1], sys.argv[2], int(sys.argv[3])
train = Loop.train

def steps(self, batches, count):
    taken = train(self, batches, count)
    if int(self.step.numpy()) >= die:
        os.kill(os.getpid(), signal.SIGKILL)
    return taken

Loop.train = steps
run(read(path), workdir)
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [None, 2])
def test_killed_again_and_again_it_comes_to_the_same_bits(tmp_path, replicas):
    strategy = {} if replicas is None else {"strategy": "mirrored", "replicas": replicas}
    values = tiny.values(tmp_path, {"dropout": 0.2}, **TRAIN, **strategy)
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(values))
    tiny.child(KILLED, path, tmp_path / "straight", 1000)
    chance = random.Random(5)
    for die in sorted(chance.sample(range(2, 15), 3)):
        done = tiny.child(KILLED, path, tmp_path / "killed", die, check=False)
        assert done.returncode == -signal.SIGKILL
    tiny.child(KILLED, path, tmp_path / "killed", 1000)
    same(tmp_path / "straight", tmp_path / "killed")
    for name in ("train", "evaluation"):
        points = [
            [(e.step, e.tensor_proto.float_val[0]) for e in found.Tensors("loss")]
            for found in (
                EventAccumulator(str(tmp_path / run_name / "logs" / name)).Reload()
                for run_name in ("straight", "killed")
            )
        ]
        assert points[0] == points[1]


@pytest.mark.data
@pytest.mark.slow
def test_a_model_learns_real_text(shared_data, tmp_path):
    """What is said of films in Korean; a trained vocabulary, a quarter of a minute."""
    source = shared_data("data-nsmc") / "ratings_train_10k.tsv"
    sizes = {"num_layers": 1, "num_heads": 2, "width": 64, "feed_forward_dim": 128}
    values = {
        "task": "classification",
        "data": {"train": str(source), "text": "document", "max_length": 48},
        "model": {"fields": {**sizes, "max_length": 48}, "vocab_size": 4000},
        "train": {"duration": "2 epochs", "learning_rate": 2e-3},
    }
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(values))
    summary = run(read(path), tmp_path / "run")
    assert len(tables.read(source, tables.Columns("document"))) == 10_000
    assert summary["accuracy"] > 0.65


def test_the_choices_reach_the_loop(tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def loop(task, optimizer, strategy, clip_norm, accumulate, jit, ema, scale_loss, skip):
        raise Seen(clip_norm, accumulate, jit, ema, scale_loss, skip)

    monkeypatch.setattr("tfzoo.train.trainer.Loop", loop)
    train = {"clip_norm": 0.5, "accumulate": 2, "jit": True, "ema": 0.9, "nonfinite": "skip"}
    with pytest.raises(Seen) as seen:
        run(tiny.make(tmp_path, **train), tmp_path / "run")
    assert seen.value.args == (0.5, 2, True, 0.9, False, True)


def test_the_seed_decides_the_initial_weights(tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def loop(task, *_, **__):
        raise Seen(np.asarray(task.model.weights[0]))

    monkeypatch.setattr("tfzoo.train.trainer.Loop", loop)

    def first_weights(seed):
        experiment = dataclasses.replace(tiny.make(tmp_path), seed=seed)
        with pytest.raises(Seen) as seen:
            run(experiment, tmp_path / f"run{seed}")
        return seen.value.args[0]

    one, other = first_weights(1), first_weights(2)
    np.testing.assert_array_equal(one, first_weights(1))
    assert np.abs(one - other).max() > 1e-3


def test_a_point_has_the_rate_of_its_own_step(finished):
    experiment, workdir, _ = finished
    total, peak = 15, experiment.train.learning_rate
    warmup = 2  # 10 % of 15 steps, rounded up
    for point in tiny.points(workdir):
        if "learning_rate" in point:
            step = point["step"] - 1
            factor = min((step + 1) / warmup, (total - step) / (total - warmup), 1.0)
            assert point["learning_rate"] == pytest.approx(peak * factor, rel=1e-6)
