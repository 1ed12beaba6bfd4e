"""GPT-1 against Hugging Face's own, in both directions, and the mapping between the two."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tfzoo
from tests.models import decoders, parity
from tests.models.packed import Packed
from tests.models.parity import Case
from tfzoo.models import gpt
from tfzoo.testing.conformance import DecoderConformance, fill, near

SMALL = {"vocab_size": 20, "num_layers": 2, "num_heads": 2, "width": 8, "max_length": 16}


def size(layers, heads, width, vocab, positions=40, **more):
    return {
        "n_layer": layers,
        "n_head": heads,
        "n_embd": width,
        "vocab_size": vocab,
        "n_positions": positions,
        **more,
    }


UNTIED = {"tie_word_embeddings": False}
CASES = {
    "decoder": Case("OpenAIGPTModel", size(2, 4, 32, 101)),
    "decoder, odd heads, relu": Case("OpenAIGPTModel", size(3, 3, 33, 60, afn="relu")),
    "no layers": Case("OpenAIGPTModel", size(0, 2, 16, 33)),
    "one head, 19 positions": Case("OpenAIGPTModel", size(1, 1, 8, 40, 19)),
    "language model": Case("OpenAIGPTLMHeadModel", size(3, 4, 32, 119)),
    "language model, shards": Case("OpenAIGPTLMHeadModel", size(4, 4, 32, 300), shard="20KB"),
    "language model, untied": Case("OpenAIGPTLMHeadModel", size(1, 7, 35, 41, **UNTIED)),
    "swish": Case("OpenAIGPTLMHeadModel", size(2, 5, 40, 50, afn="swish")),
    "silu, epsilon": Case(
        "OpenAIGPTLMHeadModel", size(2, 2, 32, 50, afn="silu", layer_norm_epsilon=1e-3)
    ),
    "language model, float16": Case("OpenAIGPTLMHeadModel", size(2, 6, 30, 80), dtype="float16"),
    "double heads": Case("OpenAIGPTDoubleHeadsModel", size(2, 4, 32, 70)),
    "double heads, untied": Case("OpenAIGPTDoubleHeadsModel", size(1, 2, 16, 30, **UNTIED)),
    "classes": Case(
        "OpenAIGPTForSequenceClassification", size(2, 4, 32, 64, num_labels=5, pad_token_id=0)
    ),
    "classes, bfloat16": Case(
        "OpenAIGPTForSequenceClassification", size(2, 1, 24, 64, pad_token_id=0), dtype="bfloat16"
    ),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = decoders.inputs(case, seed)
    parity.check_case(case, seed, given, tmp_path, real_only=True, reworded=("afn",))


@pytest.mark.parity
@pytest.mark.parametrize(
    "class_name", ["OpenAIGPTDoubleHeadsModel", "OpenAIGPTForSequenceClassification"]
)
def test_heads_of_one_token_read_the_last_real_one(class_name, tmp_path):
    decoders.check_last_token(Case(class_name, size(2, 4, 32, 70, pad_token_id=0)), tmp_path)


@pytest.mark.parity
def test_an_old_checkpoint_with_bare_names_and_buffers_is_read(tmp_path):
    case = Case("OpenAIGPTLMHeadModel", size(2, 4, 32, 70))
    theirs = parity.draw(case, 3)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {n.removeprefix("transformer."): v for n, v in load_file(path).items()}
    tensors["position_ids"] = np.arange(40)
    for i in range(2):
        tensors[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 40, 40), np.float32))
    save_file(tensors, path)
    values = json.loads((tmp_path / "config.json").read_text())
    values |= {"n_ctx": 40, "n_special": 0, "predict_special_tokens": True}
    (tmp_path / "config.json").write_text(json.dumps(values))
    given = decoders.inputs(case, 3)
    found = tfzoo.load(tmp_path).model(given)
    wanted = {"logits": parity.outputs(theirs, given)["logits"]}
    assert parity.largest_difference(found, wanted, given) < parity.TOLERANCE


class TestGpt(DecoderConformance):
    name = "gpt"
    fields = {**SMALL, "vocab_size": 50, "max_length": 20}
    counts = {"base": 116_534_784}


class TestPackedGpt(Packed):
    name = "gpt"
    fields = SMALL


def test_every_variant_is_counted():
    assert set(TestGpt.counts) == set(gpt.VARIANTS)


def test_every_weight_has_a_foreign_name_and_every_field_a_key():
    decoders.check_names(gpt, "gpt", SMALL)


@pytest.mark.parity
def test_defaults_are_those_of_transformers():
    decoders.check_defaults(gpt, "gpt", "OpenAIGPTConfig", set())


def test_the_published_config_is_read():
    # As at openai-community/openai-gpt.
    values = {
        "afn": "gelu",
        "architectures": ["OpenAIGPTLMHeadModel"],
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "openai-gpt",
        "n_ctx": 512,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 512,
        "n_special": 0,
        "predict_special_tokens": True,
        "resid_pdrop": 0.1,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 40478,
    }
    assert decoders.read(gpt, **values) == gpt.GptConfig()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("afn", "gelu_new"),
        ("summary_type", "mean"),
        ("summary_use_proj", False),
        ("summary_proj_to_labels", False),
        ("summary_activation", "tanh"),
        ("n_inner", 7),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    assert f"Received: {key}={value!r}" in decoders.refusal(gpt, **{key: value})


def test_every_dropout_acts_in_training_and_only_there():
    cases = {
        "embedding_dropout": {"num_layers": 0},
        "dropout": {},
        "attention_dropout": {},
        "choice_dropout": {"num_layers": 0, "head": "double_heads"},
    }
    decoders.check_dropouts("gpt", SMALL, cases)


def test_prompts_of_different_lengths_go_on_as_each_row_alone():
    for more in ({}, {"tied_output": False}):
        model = tfzoo.build("gpt", **SMALL, **more)
        fill(model)
        decoders.check_rows_alone(model, [[4], [9, 1, 7, 7, 2, 19], [5, 8, 3]])


def test_norms_stand_behind_the_sublayers_and_nowhere_else():
    model = tfzoo.build("gpt", **SMALL)
    fill(model)
    ids = np.array([[2, 7, 9]])
    seen = model.probe()({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    table = {w.path: np.asarray(w) for w in model.weights}
    embedded = table["token_embedding/embeddings"][ids] + table["position_embedding/embeddings"][:3]
    near(seen["hidden_states_0"], embedded, 1e-6)
    gain, shift = (table[f"block_1/feed_forward_norm/{name}"] for name in ("gamma", "beta"))
    plain = (np.asarray(seen["sequence"]) - shift) / gain
    near(plain.mean(-1), np.zeros((1, 3)), 1e-4)
