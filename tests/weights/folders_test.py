"""Which file of a Hugging Face folder the weights are read from."""

import json

import numpy as np
import pytest
import safetensors.numpy

from tfzoo.core.errors import UserError
from tfzoo.weights import folders

ARRAYS = {name: np.full((2,), i, np.float32) for i, name in enumerate("abc")}


def shards(folder, places=None):
    safetensors.numpy.save_file({"a": ARRAYS["a"], "b": ARRAYS["b"]}, folder / "1.safetensors")
    safetensors.numpy.save_file({"c": ARRAYS["c"]}, folder / "2.safetensors")
    places = places or {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    (folder / folders.INDEX).write_text(json.dumps({"weight_map": places}))


def refused(folder):
    with pytest.raises(UserError) as error:
        folders.read(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_shards_are_read_as_one(tmp_path):
    shards(tmp_path)
    found = folders.read(tmp_path)
    assert {name: tensor.read()[0] for name, tensor in found.items()} == {"a": 0, "b": 1, "c": 2}


def test_one_whole_file_goes_before_an_index(tmp_path):
    shards(tmp_path)
    safetensors.numpy.save_file({"whole": ARRAYS["a"]}, tmp_path / folders.SINGLE)
    assert set(folders.read(tmp_path)) == {"whole"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pytorch_model.bin", "PyTorch pickles are programs"),
        ("pytorch_model-00001-of-00002.bin", "PyTorch pickles are programs"),
        ("pytorch_model.bin.index.json", "PyTorch pickles are programs"),
        ("bert_model.ckpt.index", "Google's BERT, with bert_config.json"),
        ("adapter_model.safetensors", "Merge it"),
    ],
)
def test_other_formats_are_refused_by_name_with_the_way_out(tmp_path, name, why):
    (tmp_path / name).write_bytes(b"")
    message = refused(tmp_path)
    assert name in message and why in message
    assert "save_pretrained" in message or "Merge" in message


def test_a_pickle_beside_safetensors_does_not_matter(tmp_path):
    shards(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert len(folders.read(tmp_path)) == 3


def test_a_folder_without_weights_says_what_was_expected(tmp_path):
    assert "Expected model.safetensors" in refused(tmp_path)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a": "3.safetensors"}, "names the file 3.safetensors, which is missing"),
        ({"a": "../1.safetensors"}, "without a folder"),
        ({"a": "/etc/1.safetensors"}, "without a folder"),
        ({"a": "x\\1.safetensors"}, "without a folder"),
        ({"a": "..", "b": "1.safetensors"}, "without a folder"),
        ({"a": "1.bin"}, "safetensors files"),
        ({"a": 3}, "safetensors files"),
        ({"a": None}, "safetensors files"),
        ({"a": "a\0.safetensors"}, "missing"),
        ({"x": "1.safetensors"}, "says that `x` is in 1.safetensors, where it is not"),
        ({"a": "1.safetensors"}, "does not name tensors that its files hold: b (1.safetensors)"),
        ([], "no `weight_map`"),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path, places, message):
    shards(tmp_path)
    (tmp_path / folders.INDEX).write_text(json.dumps({"weight_map": places}))
    assert message in refused(tmp_path)


def test_an_index_that_is_not_json_is_refused(tmp_path):
    (tmp_path / folders.INDEX).write_text("{")
    assert "not valid JSON" in refused(tmp_path)


def test_a_tensor_that_two_shards_hold_is_refused(tmp_path):
    shards(tmp_path)
    safetensors.numpy.save_file({"c": ARRAYS["c"], "a": ARRAYS["c"]}, tmp_path / "2.safetensors")
    assert "a (2.safetensors)" in refused(tmp_path)
