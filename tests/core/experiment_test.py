"""An experiment is read strictly and written completely."""

import dataclasses

import pytest

from tfzoo.core import experiment
from tfzoo.core.config import ConfigError, read_yaml, to_dict
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import ModelChoice, TrainChoice


@dataclasses.dataclass(frozen=True)
class Data:
    train: str
    max_length: int = 128


VALUES = {"task": "classification", "data": {"train": "a.tsv"}, "train": {"duration": "5 steps"}}


def test_what_is_written_reads_back_the_same(tmp_path):
    one = experiment.check(VALUES, Data)
    experiment.write(one, tmp_path / "experiment.yaml")
    again = experiment.check(experiment.read(tmp_path / "experiment.yaml"), Data)
    assert again == one
    assert read_yaml(tmp_path / "experiment.yaml") == to_dict(one)


def test_every_default_is_spelled_out(tmp_path):
    values = to_dict(experiment.check(VALUES, Data))
    assert values["train"]["learning_rate"] == 5e-5
    assert values["data"]["max_length"] == 128
    assert values["seed"] == 0


def test_overrides_win_over_the_file(tmp_path):
    path = tmp_path / "a.yaml"
    experiment.write(experiment.check(VALUES, Data), path)
    values = experiment.read(path, ["train.learning_rate=1e-3", "data.train=b.tsv"])
    found = experiment.check(values, Data)
    assert (found.train.learning_rate, found.data.train) == (1e-3, "b.tsv")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning": {}}, "`learning` is not a config key"),
        ({"train": {"learning_rat": 1}}, "Did you mean `learning_rate`"),
        ({"train": {"jit": "yes"}}, "`train.jit` must be bool"),
        ({"data": {}}, "`data.train` is required"),
        ({"task": None}, "`task` must be str"),
        ({"model": {"load": "x", "variant": "tiny"}}, "not both"),
    ],
)
def test_a_wrong_key_or_type_is_named_by_its_path(values, message):
    with pytest.raises(ConfigError, match=message):
        experiment.check({**VALUES, **values}, Data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"duration": "3"}, "duration with its unit"),
        ({"duration": "10%"}, "duration must be in epochs or steps"),
        ({"duration": "0 steps"}, "duration: It must be above 0"),
        ({"warmup": "x"}, "duration with its unit"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1"),
        ({"replicas": 0, "strategy": "mirrored"}, "replicas must be at least 1"),
        ({"replicas": 2}, "replicas are for strategy=mirrored"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
    ],
)
def test_values_that_make_no_training_are_refused(fields, message):
    with pytest.raises(UserError, match=message) as error:
        TrainChoice(**fields)
    assert "\n" not in str(error.value)


def test_a_folder_to_load_and_a_size_exclude_each_other():
    with pytest.raises(UserError, match="not both"):
        ModelChoice(load="folder", variant="tiny")
