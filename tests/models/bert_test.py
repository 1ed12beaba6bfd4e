"""BERT against Hugging Face's own, in both directions, and the mapping between the two."""

import numpy as np
import pytest

import tfzoo
from tests.models import encoders, parity
from tests.models.parity import Case
from tfzoo.models import bert
from tfzoo.testing.conformance import EncoderConformance, fill, near

SMALL = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}


def size(layers, heads, width, feed_forward, vocab, positions=40, **more):
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        **more,
    }


NAMES = {
    "id2label": {0: "schlecht", 1: "gut", 2: "좋은"},
    "label2id": {"schlecht": 0, "gut": 1, "좋은": 2},
}
UNTIED = {"tie_word_embeddings": False}
CASES = {
    "encoder": Case("BertModel", size(2, 4, 32, 64, 101)),
    "encoder without pooler": Case(
        "BertModel", size(3, 2, 24, 50, 77), {"add_pooling_layer": False}
    ),
    "no layers": Case("BertModel", size(0, 2, 16, 8, 33)),
    "odd heads, tanh gelu": Case("BertModel", size(2, 3, 33, 40, 60, hidden_act="gelu_new")),
    "seven heads, one segment": Case("BertModel", size(1, 7, 35, 12, 9, 21, type_vocab_size=1)),
    "pretraining": Case("BertForPreTraining", size(2, 2, 32, 64, 119, hidden_act="gelu_new")),
    "pretraining, untied": Case("BertForPreTraining", size(1, 2, 32, 30, 41, **UNTIED)),
    "masked lm, relu": Case("BertForMaskedLM", size(2, 5, 40, 64, 1000, hidden_act="relu")),
    "masked lm, shards": Case("BertForMaskedLM", size(4, 4, 32, 64, 300), shard="20KB"),
    "masked lm, untied": Case(
        "BertForMaskedLM", size(1, 2, 16, 8, 30, hidden_act="gelu_pytorch_tanh", **UNTIED)
    ),
    "next sentence": Case("BertForNextSentencePrediction", size(1, 1, 8, 8, 20)),
    "classes with names": Case(
        "BertForSequenceClassification", size(2, 4, 32, 64, 90, hidden_act="silu", **NAMES)
    ),
    "eleven classes, epsilon": Case(
        "BertForSequenceClassification",
        size(2, 6, 30, 64, 50, num_labels=11, layer_norm_eps=1e-5, classifier_dropout=0.3),
    ),
    "tokens": Case("BertForTokenClassification", size(2, 4, 32, 64, 80, num_labels=7)),
    "answers": Case("BertForQuestionAnswering", size(2, 4, 32, 64, 80, type_vocab_size=4)),
    "choices": Case("BertForMultipleChoice", size(2, 4, 32, 64, 80, hidden_dropout_prob=0.3)),
    "bfloat16": Case("BertForSequenceClassification", size(2, 4, 32, 64, 70), dtype="bfloat16"),
    "float16": Case("BertForPreTraining", size(2, 4, 32, 64, 70), dtype="float16"),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = parity.inputs({"token_ids", "padding_mask"}, case.config["vocab_size"], seed)
    generator = np.random.default_rng(seed)
    segments = case.config.get("type_vocab_size", 2)
    given["segment_ids"] = generator.integers(0, segments, given["token_ids"].shape, np.int32)
    # transformers 5 never reads this one when the embeddings are not tied.
    unread = () if case.config.get("tie_word_embeddings", True) else ("cls.predictions.bias",)
    reworded = ("classifier_dropout", "hidden_act")
    parity.check_case(case, seed, given, tmp_path, unread=unread, reworded=reworded)


@pytest.mark.data
@pytest.mark.parametrize("name", ["bert-for-pretraining", "bert-for-sequence-classification"])
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data, name):
    encoders.check_stored(shared_data("hf-random") / name)


@pytest.mark.parametrize("head", bert.HUGGING_FACE.heads)
@pytest.mark.parametrize("tied_output", [True, False])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, tied_output):
    encoders.check_names("bert", SMALL, head=head, tied_output=tied_output)


def test_what_older_files_hold_twice_is_read_once(tmp_path):
    twins = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    encoders.check_twins("bert", SMALL, tmp_path, twins)


@pytest.mark.parametrize("head", ["masked_lm", "pretraining"])
@pytest.mark.parametrize("tied_output", [True, False])
def test_some_tokens_are_scored_as_they_are_among_all(head, tied_output):
    encoders.check_gathered("bert", SMALL, head, tied_output)


def test_scores_of_some_tokens_are_float32():
    encoders.check_gathered_precision("bert", SMALL)


def test_every_size_of_the_config_is_read_from_a_key():
    encoders.check_fields("bert")


def test_defaults_are_those_of_transformers():
    # As printed in configuration_bert.py of transformers 5.23.
    defaults = {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    encoders.check_defaults("bert", defaults, {})


class TestBert(EncoderConformance):
    name = "bert"
    fields = {**SMALL, "vocab_size": 50, "num_layers": 2, "max_length": 20}
    counts = {"base": 109_482_240, "large": 335_141_888}


INPUTS = {
    "token_ids": np.array([[2, 7, 9, 3]]),
    "segment_ids": np.array([[0, 0, 1, 1]]),
    "padding_mask": np.array([[1, 1, 1, 1]]),
}


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_layers": 0}),
        ("dropout", {"num_layers": 1}),
        ("attention_dropout", {"num_layers": 1}),
        ("head_dropout", {"num_layers": 0, "head": "classification"}),
        ("head_dropout", {"num_layers": 0, "head": "token_classification"}),
        ("head_dropout", {"num_layers": 0, "head": "multiple_choice"}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    encoders.check_dropout("bert", SMALL, rate, **more)


def test_sizes_reach_the_blocks():
    model = tfzoo.build("bert", **SMALL, norm_epsilon=1e-3, initializer_range=1e-4)
    block = model.get_layer("block_0")
    assert {block.attention_norm.epsilon, block.feed_forward_norm.epsilon} == {1e-3}
    kernels = [w for w in block.weights if w.path.endswith("kernel")]
    assert all(np.abs(w).max() < 1e-3 for w in kernels)


def test_the_pooler_reads_the_first_token():
    model = tfzoo.build("bert", **SMALL)
    fill(model)
    outputs, dense = model(INPUTS), model.get_layer("pooler")
    near(outputs["pooled"], dense(outputs["sequence"][:, 0]), 1e-6)


def test_the_first_column_of_a_span_is_its_start():
    model = tfzoo.build("bert", **SMALL, head="question_answering")
    fill(model)
    outputs = model(INPUTS)
    spans = model.get_layer("span")(model.features()(INPUTS)["sequence"])
    near(outputs["start_logits"], spans[:, :, 0], 1e-6)
    near(outputs["end_logits"], spans[:, :, 1], 1e-6)
