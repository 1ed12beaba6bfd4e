"""TensorFlow's checkpoints of variables."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.weights import tensorflow_checkpoint


def write(path, arrays):
    """A checkpoint of TensorFlow 1's Saver, made by the operation that it used."""
    path.parent.mkdir(exist_ok=True)
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(arrays[name]) for name in names],
    )


ARRAYS = {
    "a/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/half": np.arange(4, dtype=np.float16),
    "global_step": np.array(7, np.int64),
}


def test_variables_are_read_by_name(tmp_path):
    write(tmp_path / "model.ckpt", ARRAYS)
    path = tensorflow_checkpoint.find(tmp_path)
    found = tensorflow_checkpoint.read(path)
    assert set(found) == set(ARRAYS)
    assert {name: t.shape for name, t in found.items()} == {n: a.shape for n, a in ARRAYS.items()}
    assert {name: t.is_float for name, t in found.items()} == {
        "a/w": True,
        "a/half": True,
        "global_step": False,
    }
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor.read(), ARRAYS[name])
        assert tensor.read().dtype == (np.float32 if tensor.is_float else np.int64)


def test_bfloat16_becomes_float32(tmp_path):
    write(tmp_path / "x", {"a": tf.constant([1.5, -2], tf.bfloat16)})
    tensor = tensorflow_checkpoint.read(tmp_path / "x")["a"]
    assert (tensor.is_float, tensor.read().dtype, tensor.read().tolist()) == (
        True,
        np.float32,
        [1.5, -2],
    )


def test_one_checkpoint_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"must hold one TensorFlow checkpoint.* Received: none\.$"):
        tensorflow_checkpoint.find(tmp_path)
    for name in ("model.ckpt-1", "model.ckpt-2"):
        write(tmp_path / name, ARRAYS)
    with pytest.raises(UserError, match=r"Received: model.ckpt-1.index, model.ckpt-2.index\.$"):
        tensorflow_checkpoint.find(tmp_path)


@pytest.mark.parametrize("name", ["x.index", "x.data-00000-of-00001"])
def test_a_broken_file_is_one_line(tmp_path, name):
    write(tmp_path / "x", ARRAYS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:10])
    with pytest.raises(UserError, match="cannot be read") as error:
        tensorflow_checkpoint.read(tmp_path / "x")["a/w"].read()
    assert "\n" not in str(error.value)
