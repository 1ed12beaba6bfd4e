"""A workdir holds one experiment, one data set, and one process."""

import dataclasses
import json

import pytest

from tests.train import tiny
from tfzoo.core import config
from tfzoo.core.errors import UserError
from tfzoo.train.workdir import Workdir, environment

DATA = {"rows": 5, "fingerprint": "abc"}


@pytest.fixture
def experiment(tmp_path):
    return tiny.make(tmp_path)


def begin(path, experiment, data=DATA):
    with Workdir(path, experiment) as work:
        work.begin(data)


def test_the_experiment_is_written_and_the_environment_noted_at_each_start(tmp_path, experiment):
    run = tmp_path / "run"
    begin(run, experiment)
    begin(run, experiment)
    assert config.read_yaml(run / "experiment.yaml") == config.to_dict(experiment)
    assert json.loads((run / "data.json").read_text()) == DATA
    starts = json.loads((run / "environment.json").read_text())["starts"]
    assert len(starts) == 2
    assert set(environment()) == set(starts[0])
    assert starts[0]["keras"].startswith("3.15")


def test_another_experiment_is_refused_by_its_first_difference(tmp_path, experiment):
    begin(tmp_path / "run", experiment)
    train = dataclasses.replace(experiment.train, learning_rate=0.5, batch_size=2)
    other = dataclasses.replace(experiment, train=train, seed=3)
    with pytest.raises(UserError) as error:
        Workdir(tmp_path / "run", other)
    message = str(error.value)
    assert "`train.batch_size` is 8 there. Received: train.batch_size=2." in message
    assert "\n" not in message


def test_changed_data_are_refused(tmp_path, experiment):
    begin(tmp_path / "run", experiment)
    with pytest.raises(UserError, match="data files have changed"):
        begin(tmp_path / "run", experiment, {**DATA, "fingerprint": "xyz"})


def test_a_mistake_before_the_first_step_leaves_the_folder_free(tmp_path, experiment):
    with Workdir(tmp_path / "run", experiment):
        pass
    other = dataclasses.replace(experiment, seed=5)
    begin(tmp_path / "run", other)


def test_a_folder_with_things_of_somebody_else_is_refused(tmp_path, experiment):
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(UserError, match=r"is no workdir of a run.*model"):
        Workdir(tmp_path / "run", experiment)


def test_a_file_is_no_workdir(tmp_path, experiment):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="must be a folder"):
        Workdir(tmp_path / "run", experiment)
    with pytest.raises(UserError, match="cannot be written"):
        Workdir(tmp_path / "run" / "inside", experiment)


@pytest.mark.parametrize("name", ["a[1]", "what?", "all*", "a\\b"])
def test_a_path_that_tensorflow_cannot_restore_from_is_refused(tmp_path, experiment, name):
    with pytest.raises(UserError, match="takes for a pattern"):
        Workdir(tmp_path / name, experiment)
    assert not (tmp_path / name).exists()


def test_two_processes_do_not_train_in_one_folder(tmp_path, experiment):
    with Workdir(tmp_path / "run", experiment):
        with pytest.raises(UserError, match="Another process is training"):
            Workdir(tmp_path / "run", experiment)
    begin(tmp_path / "run", experiment)


def test_half_written_folders_of_a_killed_run_are_removed(tmp_path, experiment):
    (tmp_path / "run" / ".model.x1y2").mkdir(parents=True)
    (tmp_path / "run" / ".model.x1y2" / "model.weights.h5").write_bytes(b"")
    begin(tmp_path / "run", experiment)
    assert not (tmp_path / "run" / ".model.x1y2").exists()


def test_a_finished_run_has_a_summary(tmp_path, experiment):
    with Workdir(tmp_path / "run", experiment) as work:
        assert work.summary() is None
        work.finish({"steps": 3})
        assert work.summary() == {"steps": 3, "model": str(work.model)}


def test_a_start_that_came_to_no_step_does_not_lock_the_folder(tmp_path, experiment):
    run = tmp_path / "run"
    with Workdir(run, experiment) as work:
        work.tokenizer.mkdir()  # killed, or refused, after the vocabulary was trained
    with Workdir(run, experiment) as work:
        assert not work.tokenizer.exists()


@pytest.mark.parametrize(
    ("key", "message"), [("labels", "labels and their order"), ("tokenizer", "tokenizer's entries")]
)
def test_other_labels_or_another_vocabulary_are_refused(tmp_path, experiment, key, message):
    begin(tmp_path / "run", experiment, {**DATA, key: "before"})
    with pytest.raises(UserError, match=message):
        begin(tmp_path / "run", experiment, {**DATA, key: "now"})


def test_the_working_directory_itself_is_refused(experiment):
    with pytest.raises(UserError, match="a folder of its own"):
        Workdir("", experiment)


def test_a_moved_run_names_its_model_where_it_is_now(tmp_path, experiment):
    with Workdir(tmp_path / "old", experiment) as work:
        work.begin(DATA)
        work.finish({"model": str(work.model)})
    (tmp_path / "old").rename(tmp_path / "new")
    with Workdir(tmp_path / "new", experiment) as work:
        assert work.summary()["model"] == str(tmp_path / "new" / "model")


def test_where_it_runs_may_change_from_start_to_start(tmp_path, experiment):
    begin(tmp_path / "run", experiment)
    train = dataclasses.replace(experiment.train, strategy="mirrored", replicas=2, accumulate=2)
    begin(tmp_path / "run", dataclasses.replace(experiment, train=train))
    assert config.read_yaml(tmp_path / "run" / "experiment.yaml")["train"]["replicas"] == 2


def test_another_process_sees_the_mark_of_the_holder_and_no_other(tmp_path, experiment):
    reader = Workdir(tmp_path / "run", experiment, reads_only=True)
    assert not reader.has_mark("7")
    assert not (tmp_path / "run").exists()
    with Workdir(tmp_path / "run", experiment) as work:
        work.mark("12345")
        work.mark("7")
        assert reader.has_mark("7")
        assert not reader.has_mark("12345")
        with pytest.raises(UserError, match="Another process"):
            Workdir(tmp_path / "run", experiment)
        assert reader.has_mark("7")
