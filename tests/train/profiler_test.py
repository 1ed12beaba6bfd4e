"""A window of steps is traced, once."""

import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tfzoo.train.profiler import Profiler


def train(profiler, step, until):
    """Steps as the run takes them; returns how many each call took."""
    calls = []
    while step < until:
        count = profiler.steps(step, until - step)
        with profiler.trace(step):
            tf.constant(1.0) + 1.0
        calls.append(count)
        step += count
    return calls


def traced(folder):
    """The numbers of the steps in the traces."""
    found = []
    for path in sorted(folder.glob("plugins/profile/*/*.xplane.pb")):
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            names = {i: event.name for i, event in plane.event_metadata.items()}
            kinds = {i: stat.name for i, stat in plane.stat_metadata.items()}
            found += [
                stat.int64_value or stat.uint64_value
                for line in plane.lines
                for event in line.events
                if names[event.metadata_id] == "train"
                for stat in event.stats
                if kinds[stat.metadata_id] == "step_num"
            ]
    return sorted(found)


def test_steps_of_the_window_are_traced_one_by_one(tmp_path):
    profiler = Profiler(tmp_path, (4, 6))
    assert train(profiler, 0, 20) == [3, 1, 1, 1, 14]
    assert traced(tmp_path) == [4, 5, 6]


def test_without_a_window_nothing_is_traced_or_divided(tmp_path):
    profiler = Profiler(tmp_path, None)
    assert train(profiler, 0, 20) == [20]
    assert list(tmp_path.iterdir()) == []


def test_a_resume_within_the_window_traces_its_rest_only(tmp_path):
    first = Profiler(tmp_path, (2, 5))
    train(first, 0, 4)
    first.close()
    (trace,) = (tmp_path / "plugins" / "profile").iterdir()
    trace.rename(trace.with_name("earlier"))  # a trace is called by the second it was made in
    train(Profiler(tmp_path, (2, 5), start=3), 3, 10)
    assert traced(tmp_path) == [4, 5]


def test_a_resume_after_the_window_keeps_the_trace(tmp_path):
    train(Profiler(tmp_path, (2, 3)), 0, 10)
    assert train(Profiler(tmp_path, (2, 3), start=3), 3, 10) == [7]
    assert traced(tmp_path) == [2, 3]


@pytest.mark.parametrize("window", [(1, 1), (1, 3)])
def test_a_window_may_begin_with_the_first_step(tmp_path, window):
    train(Profiler(tmp_path, window), 0, 8)
    assert traced(tmp_path) == list(range(window[0], window[1] + 1))
