"""metrics.jsonl and what is shown."""

import io

import pytest
from absl import logging
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

from tfzoo.train import records
from tfzoo.train.plan import Plan
from tfzoo.train.records import Records

PLAN = Plan(steps_per_epoch=4, total=8, evaluate_every=4, checkpoint_every=4, log_every=2)
SPEEDS = {"speed/examples_per_second": 100.0, "speed/tokens_per_second": 3000.0}
POINT = {"loss": 0.5, "learning_rate": 1e-3, "gradient_norm": 2.0}


def make(folder, start=0):
    return Records(folder / "metrics.jsonl", folder / "logs", PLAN, start)


def fill(folder, start=0, until=8):
    made = make(folder, start)
    for step in range(start + 2, until + 1, 2):
        made.train_point(step, POINT, SPEEDS)
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
    assert lines[0] == (
        "Step 2 of 8: loss 0.5000, learning rate 1.00e-03, 100.0 examples/s, 3000 tokens/s."
    )
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
    made.train_point(4, POINT, SPEEDS)
    list(made.watch([1, 2], 2))
    made.evaluation_point(4, {"accuracy": 0.4})
    made.close()
    shown = screen.getvalue()
    assert "4/8" in shown
    assert "loss=0.5000" in shown
    assert "rate=1.0e-03" in shown
    assert "speed=3000 tokens/s" in shown
    assert "step 4: accuracy 0.4000" in shown
    assert "evaluate" in shown


def test_no_file_holds_no_points(tmp_path):
    assert list(records.points(tmp_path / "none.jsonl")) == []
    with pytest.raises(StopIteration):
        next(records.points(tmp_path / "none.jsonl"))


def test_what_was_measured_is_for_tensorboard_only(tmp_path):
    fill(tmp_path)
    assert "speed" not in (tmp_path / "metrics.jsonl").read_text()
    found = EventAccumulator(str(tmp_path / "logs" / "train")).Reload()
    assert {"loss", *SPEEDS} <= set(found.Tags()["tensors"])


def test_runs_compare_by_their_settings_and_scores(tmp_path):
    for name, rate in (("one", 0.1), ("two", 0.2)):
        made = make(tmp_path / name)
        made.settings({"train": {"learning_rate": rate, "tensorboard": {"layers": True}}})
        made.train_point(2, POINT, SPEEDS)
        made.evaluation_point(4, {"accuracy": rate * 4})
        made.finished()
        made.close()
    rows = compared(tmp_path)
    assert [row["hparams"] for row in rows] == [
        {"train.learning_rate": 0.1},
        {"train.learning_rate": 0.2},
    ]
    assert [row["metrics"] for row in rows] == [{"accuracy": 0.4}, {"accuracy": 0.8}]
    assert [row["status"] for row in rows] == [STATUS_SUCCESS, STATUS_SUCCESS]


def compared(folder):
    """The table of TensorBoard's hparams plugin."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    backend = backend_context.Context(TBContext(data_provider=provider, logdir=str(folder)))
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=10,
        allowed_statuses=[STATUS_SUCCESS],
        col_params=[api_pb2.ColParams(hparam="train.learning_rate", order=api_pb2.ORDER_ASC)],
    )
    context = RequestContext()
    handler = list_session_groups.Handler(context, backend, "", request)
    return [
        {
            "hparams": {k: round(v.number_value, 6) for k, v in group.hparams.items()},
            "metrics": {v.name.tag: round(v.value, 6) for v in group.metric_values},
            "status": group.sessions[0].status,
        }
        for group in handler.run().session_groups
    ]
