import json

import pytest

from tfzoo.cli import train
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment, ModelChoice

CONFIG = """
task: classification
model: {name: bert, variant: tiny, vocab_size: 40, fields: {num_layers: 1, width: 8, num_heads: 2}}
data: {train: TRAIN, evaluate: TRAIN, max_length: 8}
train: {duration: 2 steps, batch_size: 4, evaluate_every: 2 steps, checkpoint_every: 2 steps}
"""


@pytest.fixture
def config(tmp_path, labelled):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("TRAIN", str(labelled)))
    return path


def test_training_leaves_a_model_and_says_where(run, config, tmp_path):
    code, out, err = run("train", f"--config={config}", f"--workdir={tmp_path / 'w'}")
    assert code == 0, err
    assert f"Model:       {tmp_path / 'w' / 'model'}" in out
    assert "accuracy" in out
    summary = json.loads((tmp_path / "w" / "summary.json").read_text())
    assert summary["steps"] == 2
    code, out, _ = run("show", tmp_path / "w")
    assert code == 0
    assert "batch_size: 4" in out


def test_values_can_be_set_after_one_set_or_after_several(run, config, tmp_path):
    settings = ["--set", "train.batch_size=5", "seed=3", "--set", "train.log_every=7"]
    code, out, _ = run("show", f"--config={config}", *settings)
    assert code == 0
    assert all(text in out for text in ("batch_size: 5", "seed: 3", "log_every: 7"))


def test_a_model_that_cannot_be_is_refused_before_anything_is_done():
    with pytest.raises(UserError, match="num_heads must divide"):
        train.check_model(
            Experiment("classification", None, ModelChoice(fields={"num_heads": 7, "width": 8}))
        )


def test_a_model_from_a_folder_is_not_checked_by_size():
    train.check_model(Experiment("classification", None, ModelChoice(load="there")))
