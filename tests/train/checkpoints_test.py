"""Checkpoints hold everything, and the newest one that can be read is used.

That a whole run goes on as if never stopped is in run_test.py.
"""

import resource
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.train.checkpoints import Checkpoints


def made(folder, keep=2, width=3, name="hidden"):
    """Checkpoints of a stand-in for a loop: what is saved of one, and nothing else."""
    layers = [keras.Input((2,)), keras.layers.Dense(width, name=name), keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers, name="model")
    optimizer = keras.optimizers.Adam(1e-2, name="optimizer")
    optimizer.build(model.trainable_variables)
    loop = types.SimpleNamespace(
        task=types.SimpleNamespace(model=model),
        optimizer=optimizer,
        step=tf.Variable(0, trainable=False, dtype=tf.int64),
        state={"average": tf.Variable([0.0, 0.0], trainable=False)},
        strategy=tf.distribute.get_strategy(),
    )
    return Checkpoints(folder / "checkpoints", loop, keep)


def variables(checkpoints):
    loop = checkpoints.loop
    own = [loop.step, checkpoints.best_score, checkpoints.best_step, loop.state["average"]]
    own += [checkpoints.sums, checkpoints.shown]
    return [*loop.task.model.variables, *loop.optimizer.variables, *own]


def save(checkpoints, step):
    """Fills every variable with numbers of its own and saves them."""
    for i, variable in enumerate(variables(checkpoints)):
        variable.assign(np.full(variable.shape, 100 * step + i))
    checkpoints.loop.step.assign(step)
    checkpoints.save()
    return state(checkpoints)


def state(checkpoints):
    return [np.array(variable).tolist() for variable in variables(checkpoints)]


def damage(folder, step, how):
    data = next((folder / "checkpoints").glob(f"step-{step}.data*"))
    if how == "gone":
        data.unlink()
    elif how == "flipped":
        content = bytearray(data.read_bytes())
        content[20] ^= 255
        data.write_bytes(bytes(content))
    elif how == "empty index":
        (folder / "checkpoints" / f"step-{step}.index").write_bytes(b"")
    else:
        data.write_bytes(data.read_bytes()[: int(how)])


def test_every_variable_is_restored(tmp_path):
    expected = save(made(tmp_path), 3)
    again = made(tmp_path)
    assert again.restore() == 3
    assert state(again) == expected
    paths = [v.path for v in again.loop.task.model.variables]
    assert any("seed_generator_state" in path for path in paths)
    assert len(expected) == len(paths) + 12  # 2 slots of 2 weights, iteration, rate, and six


def test_without_a_checkpoint_it_starts_at_0(tmp_path):
    assert made(tmp_path).restore() == 0


@pytest.mark.parametrize("how", ["0", "10", "60", "-5", "flipped", "gone", "empty index"])
def test_a_torn_checkpoint_is_skipped_with_a_message(tmp_path, how, monkeypatch):
    checkpoints = made(tmp_path)
    expected = save(checkpoints, 1)
    save(checkpoints, 2)
    damage(tmp_path, 2, how)
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    again = made(tmp_path)
    assert again.restore() == 1
    assert state(again) == expected
    assert len(said) == 1
    assert "step-2" in said[0]
    assert "\n" not in said[0]


@pytest.mark.parametrize("other", [{"width": 4}, {"name": "another"}])
def test_the_checkpoint_of_another_model_is_not_taken(tmp_path, other):
    save(made(tmp_path), 1)
    with pytest.raises(UserError, match="None of the 1 checkpoints"):
        made(tmp_path, **other).restore()


def test_the_list_of_checkpoints_is_not_needed(tmp_path):
    save(made(tmp_path), 2)
    (tmp_path / "checkpoints" / "checkpoint").write_text("torn {")
    again = made(tmp_path)
    assert again.restore() == 2
    save(again, 3)
    assert made(tmp_path).restore() == 3


def test_only_the_newest_stay(tmp_path):
    checkpoints = made(tmp_path, keep=2)
    for step in (1, 2, 30, 4):
        save(checkpoints, step)
    kept = sorted(path.stem for path in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == ["step-30", "step-4"]


def test_what_the_manager_leaves_is_removed(tmp_path):
    folder = tmp_path / "run {1} é, $HOME"
    for step in (1, 2):
        save(made(folder), step)
    (folder / "checkpoints" / "checkpoint").unlink()
    half = folder / "checkpoints" / "step-9_temp"
    half.mkdir()
    (half / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"")
    save(made(folder), 3)
    kept = sorted(path.name for path in (folder / "checkpoints").glob("step*"))
    assert kept == [f"step-{n}.{kind}" for n in (2, 3) for kind in ("data-00000-of-00001", "index")]
    assert made(folder).restore() == 3


def test_the_newest_is_that_of_the_highest_step(tmp_path):
    checkpoints = made(tmp_path)
    for step in (9, 10):
        save(checkpoints, step)
    assert made(tmp_path).restore() == 10


def test_saving_says_nothing_and_leaves_the_log_as_loud_as_it_was(tmp_path, capfd):
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        save(made(tmp_path), 1)
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity(before)
    assert "Sharding" not in capfd.readouterr().err


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("*-*"))


def best(checkpoints, step):
    save(checkpoints, step)
    checkpoints.best_step.assign(step)
    checkpoints.save()
    checkpoints.keep_best()


def test_the_best_stays_however_many_come_after_it(tmp_path):
    checkpoints = made(tmp_path, keep=1)
    best(checkpoints, 1)
    content = (tmp_path / "checkpoints" / "step-1.index").read_bytes()
    save(checkpoints, 2)
    assert {name.partition(".")[0] for name in names(tmp_path)} == {"best-1", "step-2"}
    assert (tmp_path / "checkpoints" / "best-1.index").read_bytes() == content
    best(checkpoints, 3)
    assert {name.partition(".")[0] for name in names(tmp_path)} == {"best-3", "step-3"}


def test_where_nothing_can_be_linked_it_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr("os.link", refuse)
    best(made(tmp_path), 1)
    assert "best-1.index" in names(tmp_path)


def test_a_best_that_a_kill_came_before_is_kept_at_the_next_start(tmp_path):
    checkpoints = made(tmp_path)
    best(checkpoints, 1)
    save(checkpoints, 2)
    checkpoints.best_step.assign(2)
    checkpoints.save()  # killed before keep_best
    assert made(tmp_path).restore() == 2
    assert {name.partition(".")[0] for name in names(tmp_path)} == {"best-2", "step-1", "step-2"}


def test_when_no_other_can_be_read_the_best_is_used(tmp_path):
    checkpoints = made(tmp_path, keep=1)
    best(checkpoints, 1)
    expected = state(checkpoints)
    save(checkpoints, 2)
    damage(tmp_path, 2, "10")
    again = made(tmp_path)
    assert again.restore() == 1
    assert state(again) == expected


def test_later_ones_that_are_torn_do_not_push_out_whole_ones(tmp_path):
    checkpoints = made(tmp_path, keep=2)
    for step in (3, 9):
        save(checkpoints, step)
    damage(tmp_path, 9, "10")
    again = made(tmp_path, keep=1)
    assert again.restore() == 3
    save(again, 4)
    assert made(tmp_path).restore() == 4


@pytest.mark.parametrize("step", [1, 2])
def test_what_cannot_be_written_is_one_line_and_the_one_before_is_whole(tmp_path, step):
    """Of the next step, and of the same step once more."""
    checkpoints = made(tmp_path, width=300)
    expected = save(checkpoints, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))  # as on a full disk
    try:
        with pytest.raises(UserError) as error:
            checkpoints.loop.step.assign(step)
            checkpoints.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"step {step} cannot be written" in str(error.value)
    assert "That of step 1 is whole" in str(error.value)
    assert "\n" not in str(error.value)
    assert {name.partition(".")[0] for name in names(tmp_path)} == {"step-1"}
    again = made(tmp_path, width=300)
    assert again.restore() == 1
    assert state(again) == expected


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*There is none before"):
        made(tmp_path).save()
