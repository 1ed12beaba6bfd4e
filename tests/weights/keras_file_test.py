"""Keras' weight files with a list of what is in them."""

import h5py
import keras
import numpy as np
import pytest

import tfzoo
from tests.weights.strict_test import SIZES
from tfzoo.core.errors import UserError
from tfzoo.testing.conformance import fill
from tfzoo.weights import keras_file


@pytest.fixture(scope="module")
def model():
    built = tfzoo.build("bert", **SIZES, head="pretraining")
    fill(built)
    return built


@pytest.fixture
def path(tmp_path, model):
    keras_file.save(model, tmp_path / keras_file.NAME)
    return tmp_path / keras_file.NAME


def test_every_weight_is_found_by_its_path(model, path):
    found = keras_file.read(path)
    assert set(found) == {weight.path for weight in model.weights}
    for weight in model.weights:
        assert np.array_equal(found[weight.path].read(), weight.numpy())
        assert found[weight.path].shape == tuple(weight.shape)


def test_weights_that_hold_the_same_are_each_found(tmp_path):
    untrained = tfzoo.build("bert", **{**SIZES, "num_layers": 3})
    keras_file.save(untrained, tmp_path / keras_file.NAME)
    found = keras_file.read(tmp_path / keras_file.NAME)
    for weight in untrained.weights:
        assert np.array_equal(found[weight.path].read(), weight.numpy())


def test_keras_reads_the_file_too(model, path):
    other = tfzoo.build("bert", **SIZES, head="pretraining")
    other.load_weights(path)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_a_file_that_keras_alone_wrote_is_refused(tmp_path, model):
    model.save_weights(tmp_path / keras_file.NAME)
    with pytest.raises(UserError, match="tfzoo did not write it"):
        keras_file.read(tmp_path / keras_file.NAME)


def test_a_file_cut_off_anywhere_is_one_line(path):
    data = path.read_bytes()
    for kept in range(0, len(data), 3001):
        path.write_bytes(data[:kept])
        with pytest.raises(UserError) as error:
            for tensor in keras_file.read(path).values():
                tensor.read()
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("listing", [b"[]", b"{", b'{"a": "nowhere"}', b'{"a": "layers"}'])
def test_a_list_that_is_not_one_is_one_line(path, listing):
    with h5py.File(path, "a") as file:
        del file["tfzoo_weights"]
        file["tfzoo_weights"] = np.frombuffer(listing, np.uint8)
    with pytest.raises(UserError, match="cannot be read") as error:
        keras_file.read(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"model\.weights\.h5 is missing"):
        keras_file.read(tmp_path / keras_file.NAME)


def test_weights_of_half_precision_are_refused(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    try:
        half = tfzoo.build("bert", **SIZES)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(UserError, match="token_embedding/embeddings in bfloat16"):
        keras_file.save(half, tmp_path / keras_file.NAME)
