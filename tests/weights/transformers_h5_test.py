"""tf_model.h5, against what transformers' TensorFlow classes wrote and computed."""

import json
import pathlib

import h5py
import numpy as np
import pytest

import tfzoo
from tests.weights import tiny
from tests.weights.make_goldens import fill, inputs
from tfzoo.core.errors import UserError
from tfzoo.layers.positions import sinusoids
from tfzoo.weights import layouts, transformers_h5

GOLDENS = json.loads((pathlib.Path(__file__).parent / "goldens/tf_model.json").read_text())


def write(folder, case="BertForPreTraining", **change):
    """A folder as transformers 4 left it, its weights filled as they were for the golden."""
    golden = GOLDENS[case]
    (folder / "config.json").write_text(json.dumps(golden["config"] | change))
    with h5py.File(folder / "tf_model.h5", "w") as file:
        layers = list(dict.fromkeys(layer for layer, _, _ in golden["weights"]))
        file.attrs["layer_names"] = [layer.encode() for layer in (*layers, "dropout_3")]
        file.attrs["backend"] = b"tensorflow"
        file.create_group("dropout_3").attrs["weight_names"] = np.zeros((0,))
        for layer in layers:
            weights = [(name, shape) for where, name, shape in golden["weights"] if where == layer]
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, shape in weights:
                group[name] = value(name, shape)
    return folder


def value(name, shape):
    """What is stored: Marian's positions are computed, all else is filled."""
    computed = "marian" in name and "embed_positions" in name
    return sinusoids(*shape, False) if computed else fill(name, shape)


def write_shards(folder, case="BertForPreTraining"):
    golden = GOLDENS[case]
    weights = {name: fill(name, shape) for _, name, shape in golden["weights"]}
    places = {name: f"tf_model-0000{i % 2 + 1}-of-00002.h5" for i, name in enumerate(weights)}
    (folder / "config.json").write_text(json.dumps(golden["config"]))
    (folder / "tf_model.h5.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": places})
    )
    for shard in set(places.values()):
        names = [name for name, place in places.items() if place == shard]
        with h5py.File(folder / shard, "w") as file:
            inside = [name.partition("/")[2] for name in names]
            file.attrs["layer_names"] = [name.encode() for name in inside]
            for name, place in zip(names, inside, strict=True):
                file[place] = weights[name]
    return folder


def difference(loaded, case, goldens=GOLDENS):
    given = inputs(case)
    if "segment_ids" in loaded.model.input:
        given["segment_ids"] = np.zeros_like(given["token_ids"])
    found, wanted = loaded.model(given), goldens[case]["outputs"]
    assert set(wanted) <= set(found)
    mask = next(given[n] for n in ("decoder_padding_mask", *given) if n in given and "mask" in n)
    mask = mask.astype(bool)
    differences = []
    for name, values in wanted.items():
        ours, theirs = np.asarray(found[name]), np.array(values)
        assert ours.shape == theirs.shape
        if theirs.shape[:2] == mask.shape:
            ours, theirs = ours[mask], theirs[mask]
        differences.append(np.abs(ours - theirs).max())
    return max(differences)


@pytest.mark.parametrize("case", GOLDENS)
def test_a_model_computes_what_the_tensorflow_class_computed(case, tmp_path):
    # TFOpenAIGPT took "gelu" for the exact form; OpenAI's code and PyTorch's class, for the other.
    change = {"activation": "gelu"} if case.startswith("OpenAI") else {}
    assert difference(tfzoo.load(write(tmp_path, case), **change), case) < 1e-5


def test_shards_are_read_as_one(tmp_path):
    loaded = tfzoo.load(write_shards(tmp_path))
    assert difference(loaded, "BertForPreTraining") < 1e-5


def test_a_list_of_names_in_pieces_is_read_whole(tmp_path):
    with h5py.File(write(tmp_path) / "tf_model.h5", "a") as file:
        names = list(file["bert"].attrs["weight_names"])
        del file["bert"].attrs["weight_names"]
        for i in range(3):
            file["bert"].attrs[f"weight_names{i}"] = names[i * 10 : i * 10 + 10 if i < 2 else None]
    assert difference(tfzoo.load(tmp_path), "BertForPreTraining") < 1e-5


def test_no_weight_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", None)
    tensors = transformers_h5.read(tmp_path)
    assert tensors["bert.encoder.layer.0.intermediate.dense.weight"].shape == (12, 8)


def test_names_of_transformers_2_are_read(tmp_path):
    write(tmp_path, architectures=["TFBertForPreTraining"])
    assert layouts.read(tmp_path).values["architectures"] == ["BertForPreTraining"]


def test_safetensors_go_first(tmp_path):
    write(tmp_path)
    tiny.write(tmp_path)
    assert layouts.read(tmp_path).tensors["bert.pooler.dense.bias"].name == "bert.pooler.dense.bias"


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


KERNEL = "bert/tf_bert_for_pre_training/bert/pooler/dense/kernel:0"


def test_what_does_not_fit_lists_both_sides(tmp_path):
    with h5py.File(write(tmp_path) / "tf_model.h5", "a") as file:
        group = file["bert"]
        kernel = fill("x", (8, 9))
        del group[KERNEL.partition("/")[2]]
        group[KERNEL.partition("/")[2]] = kernel
        names = [n for n in group.attrs["weight_names"] if not n.endswith("pooler/dense/bias:0")]
        group.attrs["weight_names"] = [*names, "tf_bert_for_pre_training/bert/odd/kernel:0"]
        del group["tf_bert_for_pre_training/bert/pooler/dense/bias:0"]
        group["tf_bert_for_pre_training/bert/odd/kernel:0"] = kernel
    message = refused(tmp_path)
    assert "missing from the checkpoint: bert.pooler.dense.bias (our pooler/bias)" in message
    assert "unexpected in the checkpoint: tf_bert_for_pre_training/bert/odd/kernel:0" in message
    assert f"{KERNEL.partition('/')[2]} (our pooler/kernel) [9, 8], not [8, 8]" in message


def test_a_file_that_is_cut_off_is_one_line(tmp_path):
    path = write(tmp_path) / "tf_model.h5"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "tf_model.h5 cannot be read; it may be cut off" in refused(tmp_path)
    path.write_bytes(b"")
    assert "tf_model.h5 cannot be read; it may be cut off" in refused(tmp_path)


def test_a_weight_that_the_file_does_not_list_is_refused(tmp_path):
    with h5py.File(write(tmp_path) / "tf_model.h5", "a") as file:
        file["bert/odd:0"] = np.zeros(3)
    assert "it does not list bert/odd:0" in refused(tmp_path)


def test_a_file_of_another_program_is_refused(tmp_path):
    write(tmp_path)
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file["x"] = np.zeros(3)
    assert "or not be of transformers" in refused(tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path):
    (write_shards(tmp_path) / "tf_model-00002-of-00002.h5").unlink()
    assert "names the file tf_model-00002-of-00002.h5, which is missing" in refused(tmp_path)
