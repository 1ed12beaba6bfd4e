"""config.json of transformers: each key is used, known, or refused by name."""

import dataclasses
import json

import pytest

from tests.weights import tiny
from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import Alias
from tfzoo.models.bert import BertConfig
from tfzoo.weights import hugging_face_config as config

# The config.json of google-bert/bert-base-multilingual-cased and of a model that transformers 2.3
# wrote, with every key they have.
MULTILINGUAL = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 119547,
}
OLD = {
    **MULTILINGUAL,
    "do_sample": False,
    "eos_token_ids": 0,
    "finetuning_task": None,
    "is_decoder": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beams": 1,
    "num_labels": 2,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_past": True,
    "pruned_heads": {},
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "torchscript": False,
    "use_bfloat16": False,
}


def fields(**changes):
    return config.fields({**tiny.CONFIG, **changes}, tiny.LAYOUT, "config.json")


def refused(**changes):
    with pytest.raises(UserError) as error:
        fields(**changes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("values", [MULTILINGUAL, OLD], ids=["multilingual", "old"])
def test_configs_of_published_models_are_read_whole(values):
    read = BertConfig(**config.fields(values, tiny.LAYOUT, "config.json"))
    assert read == BertConfig(vocab_size=119547)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("gelu", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("relu", "relu"),
        ("silu", "silu"),
        ("swish", "silu"),
    ],
)
def test_activations_are_translated(theirs, ours):
    assert fields(hidden_act=theirs)["activation"] == ours


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "roberta"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"is_encoder_decoder": True},
        {"hidden_act": "gelu_fast"},
        {"hidden_act": None},
        {"hidden_act": ["gelu"]},
        {"pruned_heads": {"0": [1]}},
        {"dtype": "float64"},
        {"torch_dtype": "int8"},
        {"quantization_config": {"bits": 4}},
        {"auto_map": {"AutoModel": "modeling.Mine"}},
        {"embedding_size": 128},
        {"tie_encoder_decoder": True},
    ],
)
def test_what_changes_the_model_is_refused_by_name(changes):
    message = refused(**changes)
    (key,) = changes
    assert key in message and "Received:" in message


def test_a_missing_or_null_classifier_dropout_is_the_hidden_one():
    assert fields(hidden_dropout_prob=0.3)["head_dropout"] == 0.3
    assert fields(hidden_dropout_prob=0.3, classifier_dropout=None)["head_dropout"] == 0.3
    assert fields(hidden_dropout_prob=0.3, classifier_dropout=0.0)["head_dropout"] == 0.0
    assert BertConfig(**fields(classifier_dropout=None)).head_dropout == 0.1


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {str(i): f"n{i}" for i in range(11)}}, tuple(f"n{i}" for i in range(11))),
        ({"id2label": {"0": 4, "1": 5}}, ("4", "5")),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"LABEL_0": 0}}, ("a", "b")),
    ],
)
def test_labels_in_the_order_of_their_numbers(values, wanted):
    assert config.labels(values, "config.json") == wanted


@pytest.mark.parametrize(
    "values",
    [
        {"id2label": {"0": "a", "2": "b"}},
        {"id2label": {"a": "0"}},
        {"id2label": ["a", "b"]},
        {"id2label": {}},
        {"id2label": {"0": "a", "1": "b"}, "num_labels": 3},
        {"num_labels": "3"},
        {"num_labels": 0},
        {"num_labels": True},
    ],
)
def test_labels_that_contradict_themselves_are_refused(values):
    with pytest.raises(UserError, match=r"config\.json: (id2label|num_labels)") as error:
        config.labels(values, "config.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("problem", "num_labels", "fine"),
    [
        (None, 2, True),
        ("single_label_classification", 3, True),
        (None, 1, False),
        ("regression", 1, False),
        ("multi_label_classification", 5, False),
        ("ranking", 5, False),
    ],
)
def test_only_one_label_out_of_many_is_classification(problem, num_labels, fine):
    def check():
        config.check_problem({"problem_type": problem}, num_labels, "config.json")

    if fine:
        check()
    else:
        with pytest.raises(UserError, match="problem_type="):
            check()


def test_what_is_written_is_read_back():
    ours = BertConfig(
        vocab_size=9,
        num_layers=3,
        num_heads=3,
        width=9,
        feed_forward_dim=5,
        max_length=7,
        num_segments=1,
        activation="gelu_tanh",
        dropout=0.2,
        attention_dropout=0.3,
        head_dropout=0.4,
        norm_epsilon=1e-6,
        initializer_range=0.5,
        head="classification",
        num_labels=2,
        tied_output=False,
    )
    values = json.loads(json.dumps(config.values(ours, tiny.LAYOUT, ("ja", "nein"), 3)))
    assert values["pad_token_id"] == 3
    assert values["architectures"] == ["BertForSequenceClassification"]
    assert config.labels(values, "config.json") == ("ja", "nein")
    again = config.fields(values, tiny.LAYOUT, "config.json")
    assert BertConfig(**again, head="classification") == ours


def test_a_file_without_model_type_is_no_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no `model_type`"):
        config.read(tmp_path)


@pytest.mark.parametrize("key", [*tiny.LAYOUT.fields, *config.HARMLESS, *config._READ_HERE, "new"])
def test_a_wild_value_of_any_key_is_read_or_is_one_line(key):
    for value in (None, "x", "é\n", -1, 0, 1.5, [], {}, True, 1e30, 10**12, [{}], {"a": 1}):
        values = {**tiny.CONFIG, key: value}
        try:
            models.config("bert", **config.fields(values, tiny.LAYOUT, "config.json"))
            config.labels(values, "config.json")
            config.check_problem(values, 2, "config.json")
        except UserError as error:
            assert "\n" not in str(error)


ALIASED = dataclasses.replace(
    tiny.LAYOUT, class_prefix="Bert", aliases={"zert": Alias("Zert", {"hidden_act": "relu"})}
)


def test_an_alias_is_the_architecture_with_other_defaults():
    values = {"model_type": "zert", "architectures": ["ZertForMaskedLM", "BertModel", 3]}
    found = config.unaliased(values, ALIASED)
    assert found["model_type"] == "bert"
    assert found["architectures"] == ["BertForMaskedLM", "BertModel", 3]
    assert config.fields(found, ALIASED, "FILE") == {"activation": "relu"}
    values["hidden_act"] = "silu"
    found = config.unaliased(values, ALIASED)
    assert config.fields(found, ALIASED, "FILE") == {"activation": "silu"}


def test_what_an_alias_never_reads_is_fixed():
    fixed = dataclasses.replace(
        tiny.LAYOUT, aliases={"zert": Alias("Zert", {}, {"hidden_act": "relu"})}
    )
    values = {"model_type": "zert", "hidden_act": "silu"}
    assert config.fields(config.unaliased(values, fixed), fixed, "FILE")["activation"] == "relu"


def test_what_is_no_alias_stays_as_it_is():
    values = {"model_type": "bert", "architectures": ["ZertForMaskedLM"]}
    assert config.unaliased(values, ALIASED) == values


def test_an_absent_key_has_the_value_of_transformers_where_that_is_not_ours():
    layout = dataclasses.replace(tiny.LAYOUT, defaults={"layer_norm_eps": 0.5})
    absent = config.fields({"model_type": "bert"}, layout, "config.json")
    given = config.fields({"model_type": "bert", "layer_norm_eps": 0.25}, layout, "config.json")
    assert (absent["norm_epsilon"], given["norm_epsilon"]) == (0.5, 0.25)
