"""metrics.jsonl and what is shown."""

import io

import pytest
from absl import logging

from tfzoo.train import records
from tfzoo.train.plan import Plan
from tfzoo.train.records import Records

PLAN = Plan(steps_per_epoch=4, total=8, evaluate_every=4, checkpoint_every=4, log_every=2)
POINT = {"loss": 0.5, "learning_rate": 1e-3, "gradient_norm": 2.0}


def make(folder, start=0):
    return Records(folder / "metrics.jsonl", folder / "logs", PLAN, start)


def fill(folder, start=0, until=8):
    made = make(folder, start)
    for step in range(start + 2, until + 1, 2):
        made.train_point(step, POINT, speed=100.0)
        if step % 4 == 0:
            made.evaluation_point(step, {"accuracy": step / 10})
    made.close()


def steps(folder):
    return [(p["kind"], p["step"]) for p in records.points(folder / "metrics.jsonl")]


def test_points_are_lines_with_step_and_epoch(tmp_path):
    fill(tmp_path, until=4)
    points = list(records.points(tmp_path / "metrics.jsonl"))
    assert points[0] == {"kind": "train", "step": 2, "epoch": 0.5, **POINT}
    assert points[-1] == {"kind": "evaluation", "step": 4, "epoch": 1.0, "accuracy": 0.4}


def test_a_resume_makes_the_points_after_its_step_again(tmp_path):
    fill(tmp_path)
    undisturbed = (tmp_path / "metrics.jsonl").read_text()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    make(tmp_path, 4).close()
    assert steps(tmp_path) == [("train", 2), ("train", 4), ("evaluation", 4)]
    fill(tmp_path, start=4)
    assert (tmp_path / "metrics.jsonl").read_text() == undisturbed


def test_without_a_terminal_there_is_a_log_line_and_no_bar(tmp_path, monkeypatch, capfd):
    lines = []
    monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
    fill(tmp_path, until=4)
    assert lines[0] == "Step 2 of 8: loss 0.5000, learning rate 1.00e-03, 100.0 examples/s."
    assert lines[1] == "Step 4 of 8, evaluation: accuracy 0.4000."
    assert len(lines) == 2  # the second point came within 10 s of the first
    assert capfd.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar_with_loss_and_rate(tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    made = make(tmp_path, start=2)
    made.advance(2)
    made.train_point(4, POINT, speed=1.0)
    list(made.watch([1, 2], 2))
    made.evaluation_point(4, {"accuracy": 0.4})
    made.close()
    shown = screen.getvalue()
    assert "4/8" in shown
    assert "loss=0.5000" in shown
    assert "rate=1.0e-03" in shown
    assert "step 4: accuracy 0.4000" in shown
    assert "evaluate" in shown


def test_no_file_holds_no_points(tmp_path):
    assert list(records.points(tmp_path / "none.jsonl")) == []
    with pytest.raises(StopIteration):
        next(records.points(tmp_path / "none.jsonl"))
