"""Hugging Face folders: names of weights, heads, ties, and writing them back."""

import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import tfzoo
from tests.weights import tiny
from tfzoo.core.errors import UserError
from tfzoo.layers.positions import sinusoids
from tfzoo.models import bert, transformer
from tfzoo.weights import hugging_face, strict
from tfzoo.weights.stored import StoredTensor

LAYOUT = tiny.LAYOUT
DECODER = "cls.predictions.decoder"
WORDS = "bert.embeddings.word_embeddings.weight"


def build(folder, **arguments):
    plan = hugging_face.plan(folder, LAYOUT, **arguments)

    def make():
        return tfzoo.build("bert", **plan.fields)

    def is_fresh(path):
        name = next(n for rule in bert.RENAMES if (n := rule.match(path)))[0]
        return bool(plan.fresh) and name.startswith(plan.fresh)

    return strict.build(make, LAYOUT.renames, plan.tensors, str(folder), is_fresh)[0]


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def same(first, second):
    assert set(first) == set(second)
    return all(np.array_equal(first[name], second[name]) for name in first)


def refused(folder, **arguments):
    with pytest.raises(UserError) as error:
        build(folder, **arguments)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


@pytest.fixture
def wanted(tmp_path):
    return values(build(tiny.write(tmp_path / "wanted", "BertForPreTraining")))


@pytest.mark.parametrize("head", [head for head in LAYOUT.heads])
def test_every_head_is_read_and_written_back(tmp_path, head):
    class_name = LAYOUT.heads[head][0]
    prefixes = ("bert.", *LAYOUT.head_weights(head))
    stored = tiny.weights(*prefixes, classes=1 if head == "multiple_choice" else 2)
    if head in ("masked_lm", "token_classification", "question_answering"):
        stored = {name: array for name, array in stored.items() if "pooler" not in name}
    model = build(tiny.write(tmp_path / "in", class_name, stored))
    assert model.config.head == head
    (tmp_path / "out").mkdir()
    hugging_face.write(tmp_path / "out", model, LAYOUT, None)
    written = safetensors.numpy.load_file(tmp_path / "out/model.safetensors")
    if head == "none":
        stored = {name.removeprefix("bert."): array for name, array in stored.items()}
    assert same(written, stored)
    assert same(values(build(tmp_path / "out")), values(model))


def test_legacy_names_mean_the_same(tmp_path, wanted):
    legacy = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in tiny.weights("bert.", "cls.").items()
    }
    legacy["bert.embeddings.position_ids"] = np.arange(12)[None]
    assert sum("gamma" in name for name in legacy) == 4
    assert same(values(build(tiny.write(tmp_path / "x", "BertForPreTraining", legacy))), wanted)


def test_names_of_the_bare_encoder_mean_the_same(tmp_path):
    encoder = tiny.weights("bert.")
    bare = {name.removeprefix("bert."): array for name, array in encoder.items()}
    bare["embeddings.position_ids"] = np.arange(12)[None]
    first = build(tiny.write(tmp_path / "bare", tensors=bare))
    second = build(tiny.write(tmp_path / "prefixed", tensors=encoder))
    assert same(values(first), values(second))


def test_one_weight_under_two_names_is_refused(tmp_path):
    both = tiny.weights("bert.")
    both["bert.embeddings.LayerNorm.gamma"] = both["bert.embeddings.LayerNorm.weight"]
    assert "one weight twice" in refused(tiny.write(tmp_path / "x", tensors=both))


@pytest.mark.parametrize("ids", [np.arange(12)[None] + 1, np.zeros((1, 12), np.float32)])
def test_position_ids_that_do_not_count_are_refused(tmp_path, ids):
    tensors = {**tiny.weights("bert."), "bert.embeddings.position_ids": ids}
    assert "must hold 0, 1, 2, ..." in refused(tiny.write(tmp_path / "x", tensors=tensors))


def test_a_tied_repetition_must_repeat(tmp_path, wanted):
    tensors = tiny.weights("bert.", "cls.")
    tensors[f"{DECODER}.weight"] = tensors[WORDS].copy()
    tensors[f"{DECODER}.bias"] = tensors["cls.predictions.bias"].copy()
    path = tiny.write(tmp_path / "x", "BertForPreTraining", tensors)
    assert same(values(build(path)), wanted)
    tensors[f"{DECODER}.weight"][3, 3] += 1e-7
    message = refused(tiny.write(tmp_path / "x", "BertForPreTraining", tensors))
    assert f"ties {DECODER}.weight to {WORDS}" in message and "tie_word_embeddings" in message


def test_a_weight_stored_only_under_its_second_name_is_found(tmp_path, wanted):
    tensors = tiny.weights("bert.", "cls.")
    tensors[f"{DECODER}.bias"] = tensors.pop("cls.predictions.bias")
    path = tiny.write(tmp_path / "x", "BertForPreTraining", tensors)
    assert same(values(build(path)), wanted)


def test_untied_outputs_are_weights_of_their_own(tmp_path):
    tensors = tiny.weights("bert.", "cls.")
    tensors[f"{DECODER}.weight"] = tensors[WORDS] + 1
    tensors[f"{DECODER}.bias"] = tensors["cls.predictions.bias"] + 1
    path = tiny.write(tmp_path / "x", "BertForPreTraining", tensors, tie_word_embeddings=False)
    model = build(path)
    assert np.array_equal(values(model)["mlm_output/kernel"], tensors[f"{DECODER}.weight"].T)
    (tmp_path / "out").mkdir()
    hugging_face.write(tmp_path / "out", model, LAYOUT, None)
    assert same(values(build(tmp_path / "out")), values(model))
    del tensors[f"{DECODER}.weight"]
    path = tiny.write(tmp_path / "x", "BertForPreTraining", tensors, tie_word_embeddings=False)
    assert f"missing from the checkpoint: {DECODER}.weight" in refused(path)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-3), (ml_dtypes.bfloat16, 2e-2)])
def test_half_precision_becomes_float32_with_the_stored_values(tmp_path, dtype, tolerance):
    tensors = {name: array.astype(dtype) for name, array in tiny.weights("bert.").items()}
    model = build(tiny.write(tmp_path / "x", tensors=tensors, dtype="float16"))
    table = values(model)["token_embedding/embeddings"]
    assert table.dtype == np.float32
    assert np.array_equal(table, tensors[WORDS].astype(np.float32))
    assert 0 < np.abs(table - tiny.weights(WORDS)[WORDS]).max() < tolerance


@pytest.mark.parametrize("dtype", [np.int8, np.float64])
def test_other_types_are_refused(tmp_path, dtype):
    tensors = tiny.weights("bert.")
    tensors[WORDS] = tensors[WORDS].astype(dtype)
    assert f"not F32, F16 or BF16: {WORDS}" in refused(tiny.write(tmp_path / "x", tensors=tensors))


# Which head a folder holds.


def test_bert_base_uncased_declares_less_than_it_holds(tmp_path):
    # google-bert/bert-base-uncased: BertForMaskedLM in config.json, all of BertForPreTraining.
    path = tiny.write(tmp_path / "x", "BertForMaskedLM", tiny.weights("bert.", "cls."))
    assert build(path).config.head == "pretraining"
    masked_lm = build(path, head="masked_lm")
    assert masked_lm.config.head == "masked_lm" and not masked_lm.config.pooler


def test_without_architectures_the_weights_decide_where_they_can(tmp_path):
    path = tiny.write(tmp_path / "x", "BertForPreTraining")
    tiny.change(path, architectures=...)
    assert build(path).config.head == "pretraining"
    path = tiny.write(tmp_path / "y", "BertForSequenceClassification")
    tiny.change(path, architectures=None)
    message = refused(path)
    assert "does not say which head" in message and "classifier.*" in message
    assert build(path, head="classification").config.head == "classification"


def test_an_encoder_without_pooler_has_none(tmp_path):
    stored = {n: a for n, a in tiny.weights("bert.").items() if "pooler" not in n}
    model = build(tiny.write(tmp_path / "x", tensors=stored))
    assert not model.config.pooler and set(model.output) == {"sequence"}


def test_a_pooler_that_the_head_does_not_read_is_left_out(tmp_path):
    path = tiny.write(tmp_path / "x", "BertForTokenClassification", tiny.weights("bert.", "classi"))
    model = build(path)
    assert not model.config.pooler
    assert not [name for name in values(model) if name.startswith("pooler")]


def test_declared_heads_are_never_random(tmp_path):
    path = tiny.write(tmp_path / "x", "BertForSequenceClassification", tiny.weights("bert."))
    assert "holds no weights for head=classification" in refused(path)
    assert build(path, head="none").config.head == "none"
    model = build(path, head="classification", new_head=True, num_labels=5)
    assert values(model)["classifier/kernel"].shape == (8, 5)
    assert np.array_equal(values(model)["classifier/bias"], np.zeros(5))


def test_an_undeclared_head_is_never_dropped(tmp_path):
    path = tiny.write(tmp_path / "x", "BertModel", tiny.weights("bert.", "classifier"))
    assert "2 unexpected in the checkpoint: " in refused(path)
    assert build(path, head="none").config.head == "none"


def test_a_classifier_of_texts_is_not_one_of_tokens(tmp_path):
    path = tiny.write(tmp_path / "x", "BertForSequenceClassification")
    assert "holds head classification" in refused(path, head="token_classification")
    build(path, head="token_classification", new_head=True, num_labels=2)


def test_a_new_head_over_a_pooler_that_is_not_stored_is_new_too(tmp_path):
    stored = {n: a for n, a in tiny.weights("bert.", "cls.p").items() if "pooler" not in n}
    path = tiny.write(tmp_path / "x", "BertForMaskedLM", stored)
    found = values(build(path, head="classification", new_head=True, num_labels=2))
    assert np.array_equal(found["token_embedding/embeddings"], stored[WORDS])
    assert np.abs(found["pooler/kernel"]).max() < 0.1


@pytest.mark.parametrize(
    "architectures",
    [
        ["BertLMHeadModel"],
        ["Mine"],
        ["BertModel", "BertForMaskedLM"],
        "x",
    ],
)
def test_other_architectures_are_refused_by_name(tmp_path, architectures):
    path = tiny.write(tmp_path / "x")
    tiny.change(path, architectures=architectures)
    assert f"Received: architectures={architectures!r}" in refused(path)
    assert build(path, head="none").config.head == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 12}, "[11, 8], not [12, 8]"),
        ({"num_hidden_layers": 2}, "16 missing from the checkpoint"),
        ({"num_hidden_layers": 0}, "16 unexpected in the checkpoint"),
        ({"hidden_size": 16}, "of another shape"),
        ({"type_vocab_size": 1}, "[2, 8], not [1, 8]"),
        ({"problem_type": "regression"}, None),
    ],
)
def test_a_config_of_another_size_is_refused(tmp_path, changes, message):
    path = tiny.write(tmp_path / "x", **changes)
    if message is None:
        build(path)  # it is a matter of the classification head alone
    else:
        assert message in refused(path)


def test_a_value_without_a_word_in_transformers_is_not_written(tmp_path):
    config = bert.BertConfig(activation="gelu")
    object.__setattr__(config, "activation", "square")
    with pytest.raises(UserError, match="transformers has no hidden_act for our activation"):
        hugging_face.config.values(config, LAYOUT, None, 0)


def test_config_json_is_complete(tmp_path):
    model = build(tiny.write(tmp_path / "x", "BertForSequenceClassification"))
    (tmp_path / "out").mkdir()
    hugging_face.write(tmp_path / "out", model, LAYOUT, ("a", "b"), pad_id=4)
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert {key: written[key] for key in tiny.CONFIG if key != "architectures"} == {
        key: value for key, value in tiny.CONFIG.items() if key != "architectures"
    }
    assert written["id2label"] == {"0": "a", "1": "b"} and written["pad_token_id"] == 4


def test_other_values_untie_where_the_values_decide(tmp_path):
    layout = dataclasses.replace(LAYOUT, untied_by_values=True)
    tensors = tiny.weights("bert.", "cls.")
    for values_of_twin, tied in ((tensors[WORDS].copy(), True), (tensors[WORDS] + 1, False)):
        stored = {**tensors, f"{DECODER}.weight": values_of_twin}
        plan = hugging_face.plan(tiny.write(tmp_path / "x", "BertForPreTraining", stored), layout)
        assert plan.fields.get("tied_output", True) == tied
        assert (f"{DECODER}.weight" in plan.tensors) == (not tied)


def test_copies_are_read_once_and_must_agree(tmp_path):
    copy = "bert.copy.weight"
    layout = dataclasses.replace(LAYOUT, copies={copy: WORDS})
    tensors = tiny.weights("bert.")
    words = tensors[WORDS]
    plan = hugging_face.plan(tiny.write(tmp_path / "x", tensors=tensors | {copy: words}), layout)
    assert copy not in plan.tensors and WORDS in plan.tensors
    del tensors[WORDS]
    plan = hugging_face.plan(tiny.write(tmp_path / "x", tensors=tensors | {copy: words}), layout)
    assert np.array_equal(plan.tensors[WORDS].read(), words)
    tensors |= {WORDS: words, copy: words + 1}
    with pytest.raises(UserError, match=f"always one: {copy}, {WORDS}"):
        hugging_face.plan(tiny.write(tmp_path / "x", tensors=tensors), layout)


def test_only_bare_heads_are_written_without_the_prefix(tmp_path):
    model = build(tiny.write(tmp_path / "x", "BertForMaskedLM"))
    for bare, is_bare in ((("none",), False), (("none", "masked_lm"), True)):
        layout = dataclasses.replace(LAYOUT, bare=bare)
        folder = tmp_path / str(is_bare)
        folder.mkdir()
        hugging_face.write(folder, model, layout, None)
        names = set(safetensors.numpy.load_file(folder / "model.safetensors"))
        assert (WORDS in names) == (not is_bare)
        assert (WORDS.removeprefix("bert.") in names) == is_bare


@pytest.mark.parametrize(("error", "fine"), [(0.0, True), (1e-3, True), (1e-1, False)])
def test_a_table_that_every_model_computes_must_be_that_table(error, fine):
    name = "model.encoder.embed_positions.weight"
    table = sinusoids(5, 6, False)
    table[3, 2] += error
    tensors = {name: StoredTensor(name, "F32", table.shape, True, lambda: table)}
    if fine:
        assert hugging_face.canonical(tensors, transformer.HUGGING_FACE, "FOLDER") == {}
    else:
        with pytest.raises(UserError, match="must hold the table that every such model computes"):
            hugging_face.canonical(tensors, transformer.HUGGING_FACE, "FOLDER")
