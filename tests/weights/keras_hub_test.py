"""KerasHub's presets, written here by keras-hub itself."""

import json

import h5py
import numpy as np
import pytest

import tfzoo
from tfzoo.core.errors import UserError
from tfzoo.weights import keras_hub

SIZES = {
    "vocabulary_size": 23,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 12,
    "intermediate_dim": 20,
    "max_sequence_length": 15,
}
NO_LIMIT = {key: value for key, value in SIZES.items() if key != "max_sequence_length"}
BACKBONES = {
    "Bert": SIZES,
    "DistilBert": SIZES,
    "Roberta": SIZES,
    "GPT2": SIZES,
    "Bart": SIZES,
    "Bloom": {**NO_LIMIT, "intermediate_dim": 48},
    "T5": NO_LIMIT,
    "T5 as in 1.0": {**NO_LIMIT, "use_gated_activation": False, "key_value_dim": 5},
    "T5 as in 1.1": {**NO_LIMIT, "activation": "gelu", "tie_embedding_weights": False},
}
IDS = np.array([[5, 7, 9, 11, 3, 8], [2, 4, 6, 1, 1, 1]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], np.int32)


def drawn(model, seed=0):
    """A model of KerasHub whose weights, norms and biases too, are all drawn."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" not in weight.path:
            values = generator.normal(size=weight.shape) * 0.2
            is_gain = "norm" in weight.path and weight.path.endswith(("gamma", "weight"))
            weight.assign(values + 1 if is_gain else values)
    return model


def backbone(case):
    import keras_hub

    return drawn(getattr(keras_hub.models, f"{case.split()[0]}Backbone")(**BACKBONES[case]))


def difference(found, wanted, mask=MASK):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).all()
    is_per_token = found.shape[:2] == mask.shape
    where = mask.astype(bool) if is_per_token else slice(None)
    return float(np.abs(found - wanted)[where].max())


@pytest.mark.parity
@pytest.mark.filterwarnings(r"ignore:Layer '\w+' \(of type T5")  # KerasHub's own
@pytest.mark.parametrize("case", BACKBONES)
def test_a_backbone_computes_what_keras_hub_computes(case, tmp_path):
    theirs = backbone(case)
    theirs.save_to_preset(str(tmp_path / "preset"))
    ours = tfzoo.load(f"keras_hub:{tmp_path / 'preset'}", head="none").model
    if "encoder_token_ids" in ours.input:
        given = {
            f"{side}_{name}": value
            for side in ("encoder", "decoder")
            for name, value in (("token_ids", IDS), ("padding_mask", MASK))
        }
        wanted, found = theirs(given), ours(given)
        names = {"sequence": "decoder_sequence_output"}
        names["encoder_sequence"] = "encoder_sequence_output"
        for mine, name in names.items():
            assert difference(found[mine], wanted[name]) < 1e-5
        return
    given = {"token_ids": IDS, "padding_mask": MASK, "segment_ids": IDS % 2}
    found = ours({name: given[name] for name in ours.input})
    wanted = theirs({tensor.name: given[tensor.name] for tensor in theirs.inputs})
    if isinstance(wanted, dict):
        assert difference(found["pooled"], wanted["pooled_output"]) < 1e-5
        wanted = wanted["sequence_output"]
    assert difference(found["sequence"], wanted) < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize("case", ["GPT2CausalLM", "BloomCausalLM", "BartSeq2SeqLM"])
def test_a_language_model_computes_what_keras_hub_computes(case, tmp_path):
    import keras_hub

    family = case.removesuffix("CausalLM").removesuffix("Seq2SeqLM")
    theirs = getattr(keras_hub.models, case)(backbone=backbone(family), preprocessor=None)
    theirs.save_to_preset(str(tmp_path))
    ours = tfzoo.load(tmp_path).model
    given = {"token_ids": IDS, "padding_mask": MASK}
    if family == "Bart":
        given = {f"{s}_{n}": v for s in ("encoder", "decoder") for n, v in given.items()}
    assert difference(ours(given)["logits"], theirs(given)) < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize(
    "case",
    ["BertTextClassifier", "DistilBertTextClassifier", "RobertaTextClassifier", "RobertaMaskedLM"],
)
def test_a_head_computes_what_keras_hub_computes(case, tmp_path):
    import keras_hub

    family, _, kind = case.partition("Text" if "Text" in case else "Masked")
    more = {"num_classes": 5} if kind == "Classifier" else {}
    theirs = getattr(keras_hub.models, case)(backbone=backbone(family), preprocessor=None, **more)
    drawn(theirs).save_to_preset(str(tmp_path))
    loaded = tfzoo.load(tmp_path)
    given = {"token_ids": IDS, "padding_mask": MASK, "segment_ids": IDS % 2}
    found = loaded.model({name: given[name] for name in loaded.model.input})["logits"]
    inputs = {t.name: given[t.name] for t in theirs.inputs if t.name in given}
    if kind == "LM":
        inputs["mask_positions"] = np.array([[0, 3], [1, 2]], np.int32)
        found = np.take_along_axis(np.asarray(found), inputs["mask_positions"][:, :, None], 1)
    assert difference(found, theirs(inputs), np.ones((2, 2))) < 1e-5
    if kind == "Classifier":
        assert loaded.labels == tuple(f"LABEL_{i}" for i in range(5))
        plain = tfzoo.load(tmp_path, head="none").model
        assert "logits" not in plain.output


# Without keras-hub: a preset of one block, made by hand.

BLOCK = {
    "_self_attention_layer/query_dense": ((4, 2, 2), (2, 2)),
    "_self_attention_layer/key_dense": ((4, 2, 2), (2, 2)),
    "_self_attention_layer/value_dense": ((4, 2, 2), (2, 2)),
    "_self_attention_layer/output_dense": ((2, 2, 4), (4,)),
    "_self_attention_layer_norm": ((4,), (4,)),
    "_feedforward_intermediate_dense": ((4, 6), (6,)),
    "_feedforward_output_dense": ((6, 4), (4,)),
    "_feedforward_layer_norm": ((4,), (4,)),
}
LAYERS = {
    "reversible_embedding": ((7, 4),),
    "position_embedding": ((5, 4),),
    "embedding": ((2, 4),),
    "layer_normalization": ((4,), (4,)),
    "dense": ((4, 4), (4,)),
    **{f"transformer_encoder/{place}": shapes for place, shapes in BLOCK.items()},
}
CONFIG = {
    "name": "bert_backbone",
    "trainable": True,
    "dtype": "float32",
    "vocabulary_size": 7,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 4,
    "intermediate_dim": 6,
    "dropout": 0.1,
    "max_sequence_length": 5,
    "num_segments": 2,
}


def write(folder, class_name="BertBackbone", **change):
    folder.mkdir(exist_ok=True)
    values = {"class_name": class_name, "config": CONFIG | change}
    (folder / "config.json").write_text(json.dumps(values))
    generator = np.random.default_rng(0)
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for layer, shapes in LAYERS.items():
            for i, shape in enumerate(shapes):
                file[f"layers/{layer}/vars/{i}"] = generator.normal(size=shape).astype("float32")
        file["optimizer/vars/0"] = np.zeros((), np.int64)
    return folder


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_preset_is_loaded_without_keras_hub(tmp_path):
    loaded = tfzoo.load(write(tmp_path))
    assert (loaded.config.head, loaded.config.activation) == ("none", "gelu_tanh")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        stored = file["layers/transformer_encoder/_self_attention_layer/key_dense/vars/0"][()]
    kernel = loaded.model.get_layer("block_0").attention.qkv.kernel
    np.testing.assert_array_equal(np.asarray(kernel)[:, 4:8], stored.reshape(4, 4))


def test_no_weight_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", None)
    assert len(keras_hub.read(tmp_path)[1]) == sum(map(len, LAYERS.values()))


def test_what_does_not_fit_lists_both_sides(tmp_path):
    with h5py.File(write(tmp_path) / "model.weights.h5", "a") as file:
        file.move("layers/dense/vars/1", "layers/odd/vars/0")
        del file["layers/embedding/vars/0"]
        file["layers/embedding/vars/0"] = np.zeros((3, 4), np.float32)
    message = refused(tmp_path)
    assert "missing from the checkpoint: bert.pooler.dense.bias (our pooler/bias)" in message
    assert "unexpected in the checkpoint: layers/odd/vars/0" in message
    assert "layers/embedding/vars/0 (our segment_embedding/embeddings) [3, 4], not" in message


@pytest.mark.parametrize(
    ("class_name", "change", "message"),
    [
        ("AlbertBackbone", {}, "Received: class_name='AlbertBackbone'"),
        ("Bert", {}, "Received: class_name='Bert'"),
        ("BertBackbone", {"rotary": 3}, "has the key `rotary`"),
        ("BertBackbone", {"num_layers": "x"}, "num_layers must be a whole number"),
        ("BloomBackbone", {"layer_norm_epsilon": 1e-5}, "has the key `max_sequence_length`"),
        ("T5Backbone", {}, "has the key `max_sequence_length`"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, class_name, change, message):
    assert message in refused(write(tmp_path, class_name, **change))


def task(folder, class_name, **config):
    (folder / "task.json").write_text(json.dumps({"class_name": class_name, "config": config}))
    with h5py.File(folder / "task.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((4, 3), np.float32)
        file["layers/dense/vars/1"] = np.zeros((3,), np.float32)
    return folder


def test_the_head_of_a_task_is_loaded(tmp_path):
    folder = task(write(tmp_path), "BertTextClassifier", num_classes=3, activation="linear")
    assert tfzoo.load(folder).config.num_labels == 3
    folder = task(write(tmp_path), "BertClassifier", num_classes=3)  # as KerasNLP called it
    assert tfzoo.load(folder).config.head == "classification"


def test_a_task_that_is_not_supported_is_refused_by_name(tmp_path):
    write(tmp_path)
    assert "class_name='BertPairScorer'" in refused(task(tmp_path, "BertPairScorer"))
    assert "class_name='BertMaskedLM'" in refused(task(tmp_path, "BertMaskedLM"))
    softmax = task(tmp_path, "BertTextClassifier", num_classes=3, activation="softmax")
    assert "Received: 'softmax'" in refused(softmax)


def test_a_file_that_is_missing_or_cut_off_is_one_line(tmp_path):
    path = write(tmp_path) / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:1000])
    assert "model.weights.h5 cannot be read; it may be cut off" in refused(tmp_path)
    path.unlink()
    assert "model.weights.h5 is missing; a preset in several files is not read" in refused(tmp_path)
