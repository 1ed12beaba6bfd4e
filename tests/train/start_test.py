"""The model that a run begins with."""

import dataclasses

import numpy as np
import pytest

from tests.train import tiny
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import ModelChoice
from tfzoo.tasks import classification, folder
from tfzoo.train.start import build_task, train_tokenizer


def start(folder_path, **model):
    experiment = tiny.make(folder_path)
    choice = ModelChoice(**{"fields": tiny.FIELDS, **model})
    experiment = dataclasses.replace(experiment, model=choice)
    corpus = classification.read(experiment.data)
    train_tokenizer(choice, corpus, folder_path / "trained")
    return build_task(experiment, corpus, folder_path / "trained")


def test_a_new_model_has_the_labels_and_the_vocabulary_of_the_tokenizer(tmp_path):
    tiny.values(tmp_path)
    task = start(tmp_path, tokenizer=str(tmp_path / "vocabulary"))
    assert task.labels == tuple(tiny.WORDS)
    assert task.model.config.vocab_size == task.tokenizer.vocab_size == 19
    assert task.model.config.num_labels == 3
    assert not (tmp_path / "trained").exists()


def test_a_vocabulary_is_trained_once_and_read_back(tmp_path):
    first = start(tmp_path, vocab_size=80)
    assert first.tokenizer.vocab_size == first.model.config.vocab_size <= 80
    text = (tmp_path / "trained" / "vocab.txt").read_text().replace("cat", "xyz")
    (tmp_path / "trained" / "vocab.txt").write_text(text)
    for extra in ("tokenizer.json",):
        (tmp_path / "trained" / extra).unlink()
    assert "xyz" in start(tmp_path, vocab_size=80).tokenizer.vocabulary


def test_a_loaded_model_keeps_its_encoder_and_gets_a_new_head(tmp_path):
    tiny.values(tmp_path)
    old = start(tmp_path, tokenizer=str(tmp_path / "vocabulary"))
    folder.save(old, tmp_path / "old")
    new = start(tmp_path, load=str(tmp_path / "old"), fields={"dropout": 0.3})
    assert new.model.config.dropout == 0.3
    assert new.tokenizer.vocabulary == old.tokenizer.vocabulary
    for one, two in zip(old.model.trainable_variables, new.model.trainable_variables, strict=True):
        assert one.path == two.path
        if not one.path.startswith("classifier"):
            np.testing.assert_array_equal(one, two)
    assert np.abs(np.asarray(old.model.get_layer("classifier").kernel)).max() > 0
    kernels = [np.asarray(task.model.get_layer("classifier").kernel) for task in (old, new)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"load": "nowhere"}, "nowhere is not a folder"),
        ({"tokenizer": "nowhere"}, "nowhere"),
        ({"variant": "tinny"}, "Did you mean `tiny`"),
        ({"fields": {"widht": 8}}, "Did you mean `width`"),
        ({"fields": {**tiny.FIELDS, "max_length": 8}}, "max_length must be from 3 to the 8"),
        ({"fields": {**tiny.FIELDS, "vocab_size": 7}}, "more entries than the model"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(tmp_path, model, message):
    tiny.values(tmp_path)
    if "tokenizer" not in model:
        model = {"tokenizer": str(tmp_path / "vocabulary"), **model}
    with pytest.raises(UserError, match=message) as error:
        start(tmp_path, **model)
    assert "\n" not in str(error.value)


def test_a_field_that_the_task_decides_on_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"decide on model\.fields\.num_labels"):
        start(tmp_path, fields={**tiny.FIELDS, "num_labels": 7})
