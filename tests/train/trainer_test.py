"""What disturbs a training from inside: numbers that are none, full disks, wishes to stop.

Kills are in run_test.py.
"""

import json
import resource

import numpy as np
import pytest

from tests.train import faults, kills, tiny
from tfzoo.core.errors import Interrupted, UserError
from tfzoo.tasks import folder as model_folder
from tfzoo.train.checkpoints import Checkpoints
from tfzoo.train.loop import Loop
from tfzoo.train.run import run
from tfzoo.train.stop import Stop

TRAIN = {"evaluate_every": "4 steps", "checkpoint_every": "3 steps", "steps_per_loop": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trainer")


@pytest.fixture(scope="module")
def whole(folder):
    """The workdir of a run that nothing disturbed."""
    run(tiny.make(folder, **TRAIN, ema=0.9, duration="9 steps"), folder / "whole")
    return folder / "whole"


class Asked:
    """Asks the training to stop in the course of a call of a method."""

    def __init__(self, monkeypatch):
        self.patched, self.at, self.seen = monkeypatch, None, 0
        monkeypatch.setattr(Stop, "__enter__", self._enter)

    def _enter(self):
        self.stop = Stop()
        return self.stop

    def when(self, owner, name, number):
        before = getattr(owner, name)
        seen = 0

        def call(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen == number:
                self.stop.signal = 15
            return before(*arguments, **options)

        self.patched.setattr(owner, name, call)


@pytest.mark.slow
def test_asked_at_any_time_it_saves_and_goes_on_to_the_same_bits(folder, whole, monkeypatch):
    experiment = tiny.make(folder, **TRAIN, ema=0.9, duration="9 steps")
    workdir = folder / "asked"
    # Between two points, at a point with an evaluation, and in the course of the evaluation.
    for owner, name, number, step in (
        (Loop, "train", 3, 3),
        (Loop, "train", 1, 4),
        (Loop, "evaluate", 1, 4),
        (Checkpoints, "is_shown", 2, 7),
    ):
        with monkeypatch.context() as patched:
            Asked(patched).when(owner, name, number)
            with pytest.raises(Interrupted, match=f"SIGTERM after step {step} of 9") as done:
                run(experiment, workdir)
        assert done.value.code == 143
        assert "same command" in str(done.value)
        assert (workdir / "checkpoints" / f"step-{step}.index").exists()
    run(experiment, workdir)
    faults.check_same(whole, workdir)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name"),
    [(model_folder, "save"), (Checkpoints, "save"), (Checkpoints, "keep_best")],
)
def test_killed_around_the_best_model_it_comes_to_the_same(folder, whole, monkeypatch, owner, name):
    experiment = tiny.make(folder, **TRAIN, ema=0.9, duration="9 steps")
    before = getattr(owner, name)

    for when in ("before", "after"):
        workdir = folder / f"{name}_{owner.__name__}_{when}"
        with monkeypatch.context() as patched:

            def die(*arguments, when=when):
                if when == "after":
                    before(*arguments)
                raise KeyboardInterrupt

            patched.setattr(owner, name, die)
            with pytest.raises(KeyboardInterrupt):
                run(experiment, workdir)
        run(experiment, workdir)
        faults.check_same(whole, workdir)


def limited(owner, name, patched):
    """Lets no file grow beyond 2 KiB, as on a full disk, from the second call of a method on."""
    before, limit, seen = getattr(owner, name), resource.getrlimit(resource.RLIMIT_FSIZE), 0

    def call(*arguments, **options):
        nonlocal seen
        seen += 1
        if seen == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limit[1]))
        return before(*arguments, **options)

    patched.setattr(owner, name, call)
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_on_a_full_disk_it_stops_with_one_line_and_goes_on_later(folder, whole, monkeypatch, name):
    experiment = tiny.make(folder, **TRAIN, ema=0.9, duration="9 steps")
    workdir = folder / f"full_{name}"
    with monkeypatch.context() as patched:
        mend = limited(Loop, name, patched)
        try:
            with pytest.raises(UserError, match="cannot be written") as error:
                run(experiment, workdir)
        finally:
            mend()
    assert "\n" not in str(error.value)
    assert "same command again" in str(error.value)
    run(experiment, workdir)
    faults.check_same(whole, workdir)


def broken(patched, number):
    """Makes the loss of one step infinite."""
    train = Loop.train

    def call(self, batches, steps):
        taken = train(self, batches, steps)
        if int(self.step.numpy()) == number:
            taken.loss[-1] = np.nan
        return taken

    patched.setattr(Loop, "train", call)


def test_a_loss_that_is_no_number_is_said_with_step_and_batch(folder, monkeypatch):
    broken(monkeypatch, 7)
    with pytest.raises(UserError, match="step 7, batch 2 of epoch 2: loss nan") as error:
        run(tiny.make(folder, **TRAIN), folder / "broken")
    assert "\n" not in str(error.value)
    found = {path.stem for path in (folder / "broken" / "checkpoints").glob("step*.index")}
    assert found == {"step-4", "step-6"} or found == {"step-3", "step-6"}


def test_weights_that_overflow_are_never_saved(folder, monkeypatch):
    train = Loop.train

    def call(self, batches, steps):
        taken = train(self, batches, steps)
        if int(self.step.numpy()) == 6:
            self.weights[0].assign(np.full(self.weights[0].shape, np.inf))
        return taken

    monkeypatch.setattr(Loop, "train", call)
    with pytest.raises(UserError, match=r"step 6, .*is no number any more"):
        run(tiny.make(folder, **TRAIN), folder / "overflow")
    assert not list((folder / "overflow" / "checkpoints").glob("step-6*"))


def test_a_batch_larger_than_the_data_is_explained(folder, monkeypatch):
    said = []
    monkeypatch.setattr("absl.logging.info", lambda text, *values: said.append(text % values))
    train = {"batch_size": 64, "duration": "1 steps", "evaluate_every": "1 steps"}
    run(tiny.make(folder, **train), folder / "small")
    assert any("takes all 37 rows, because train.batch_size=64" in text for text in said)
    points = [json.loads(p) for p in (folder / "small" / "metrics.jsonl").read_text().splitlines()]
    assert points[0]["epoch"] == 1.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "count"), [("one", 5), ("mirrored", 2), ("workers", 2)])
def test_killed_at_random_it_comes_to_the_same_bits(tmp_path, kind, count):
    assert kills.compare(kind, count, tmp_path) < 30
