"""DistilBERT against Hugging Face's own, in both directions, and the mapping between the two."""

import numpy as np
import pytest

import tfzoo
from tests.models import encoders, parity
from tests.models.parity import Case
from tfzoo.core.errors import UserError
from tfzoo.models import distilbert
from tfzoo.testing.conformance import EncoderConformance, fill, near
from tfzoo.weights import hugging_face_config

SMALL = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}
INPUTS = {"token_ids": np.array([[2, 7, 9, 3]]), "padding_mask": np.array([[1, 1, 1, 1]])}


def size(layers, heads, width, feed_forward, vocab, positions=40, **more):
    return {
        "n_layers": layers,
        "n_heads": heads,
        "dim": width,
        "hidden_dim": feed_forward,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        **more,
    }


UNTIED = {"tie_word_embeddings": False}
TEXTS = "DistilBertForSequenceClassification"
CASES = {
    "encoder": Case("DistilBertModel", size(2, 4, 32, 64, 101)),
    "no layers": Case("DistilBertModel", size(0, 2, 16, 8, 33)),
    "odd heads, tanh gelu": Case("DistilBertModel", size(2, 3, 33, 40, 60, activation="gelu_new")),
    "seven heads, sinusoids": Case(
        "DistilBertModel", size(1, 7, 42, 12, 9, 21, sinusoidal_pos_embds=True)
    ),
    "masked lm": Case("DistilBertForMaskedLM", size(2, 2, 32, 64, 119)),
    "masked lm, relu, shards": Case(
        "DistilBertForMaskedLM", size(4, 5, 40, 64, 300, activation="relu"), shard="20KB"
    ),
    "masked lm, untied": Case("DistilBertForMaskedLM", size(1, 2, 16, 8, 30, **UNTIED)),
    "masked lm, float16": Case("DistilBertForMaskedLM", size(2, 4, 32, 64, 70), dtype="float16"),
    "classes": Case(TEXTS, size(2, 4, 32, 64, 90, activation="silu", num_labels=5)),
    "classes, dropout": Case(
        TEXTS, size(2, 6, 30, 64, 50, seq_classif_dropout=0.3, dropout=0.0, qa_dropout=0.25)
    ),
    "classes, bfloat16": Case(TEXTS, size(2, 4, 32, 64, 70), dtype="bfloat16"),
    "tokens": Case("DistilBertForTokenClassification", size(2, 4, 32, 64, 80, num_labels=7)),
    "answers": Case("DistilBertForQuestionAnswering", size(3, 4, 32, 64, 80)),
    "choices": Case("DistilBertForMultipleChoice", size(2, 4, 32, 64, 80)),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = parity.inputs({"token_ids", "padding_mask"}, case.config["vocab_size"], seed)
    reworded = ("activation", "sinusoidal_pos_embds")
    parity.check_case(case, seed, given, tmp_path, reworded=reworded)


@pytest.mark.data
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data):
    encoders.check_stored(shared_data("hf-random") / "distilbert-for-question-answering")


@pytest.mark.parity
def test_the_base_model_has_as_many_parameters_as_transformers_has():
    import torch
    import transformers

    with torch.device("meta"):
        theirs = transformers.DistilBertModel(transformers.DistilBertConfig())
    assert sum(p.numel() for p in theirs.parameters()) == TestDistilBert.counts["base"]


@pytest.mark.parametrize("head", distilbert.HUGGING_FACE.heads)
@pytest.mark.parametrize("tied_output", [True, False])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, tied_output):
    encoders.check_names("distilbert", SMALL, head=head, tied_output=tied_output)


def test_what_older_files_hold_twice_is_read_once(tmp_path):
    twins = {
        "vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight",
    }
    encoders.check_twins("distilbert", SMALL, tmp_path, twins)


@pytest.mark.parametrize("tied_output", [True, False])
def test_some_tokens_are_scored_as_they_are_among_all(tied_output):
    encoders.check_gathered("distilbert", SMALL, "masked_lm", tied_output)


def test_scores_of_some_tokens_are_float32():
    encoders.check_gathered_precision("distilbert", SMALL)


def test_every_size_of_the_config_is_read_from_a_key():
    encoders.check_fields("distilbert")


def test_defaults_are_those_of_transformers():
    # As printed in configuration_distilbert.py of transformers 5.23.
    defaults = {
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "n_layers": 6,
        "n_heads": 12,
        "dim": 768,
        "hidden_dim": 3072,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "activation": "gelu",
        "initializer_range": 0.02,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    encoders.check_defaults("distilbert", defaults, {})


# Of distilbert-base-uncased-finetuned-sst-2-english.
PUBLISHED = {
    "activation": "gelu",
    "architectures": ["DistilBertForSequenceClassification"],
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "finetuning_task": "sst-2",
    "hidden_dim": 3072,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "initializer_range": 0.02,
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "output_past": True,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "transformers_version": "4.53.3",
    "vocab_size": 30522,
}


def test_the_config_of_a_published_model_is_read_whole():
    read = hugging_face_config.fields(PUBLISHED, distilbert.HUGGING_FACE, "config.json")
    assert distilbert.DistilBertConfig(**read) == distilbert.DistilBertConfig()


def test_a_key_that_is_not_known_is_refused_by_name():
    with pytest.raises(UserError, match="`type_vocab_size`"):
        hugging_face_config.fields(
            {**PUBLISHED, "type_vocab_size": 2}, distilbert.HUGGING_FACE, "config.json"
        )


def test_sizes_may_have_the_names_that_other_encoders_give_them():
    others = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
    values = hugging_face_config.unaliased({**PUBLISHED, **others}, distilbert.HUGGING_FACE)
    read = hugging_face_config.fields(values, distilbert.HUGGING_FACE, "config.json")
    assert (read["width"], read["num_layers"], read["num_heads"]) == (24, 3, 2)


class TestDistilBert(EncoderConformance):
    name = "distilbert"
    fields = {**SMALL, "vocab_size": 50, "num_layers": 2, "max_length": 20}
    counts = {"base": 66_362_880}


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_layers": 0}),
        ("dropout", {"num_layers": 1}),
        ("attention_dropout", {}),
        ("dropout", {"num_layers": 0, "head": "token_classification"}),
        ("head_dropout", {"head": "classification"}),
        ("head_dropout", {"head": "multiple_choice"}),
        ("span_dropout", {"head": "question_answering"}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    encoders.check_dropout("distilbert", SMALL, rate, **more)


def test_each_head_drops_by_the_rate_that_transformers_gives_it():
    rates = {"dropout": 0.3, "head_dropout": 0.4}
    wanted = {"classification": 0.4, "token_classification": 0.3, "multiple_choice": 0.4}
    for head, rate in wanted.items():
        model = tfzoo.build("distilbert", **SMALL, **rates, head=head)
        assert model.get_layer("head_dropout").rate == rate


def test_nothing_is_dropped_from_the_output_of_the_attention():
    model = tfzoo.build("distilbert", **SMALL, dropout=0.9, attention_dropout=0.0)
    fill(model)
    block = model.get_layer("block_0")
    block.feed_forward.contract.kernel.assign(np.zeros((16, 8)))
    block.feed_forward.contract.bias.assign(np.zeros(8))
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    near(block(x, training=True), block(x, training=False), 0)


def test_the_classifier_reads_the_first_token_through_a_relu_layer():
    model = tfzoo.build("distilbert", **SMALL, head="classification", num_labels=3)
    fill(model)
    first = model.features()(INPUTS)["sequence"][:, 0]
    hidden = model.get_layer("classifier_hidden")(first)
    assert np.min(hidden) == 0 < np.max(hidden)
    near(model(INPUTS)["logits"], model.get_layer("classifier")(hidden), 1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_heads", 3),
        ("activation", "mish"),
        ("span_dropout", 1.0),
        ("num_layers", -1),
        ("max_length", 0),
    ],
)
def test_a_config_that_makes_no_model_says_so(field, value):
    with pytest.raises(UserError, match=field):
        tfzoo.build("distilbert", **{**SMALL, field: value})
