"""BLOOM against Hugging Face's own, in both directions, and the mapping between the two."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tfzoo
from tests.models import decoders, parity
from tests.models.packed import Packed
from tests.models.parity import Case
from tfzoo.models import bloom
from tfzoo.testing.conformance import DecoderConformance, fill, near

SMALL = {"vocab_size": 20, "num_layers": 2, "num_heads": 2, "width": 8}


def size(layers, heads, width, vocab, **more):
    return {"n_layer": layers, "n_head": heads, "hidden_size": width, "vocab_size": vocab, **more}


UNTIED = {"tie_word_embeddings": False}
POST = {"apply_residual_connection_post_layernorm": True}
CASES = {
    "decoder": Case("BloomModel", size(2, 4, 32, 101)),
    "decoder, three heads": Case("BloomModel", size(3, 3, 33, 60)),
    "no layers": Case("BloomModel", size(0, 2, 16, 33)),
    "one head": Case("BloomModel", size(2, 1, 12, 33)),
    "language model": Case("BloomForCausalLM", size(3, 8, 32, 119)),
    "language model, shards": Case("BloomForCausalLM", size(4, 4, 32, 300), shard="20KB"),
    "seven heads, untied": Case("BloomForCausalLM", size(2, 7, 35, 41, **UNTIED)),
    "twelve heads, bfloat16": Case("BloomForCausalLM", size(2, 12, 48, 50), dtype="bfloat16"),
    "residual after norm": Case("BloomForCausalLM", size(3, 5, 40, 50, **POST)),
    "epsilon, dropouts": Case(
        "BloomForCausalLM",
        size(2, 2, 32, 50, layer_norm_epsilon=1e-3, hidden_dropout=0.2, attention_dropout=0.3),
    ),
    "ranks": Case("BloomForCausalLM", size(2, 4, 32, 50, pretraining_tp=4)),
    "classes": Case(
        "BloomForSequenceClassification", size(2, 4, 32, 64, num_labels=5, pad_token_id=0)
    ),
    "classes, fifteen heads, residual after norm": Case(
        "BloomForSequenceClassification", size(2, 15, 30, 64, pad_token_id=0, **POST)
    ),
    "tokens, float16": Case(
        "BloomForTokenClassification", size(2, 4, 32, 80, num_labels=7), dtype="float16"
    ),
    "answers": Case("BloomForQuestionAnswering", size(2, 6, 36, 80)),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = decoders.inputs(case, seed)
    reworded = ("classifier_dropout", "seq_length", "pretraining_tp")
    parity.check_case(case, seed, given, tmp_path, real_only=True, reworded=reworded)


@pytest.mark.parity
def test_a_classifier_reads_the_last_real_token(tmp_path):
    case = Case("BloomForSequenceClassification", size(2, 4, 32, 70, pad_token_id=0))
    decoders.check_last_token(case, tmp_path)


@pytest.mark.data
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data):
    decoders.check_stored(shared_data("hf-random") / "bloom-lm")


# As at bigscience/bloom-560m.
PUBLISHED = {
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": True,
    "model_type": "bloom",
    "n_embed": 1024,
    "n_inner": None,
    "n_layer": 24,
    "num_attention_heads": 16,
    "offset_alibi": 100,
    "pad_token_id": 3,
    "pretraining_tp": 1,
    "seq_length": 2048,
    "skip_bias_add": True,
    "skip_bias_add_qkv": False,
    "transformers_version": "4.20.0",
    "unk_token_id": 0,
    "use_cache": True,
    "vocab_size": 250880,
}


def test_the_published_config_is_read():
    assert decoders.read(bloom, **PUBLISHED) == bloom.BloomConfig(pad_id=3)


@pytest.mark.parity
def test_an_old_checkpoint_with_bare_names_and_old_keys_is_read(tmp_path):
    case = Case("BloomForCausalLM", size(2, 6, 36, 70))
    theirs = parity.draw(case, 3)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({n.removeprefix("transformer."): v for n, v in load_file(path).items()}, path)
    values = {**PUBLISHED, "architectures": ["BloomForCausalLM"], "vocab_size": 70}
    values |= {"n_embed": 36, "num_attention_heads": 6, "n_layer": 2}
    (tmp_path / "config.json").write_text(json.dumps(values))
    given = decoders.inputs(case, 3)
    found = tfzoo.load(tmp_path).model(given)
    wanted = {"logits": parity.outputs(theirs, given)["logits"]}
    assert parity.largest_difference(found, wanted, given) < parity.TOLERANCE


class TestBloom(DecoderConformance):
    name = "bloom"
    fields = {**SMALL, "num_heads": 3, "width": 12, "vocab_size": 50, "max_length": 20}
    counts = {
        "560m": 559_214_592,
        "1b1": 1_065_314_304,
        "1b7": 1_722_408_960,
        "3b": 3_002_557_440,
        "7b1": 7_069_016_064,
        "176b": 176_247_271_424,
    }


class TestPackedBloom(Packed):
    name = "bloom"
    fields = {**SMALL, "num_heads": 3, "width": 12}


def test_every_variant_is_counted():
    assert set(TestBloom.counts) == set(bloom.VARIANTS)


def test_every_weight_has_a_foreign_name_and_every_field_a_key():
    decoders.check_names(bloom, "bloom", SMALL)


@pytest.mark.parity
def test_defaults_are_those_of_transformers():
    extra = {"classifier_dropout", "seq_length", "n_inner"}
    toy = {"num_layers": 2, "num_heads": 8, "width": 64}
    decoders.check_defaults(bloom, "bloom", "BloomConfig", extra, **toy)


@pytest.mark.parametrize(
    ("key", "value"),
    [("slow_but_exact", True), ("n_inner", 64), ("position_embedding_type", "rotary")],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    assert f"Received: {key}={value!r}" in decoders.refusal(bloom, **{key: value})


def test_every_dropout_acts_in_training_and_only_there():
    cases = {
        "dropout": {},
        "attention_dropout": {},
        "head_dropout": {"num_layers": 0, "head": "token_classification"},
    }
    decoders.check_dropouts("bloom", SMALL, cases)


def test_prompts_of_different_lengths_go_on_as_each_row_alone():
    for more in ({}, {"residual_after_norm": True, "num_heads": 1}):
        model = tfzoo.build("bloom", **{**SMALL, **more})
        fill(model)
        decoders.check_rows_alone(model, [[4], [9, 1, 7, 7, 2, 19], [5, 8, 3]])


def test_it_reads_texts_longer_than_those_it_was_trained_on():
    model = tfzoo.build("bloom", **SMALL, max_length=4)
    fill(model)
    ids = np.arange(11)[None]
    long = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})["logits"]
    short = model({"token_ids": ids[:, :4], "padding_mask": np.ones_like(ids[:, :4])})["logits"]
    near(long[:, :4], short, 1e-5)


def test_dropout_of_heads_is_that_of_hidden_layers_where_no_key_says_it():
    assert decoders.read(bloom, hidden_dropout=0.25).head_dropout == 0.25
    assert decoders.read(bloom, hidden_dropout=0.25, classifier_dropout=0.5).head_dropout == 0.5
