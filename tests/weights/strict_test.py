"""Strict loading: all of a checkpoint, into all of a model."""

import keras
import numpy as np
import pytest

import tfzoo
from tests.weights import tiny
from tfzoo.core.errors import UserError
from tfzoo.core.renames import Rename
from tfzoo.models import bert
from tfzoo.weights import strict
from tfzoo.weights.stored import StoredTensor

SIZES = {
    "vocab_size": 11,
    "num_layers": 1,
    "num_heads": 2,
    "width": 8,
    "feed_forward_dim": 16,
    "max_length": 12,
}


def checkpoint(arrays):
    def tensor(name, array):
        is_float = array.dtype == np.float32
        return StoredTensor(name, str(array.dtype), array.shape, is_float, lambda: array)

    return {name: tensor(name, array) for name, array in arrays.items()}


def make():
    return tfzoo.build("bert", **SIZES)


def build(arrays, **more):
    return strict.build(make, bert.RENAMES, checkpoint(arrays), "FOLDER", **more)


def test_fused_and_transposed_weights_are_joined_and_split_again():
    arrays = tiny.weights("bert.")
    model, fresh = build(arrays)
    qkv = next(w for w in model.weights if w.path == "block_0/attention/qkv/kernel")
    names = [f"bert.encoder.layer.0.attention.self.{n}.weight" for n in ("query", "key", "value")]
    assert np.array_equal(qkv.numpy(), np.concatenate([arrays[n].T for n in names], axis=1))
    assert fresh == []
    back = {}
    for match in strict.matches(model, bert.RENAMES):
        back |= dict(zip(match.names, strict.split(match), strict=True))
    assert set(back) == set(arrays)
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_one_error_lists_everything_on_both_sides():
    arrays = tiny.weights("bert.")
    del arrays["bert.pooler.dense.bias"]
    arrays["bert.extra.weight"] = np.zeros(3, np.float32)
    arrays["bert.embeddings.LayerNorm.bias"] = np.zeros(9, np.float32)
    arrays["bert.embeddings.LayerNorm.weight"] = np.zeros(8, np.int64)
    with pytest.raises(UserError) as error:
        build(arrays)
    assert str(error.value) == (
        "The weights of FOLDER do not fit its config.json. "
        "1 missing from the checkpoint: bert.pooler.dense.bias (our pooler/bias). "
        "1 unexpected in the checkpoint: bert.extra.weight. "
        "1 of another shape: bert.embeddings.LayerNorm.bias (our embedding_norm/beta) [9], "
        "not [8]. "
        "1 not F32, F16 or BF16: bert.embeddings.LayerNorm.weight is int64."
    )


def test_long_lists_show_ten_of_each_side_and_count_the_rest():
    arrays = {f"bert.extra.{i:02}": np.zeros(1, np.float32) for i in range(30)}
    with pytest.raises(UserError) as error:
        build(arrays)
    message = str(error.value)
    assert "23 missing from the checkpoint" in message and "and 13 more (23 in all)" in message
    assert "30 unexpected" in message and "bert.extra.09; and 20 more (30 in all)" in message
    assert "bert.extra.10" not in message and "\n" not in message


def test_fresh_weights_keep_initial_values_and_are_named():
    arrays = tiny.weights("bert.")
    kept = {n: a for n, a in arrays.items() if "pooler" not in n}
    model, fresh = build(kept, is_fresh=lambda path: path.startswith("pooler/"))
    assert fresh == ["pooler/kernel", "pooler/bias"]
    kernel = next(w for w in model.weights if w.path == "pooler/kernel").numpy()
    assert 0 < np.abs(kernel).max() < 0.1


def test_a_fresh_weight_may_not_be_in_the_checkpoint():
    with pytest.raises(UserError, match="2 unexpected"):
        build(tiny.weights("bert."), is_fresh=lambda path: path.startswith("pooler/"))


def test_no_initial_value_is_drawn_for_what_is_read(monkeypatch):
    drawn = []
    original = keras.initializers.TruncatedNormal.__call__

    def count(self, shape, dtype=None):
        if not keras.src.backend.common.symbolic_scope.in_symbolic_scope():
            drawn.append(shape)
        return original(self, shape, dtype)

    monkeypatch.setattr(keras.initializers.TruncatedNormal, "__call__", count)
    build(tiny.weights("bert."))
    assert drawn == []
    make()
    assert drawn


def test_keras_can_build_models_after_a_failed_load():
    with pytest.raises(UserError):
        build({})

    def fail():
        raise UserError("cut off")

    arrays = checkpoint(tiny.weights("bert."))
    name = "bert.pooler.dense.bias"
    arrays[name] = StoredTensor(name, "F32", (8,), True, fail)
    with pytest.raises(UserError, match="cut off"):
        strict.build(make, bert.RENAMES, arrays, "FOLDER")
    with keras.StatelessScope():
        model = make()
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)


def test_a_loaded_model_trains_and_saves(tmp_path):
    model, _ = build(tiny.weights("bert."))
    inputs = {k: np.ones((2, 5), np.int32) for k in ("token_ids", "segment_ids", "padding_mask")}
    before = model(inputs)["pooled"].numpy()
    model.save(tmp_path / "x.keras")
    again = keras.models.load_model(tmp_path / "x.keras")
    assert np.array_equal(again(inputs)["pooled"], before)
    model.compile("sgd", loss={"pooled": "mse", "sequence": None})
    model.fit(inputs, {"pooled": np.zeros((2, 8))}, verbose=0)
    assert not np.array_equal(model(inputs)["pooled"], before)


def test_without_rules_names_are_our_paths():
    source = make()
    arrays = {weight.path: weight.numpy() for weight in source.weights}
    model, _ = strict.build(make, None, checkpoint(arrays), "FOLDER")
    for ours, theirs in zip(model.weights, source.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    arrays["x/kernel"] = arrays.pop("pooler/kernel")
    with pytest.raises(UserError, match=r"missing from the checkpoint: pooler/kernel\. .*x/kernel"):
        strict.build(make, None, checkpoint(arrays), "FOLDER")


def test_wild_sizes_take_no_memory():
    def make_huge():
        return tfzoo.build("bert", **{**SIZES, "vocab_size": 10**12})

    with pytest.raises(UserError, match=r"\[11, 8\], not \[1000000000000, 8\]"):
        strict.build(make_huge, bert.RENAMES, checkpoint(tiny.weights("bert.")), "FOLDER")
    build(tiny.weights("bert."))


class Qkv:
    """A model of one fused weight, as far as loading looks at one."""

    def __init__(self, num_heads, shape):
        self.config = type("Config", (), {"num_heads": num_heads})()
        layer = keras.layers.Dense(shape[-1], name="qkv")
        layer.build((None, shape[0]))
        self.weights = self.variables = layer.weights


@pytest.mark.parametrize("num_heads", [1, 2, 3])
def test_interleaved_heads_are_regrouped_and_back(num_heads):
    width, head_dim = 6, 6 // num_heads
    rules = (
        Rename("qkv/kernel", ("qkv.weight",), transpose=True, interleaved=True),
        Rename("qkv/bias", ("qkv.bias",), interleaved=True),
    )
    kernel = np.arange(3 * width * width, dtype=np.float32).reshape(3 * width, width)
    bias = np.arange(3 * width, dtype=np.float32)
    arrays = {"qkv.weight": kernel, "qkv.bias": bias}
    model, _ = strict.build(
        lambda: Qkv(num_heads, (width, 3 * width)), rules, checkpoint(arrays), "FOLDER"
    )
    ours_kernel, ours_bias = (weight.numpy() for weight in model.weights)
    for head in range(num_heads):
        for part in range(3):  # query, key, value
            theirs = slice((head * 3 + part) * head_dim, (head * 3 + part + 1) * head_dim)
            ours = slice(part * width + head * head_dim, part * width + (head + 1) * head_dim)
            assert np.array_equal(ours_kernel[:, ours], kernel[theirs].T)
            assert np.array_equal(ours_bias[ours], bias[theirs])
    back = {m.names[0]: strict.split(m)[0] for m in strict.matches(model, rules)}
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_a_row_loses_its_first_axis_and_gets_it_back():
    rules = (Rename("qkv/kernel", ("w",)), Rename("qkv/bias", ("b",), row=True))
    arrays = {"w": np.ones((2, 3), np.float32), "b": np.array([[1, 2, 3]], np.float32)}
    model, _ = strict.build(lambda: Qkv(1, (2, 3)), rules, checkpoint(arrays), "FOLDER")
    match = list(strict.matches(model, rules))[1]
    assert match.variable.numpy().tolist() == [1, 2, 3]
    assert strict.split(match)[0].tolist() == [[1, 2, 3]]
    arrays["b"] = arrays["b"][0]
    with pytest.raises(UserError, match=r"b \(our qkv/bias\) \[3\], not \[1, 3\]"):
        strict.build(lambda: Qkv(1, (2, 3)), rules, checkpoint(arrays), "FOLDER")
