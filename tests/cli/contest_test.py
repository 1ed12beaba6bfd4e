"""Contestants of a benchmark are asked in turns."""

import sys

import pytest

from tfzoo.cli import contest
from tfzoo.core.errors import UserError

CHILD = """
import sys
from tfzoo.cli import contest
name, log = sys.argv[1:]
if name == "broken":
    raise RuntimeError("no such library")
def run(batch, length):
    open(log, "a").write(f"{name} {batch}\\n")
    return {"slow": 2.0, "fast": 1.0}[name] * batch + length
contest.serve(run, [(1, 0)], sys.stdin)
"""


def test_contestants_take_turns_and_one_that_cannot_start_is_left_out(tmp_path, capsys):
    log = tmp_path / "log"
    command = [sys.executable, "-c", CHILD, "NAME", str(log)]
    shapes = {"slow": [(1, 0)], "broken": [(1, 0)], "fast": [(1, 0), (3, 5)]}
    seconds = contest.compare(command, shapes, rounds=2, repeats=2)
    assert seconds == {
        ("slow", 1, 0): [2.0, 2.0],
        ("fast", 1, 0): [1.0, 1.0],
        ("fast", 3, 5): [8.0, 8.0],
    }
    assert "left out: RuntimeError: no such library" in capsys.readouterr().err
    # Each warms up once at its start and once a turn, and runs twice.
    turn = ["slow 1"] * 3 + ["fast 1"] * 3 + ["fast 3"] * 3
    assert log.read_text().splitlines() == ["slow 1", "fast 1", *turn, *turn]


def test_only_known_contestants_are_chosen():
    assert contest.chosen("", ["a", "b"]) == ["a", "b"]
    assert contest.chosen("b", ["a", "b"]) == ["b"]
    with pytest.raises(UserError, match=r"Expected a, b\. Received: c"):
        contest.chosen("c", ["a", "b"])
