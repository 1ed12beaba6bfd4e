"""flax_model.msgpack, against what transformers' Flax classes wrote and computed."""

import json
import pathlib

import numpy as np
import pytest

import tfzoo
from tests.weights.make_goldens import fill
from tests.weights.msgpack_file_test import pack
from tests.weights.transformers_h5_test import difference
from tfzoo.core.errors import UserError
from tfzoo.weights import layouts, transformers_flax

GOLDENS = json.loads((pathlib.Path(__file__).parent / "goldens/flax_model.json").read_text())


def nested(flat):
    tree = {}
    for name, value in flat.items():
        *scopes, last = name.split("/")
        place = tree
        for scope in scopes:
            place = place.setdefault(scope, {})
        place[last] = value
    return tree


def arrays(case):
    return {name: fill(name, shape) for name, shape in GOLDENS[case]["weights"]}


def write(folder, case="BertForPreTraining", weights=None, **change):
    """A folder as transformers 4 left it, its weights filled as they were for the golden."""
    weights = arrays(case) if weights is None else weights
    (folder / "flax_model.msgpack").write_bytes(pack(nested(weights)))
    (folder / "config.json").write_text(json.dumps(GOLDENS[case]["config"] | change))
    return folder


@pytest.mark.parametrize("case", GOLDENS)
def test_a_model_computes_what_the_flax_class_computed(case, tmp_path):
    assert difference(tfzoo.load(write(tmp_path, case)), case, GOLDENS) < 1e-5


def test_shards_are_read_as_one(tmp_path):
    case = "BertForSequenceClassification"
    weights = arrays(case)
    places = {n: f"flax_model-0000{i % 2 + 1}-of-00002.msgpack" for i, n in enumerate(weights)}
    for shard in set(places.values()):
        part = {name: value for name, value in weights.items() if places[name] == shard}
        (tmp_path / shard).write_bytes(pack(nested(part)))
    index = {"metadata": {}, "weight_map": places}
    (tmp_path / "flax_model.msgpack.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(GOLDENS[case]["config"]))
    assert difference(tfzoo.load(tmp_path), case, GOLDENS) < 1e-5


def test_names_of_flax_classes_are_read(tmp_path):
    write(tmp_path, architectures=["FlaxBertForPreTraining"])
    assert layouts.read(tmp_path).values["architectures"] == ["BertForPreTraining"]


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_lists_both_sides(tmp_path):
    weights = arrays("BertForPreTraining")
    weights["bert/odd/kernel"] = weights.pop("bert/pooler/dense/kernel")
    weights["bert/pooler/dense/bias"] = np.zeros(9, np.float32)
    message = refused(write(tmp_path, weights=weights))
    assert "missing from the checkpoint: bert.pooler.dense.weight (our pooler/kernel)" in message
    assert "unexpected in the checkpoint: bert/odd/kernel" in message
    assert "bert/pooler/dense/bias (our pooler/bias) [9], not [8]" in message


def test_one_weight_under_two_names_is_refused(tmp_path):
    weights = arrays("BertForPreTraining")
    weights["bert/embeddings/LayerNorm/weight"] = weights["bert/embeddings/LayerNorm/scale"]
    assert "holds one weight twice" in refused(write(tmp_path, weights=weights))


def test_what_is_no_array_is_refused(tmp_path):
    (write(tmp_path) / "flax_model.msgpack").write_bytes(pack({"a": {"b": 3}}))
    with pytest.raises(UserError, match=r"must hold arrays alone\. Received: a/b=3"):
        transformers_flax.read(tmp_path)
