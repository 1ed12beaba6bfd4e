"""RoBERTa against Hugging Face's own, in both directions, and the mapping between the two."""

import json

import numpy as np
import pytest

import tfzoo
from tests.models import encoders, parity
from tests.models.parity import Case
from tfzoo.core.errors import UserError
from tfzoo.models import roberta
from tfzoo.testing.conformance import EncoderConformance, fill, near
from tfzoo.weights import hugging_face_config

SMALL = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}
INPUTS = {"token_ids": np.array([[0, 7, 9, 2]]), "padding_mask": np.array([[1, 1, 1, 1]])}


def size(layers, heads, width, feed_forward, vocab, positions=42, **more):
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        **more,
    }


UNTIED = {"tie_word_embeddings": False}
TEXTS = "RobertaForSequenceClassification"
CASES = {
    "encoder": Case("RobertaModel", size(2, 4, 32, 64, 101)),
    "encoder without pooler": Case(
        "RobertaModel", size(3, 2, 24, 50, 77), {"add_pooling_layer": False}
    ),
    "no layers": Case("RobertaModel", size(0, 2, 16, 8, 33)),
    "odd heads, tanh gelu": Case("RobertaModel", size(2, 3, 33, 40, 60, hidden_act="gelu_new")),
    "no room to spare": Case("RobertaModel", size(1, 7, 35, 12, 9, 21)),
    "padding is token 0": Case("RobertaModel", size(1, 2, 16, 12, 6, 20, pad_token_id=0)),
    "padding is token 5": Case("RobertaForMaskedLM", size(2, 2, 16, 12, 7, 25, pad_token_id=5)),
    "masked lm, relu": Case("RobertaForMaskedLM", size(2, 5, 40, 64, 1000, hidden_act="relu")),
    "masked lm, shards": Case("RobertaForMaskedLM", size(4, 4, 32, 64, 300), shard="20KB"),
    "masked lm, untied": Case("RobertaForMaskedLM", size(1, 2, 16, 8, 30, **UNTIED)),
    "classes": Case(TEXTS, size(2, 4, 32, 64, 90, hidden_act="silu", num_labels=5)),
    "classes, epsilon": Case(
        TEXTS, size(2, 6, 30, 64, 50, layer_norm_eps=1e-3, classifier_dropout=0.3)
    ),
    "classes, bfloat16": Case(TEXTS, size(2, 4, 32, 64, 70), dtype="bfloat16"),
    "tokens": Case("RobertaForTokenClassification", size(2, 4, 32, 64, 80, num_labels=7)),
    "answers, float16": Case(
        "RobertaForQuestionAnswering", size(2, 4, 32, 64, 80), dtype="float16"
    ),
    "choices": Case("RobertaForMultipleChoice", size(2, 4, 32, 64, 80)),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = parity.inputs({"token_ids", "padding_mask"}, case.config["vocab_size"], seed)
    if seed % 2:  # else padding stands anywhere in a text, and what is masked is not padding
        ids = np.where(given["token_ids"] == 1, 2, given["token_ids"])
        given["token_ids"] = np.where(
            given["padding_mask"], ids, case.config.get("pad_token_id", 1)
        )
    # transformers 5 never reads this one when the embeddings are not tied.
    unread = () if case.config.get("tie_word_embeddings", True) else ("lm_head.bias",)
    reworded = ("classifier_dropout", "hidden_act")
    parity.check_case(case, seed, given, tmp_path, unread=unread, reworded=reworded)


@pytest.mark.parity
@pytest.mark.parametrize("variant", roberta.VARIANTS)
def test_every_variant_has_as_many_parameters_as_transformers_has(variant):
    import torch
    import transformers

    config = hugging_face_config.values(
        roberta.RobertaConfig(**roberta.VARIANTS[variant]), roberta.HUGGING_FACE, None, 1
    )
    with torch.device("meta"):
        theirs = transformers.RobertaModel(transformers.RobertaConfig(**config))
    assert sum(p.numel() for p in theirs.parameters()) == TestRoberta.counts[variant]


@pytest.mark.parametrize("head", roberta.HUGGING_FACE.heads)
@pytest.mark.parametrize("tied_output", [True, False])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, tied_output):
    encoders.check_names("roberta", SMALL, head=head, tied_output=tied_output)


def test_what_older_files_hold_twice_is_read_once(tmp_path):
    twins = {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }
    encoders.check_twins("roberta", SMALL, tmp_path, twins)


@pytest.mark.parametrize("tied_output", [True, False])
def test_some_tokens_are_scored_as_they_are_among_all(tied_output):
    encoders.check_gathered("roberta", SMALL, "masked_lm", tied_output)


def test_scores_of_some_tokens_are_float32():
    encoders.check_gathered_precision("roberta", SMALL)


def test_every_size_of_the_config_is_read_from_a_key():
    encoders.check_fields("roberta")


def test_defaults_are_those_of_the_published_models_and_absent_keys_are_as_in_transformers():
    # As printed in configuration_roberta.py of transformers 5.23, but for three.
    defaults = {
        "vocab_size": 50265,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "tie_word_embeddings": True,
    }
    others = {"num_positions": 512, "norm_epsilon": 1e-12}
    encoders.check_defaults("roberta", defaults, others)


# Of roberta-large-mnli and of a newer save of roberta-base.
PUBLISHED = {
    "old": {
        "_num_labels": 3,
        "architectures": ["RobertaForSequenceClassification"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 1024,
        "id2label": {"0": "CONTRADICTION", "1": "NEUTRAL", "2": "ENTAILMENT"},
        "initializer_range": 0.02,
        "intermediate_size": 4096,
        "label2id": {"CONTRADICTION": 0, "NEUTRAL": 1, "ENTAILMENT": 2},
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514,
        "model_type": "roberta",
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "pad_token_id": 1,
        "type_vocab_size": 1,
        "vocab_size": 50265,
    },
    "new": {
        "_name_or_path": "roberta-base",
        "architectures": ["RobertaForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": 0,
        "classifier_dropout": None,
        "eos_token_id": 2,
        "gradient_checkpointing": False,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514,
        "model_type": "roberta",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "output_past": True,
        "pad_token_id": 1,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "transformers_version": "4.33.3",
        "type_vocab_size": 1,
        "use_cache": True,
        "vocab_size": 50265,
    },
}


@pytest.mark.parametrize(("form", "variant"), [("old", "large"), ("new", "base")])
def test_the_config_of_a_published_model_is_read_whole(form, variant):
    read = hugging_face_config.fields(PUBLISHED[form], roberta.HUGGING_FACE, "config.json")
    wanted = roberta.RobertaConfig(**roberta.VARIANTS[variant])
    assert roberta.RobertaConfig(**read) == wanted
    assert wanted.max_length == 512


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type_vocab_size": 2}, "type_vocab_size = 1"),
        ({"is_decoder": True}, "is_decoder = false"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"conv_bert": 1}, "`conv_bert`"),
    ],
)
def test_what_is_computed_otherwise_is_refused_by_name(changes, message):
    with pytest.raises(UserError, match=message):
        hugging_face_config.fields(
            {**PUBLISHED["new"], **changes}, roberta.HUGGING_FACE, "config.json"
        )


def test_a_file_that_does_not_say_its_segments_has_the_two_of_transformers():
    values = {k: v for k, v in PUBLISHED["new"].items() if k != "type_vocab_size"}
    with pytest.raises(UserError, match="type_vocab_size=2"):
        hugging_face_config.fields(values, roberta.HUGGING_FACE, "config.json")


@pytest.mark.parametrize(
    ("model_type", "class_name", "message"),
    [
        ("roberta", "RobertaForCausalLM", "RobertaForCausalLM"),
        ("xlm-roberta", "XLMRobertaModel", "xlm-roberta"),
        ("camembert", "CamembertModel", "camembert"),
    ],
)
def test_relatives_that_tfzoo_does_not_have_are_refused_by_name(
    model_type, class_name, message, tmp_path
):
    path = tmp_path / "m"
    folder_of(path, "none")
    values = json.loads((path / "config.json").read_text())
    values |= {"model_type": model_type, "architectures": [class_name]}
    (path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=message):
        tfzoo.load(path)


def folder_of(path, head, **more):
    """Writes a Hugging Face folder of a small model and returns the model."""
    from tfzoo.weights import hugging_face

    model = tfzoo.build("roberta", **SMALL, num_positions=20, head=head, **more)
    fill(model)
    path.mkdir()
    hugging_face.write(path, model, roberta.HUGGING_FACE, None, 1)
    return model


@pytest.mark.parametrize("head", roberta.HUGGING_FACE.heads)
def test_the_weights_alone_tell_the_heads_apart(head, tmp_path):
    path = tmp_path / "m"
    model = folder_of(path, head, num_labels=3)
    values = json.loads((path / "config.json").read_text())
    del values["architectures"]
    (path / "config.json").write_text(json.dumps(values))
    if head in ("token_classification", "multiple_choice"):  # both are one layer, `classifier`
        with pytest.raises(UserError, match="does not say which head"):
            tfzoo.load(path)
        return
    again = tfzoo.load(path).model
    assert again.config.head == head
    for name, value in model(INPUTS).items():
        near(again(INPUTS)[name], value, 0)


class TestRoberta(EncoderConformance):
    name = "roberta"
    fields = {**SMALL, "vocab_size": 50, "num_layers": 2, "num_positions": 22}
    counts = {"base": 124_645_632, "large": 355_359_744}


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_layers": 0}),
        ("dropout", {"num_layers": 1}),
        ("dropout", {"num_layers": 0, "head": "multiple_choice"}),
        ("attention_dropout", {}),
        ("head_dropout", {"head": "classification"}),
        ("head_dropout", {"head": "token_classification"}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    encoders.check_dropout("roberta", SMALL, rate, **more)


def test_each_head_drops_by_the_rate_that_transformers_gives_it():
    rates = {"dropout": 0.3, "head_dropout": 0.4}
    wanted = {"classification": 0.4, "token_classification": 0.4, "multiple_choice": 0.3}
    for head, rate in wanted.items():
        model = tfzoo.build("roberta", **SMALL, **rates, head=head)
        assert model.get_layer("head_dropout").rate == rate


def test_positions_count_the_tokens_that_are_not_padding():
    model = tfzoo.build("roberta", **SMALL, num_positions=10, pad_id=3)
    fill(model)
    table = model.get_layer("position_embedding")
    assert table.embeddings_td.shape[0] == 10
    assert model.config.max_length == 6
    ids = np.array([[3, 3, 5, 6, 3, 7]])
    positions = roberta._positions(ids, 3)
    assert np.array_equal(positions, [[-1, -1, 0, 1, -1, 2]])
    rows = table(np.zeros((1, 6, 8), "float32"), positions_bt=positions)
    near(rows[0], np.asarray(table.embeddings_td)[[3, 3, 4, 5, 3, 6]], 0)


def test_padding_on_the_left_changes_nothing():
    model = tfzoo.build("roberta", **SMALL)
    fill(model)
    left = {
        "token_ids": np.pad(INPUTS["token_ids"], [(0, 0), (3, 0)], constant_values=1),
        "padding_mask": np.pad(INPUTS["padding_mask"], [(0, 0), (3, 0)]),
    }
    near(model(left)["sequence"][:, 3:], model(INPUTS)["sequence"], 1e-6)


def test_a_text_that_is_too_long_says_so():
    model = tfzoo.build("roberta", **SMALL, num_positions=10)
    ids = np.full((1, 9), 4)
    with pytest.raises(ValueError, match=r"at most 8\s+tokens\. Received: 9"):
        model({"token_ids": ids, "padding_mask": np.ones_like(ids)})


def test_the_layer_of_the_masked_language_model_is_gelu_under_any_activation():
    model = tfzoo.build("roberta", **SMALL, head="masked_lm", activation="relu")
    layer = model.get_layer("mlm_transform")
    assert layer.activation.__name__ == "gelu"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide"),
        ({"pad_id": 20}, "pad_id"),
        ({"pad_id": None}, "pad_id"),
        ({"num_positions": 2}, "num_positions must be at least 3"),
        ({"pooler": False, "head": "multiple_choice"}, "pooler=true"),
        ({"activation": "mish"}, "activation"),
        ({"head_dropout": 1.0}, "head_dropout"),
    ],
)
def test_a_config_that_makes_no_model_says_so(fields, message):
    with pytest.raises(UserError, match=message):
        tfzoo.build("roberta", **{**SMALL, **fields})
