"""Curves go on after a resume without a point twice, as TensorBoard's own reader sees them."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfzoo.train.tensorboard import Curves


def read(folder):
    found = EventAccumulator(str(folder)).Reload()
    tags = found.Tags()
    curves = {
        tag: [(e.step, round(e.tensor_proto.float_val[0], 3)) for e in found.Tensors(tag)]
        for tag in tags["tensors"]
        if tag != "experiment"
    }
    return found, curves


def write(folder, step, until):
    curves = Curves(folder, step)
    curves.text("experiment", "seed: 0")
    for number in range(step + 1, until + 1):
        curves.scalars(number, {"loss": number / 10, "rate": 0.5})
    return curves


def test_points_after_the_checkpoint_are_made_again_only_once(tmp_path):
    write(tmp_path, 0, 5).close()
    write(tmp_path, 3, 6).close()
    _, curves = read(tmp_path)
    assert curves["loss"] == [(n, n / 10) for n in range(1, 7)]
    assert len(curves["rate"]) == 6
    assert len(list(tmp_path.iterdir())) == 1


def test_old_points_keep_their_time(tmp_path):
    write(tmp_path, 0, 3).close()
    before = [event.wall_time for event in read(tmp_path)[0].Tensors("loss")]
    write(tmp_path, 2, 3).close()
    after = [event.wall_time for event in read(tmp_path)[0].Tensors("loss")]
    assert after[:2] == before[:2]
    assert after[2] > before[2]


def test_the_experiment_is_shown_once(tmp_path):
    write(tmp_path, 0, 2).close()
    write(tmp_path, 2, 3).close()
    texts = read(tmp_path)[0].Tensors("experiment")
    assert [event.tensor_proto.string_val for event in texts] == [[b"seed: 0"]]


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_a_torn_file_loses_its_end_only(tmp_path, lost):
    curves = write(tmp_path, 0, 4)
    curves.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-lost])
    write(tmp_path, 3, 5).close()
    assert [step for step, _ in read(tmp_path)[1]["loss"]] == [1, 2, 3, 4, 5]


def test_a_copy_that_was_killed_leaves_no_doubles(tmp_path):
    write(tmp_path, 0, 4).close()
    (path,) = tmp_path.iterdir()
    copy = path.with_name(f"{path.name}.copy")
    copy.write_bytes(path.read_bytes())
    write(tmp_path, 4, 5).close()
    assert [step for step, _ in read(tmp_path)[1]["loss"]] == [1, 2, 3, 4, 5]
