"""Durations become steps."""

import pytest

from tfzoo.core.experiment import TrainChoice
from tfzoo.train.plan import Plan


def plan(**fields):
    return Plan.make(TrainChoice(**{"duration": "2 epochs", **fields}), steps_per_epoch=10)


def test_durations_are_counted_in_steps():
    made = plan(evaluate_every="0.5 epochs", checkpoint_every="10%", log_every=3)
    assert made == Plan(10, 20, 5, 2, 3)
    assert made.epoch(15) == 1.5


def test_something_happens_at_every_multiple_and_at_the_end():
    made = plan(duration="13 steps", evaluate_every="5 steps", checkpoint_every="6 steps")
    stops = [0]
    while stops[-1] < made.total:
        stops.append(made.next_stop(stops[-1]))
    assert stops == [0, 5, 6, 10, 12, 13]
    assert [s for s in stops[1:] if made.evaluates_at(s)] == [5, 10, 13]
    assert [s for s in stops[1:] if made.saves_at(s)] == [6, 12, 13]


@pytest.mark.parametrize("start", range(13))
def test_stops_do_not_depend_on_where_a_run_goes_on(start):
    made = plan(duration="13 steps", evaluate_every="4 steps", checkpoint_every="6 steps")
    assert made.next_stop(start) in {4, 6, 8, 10, 12, 13}


def test_a_duration_is_at_least_one_step():
    assert plan(duration="0.01 epochs").total == 1
    assert plan(evaluate_every="1%").evaluate_every == 1
