"""BART against Hugging Face's own, in both directions, and the mapping between the two."""

import dataclasses
import json
import typing

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.models.parity import Case
from tfzoo.core.errors import UserError
from tfzoo.models import bart
from tfzoo.testing.conformance import EncoderDecoderConformance, fill, near
from tfzoo.weights import hugging_face_config, strict

SMALL = {
    "vocab_size": 20,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_encoder_heads": 2,
    "num_decoder_heads": 2,
    "width": 8,
    "encoder_feed_forward_dim": 16,
    "decoder_feed_forward_dim": 16,
    "max_length": 40,
}
INPUTS = {"encoder_token_ids", "encoder_padding_mask", "decoder_token_ids", "decoder_padding_mask"}
EOS = 2


def size(layers, heads, width, feed_forward, vocab, **more):
    """Each of `layers`, `heads` and `feed_forward` is the encoder's and the decoder's."""
    names = ("layers", "attention_heads", "ffn_dim")
    values = zip(names, (layers, heads, feed_forward), strict=True)
    sides = {f"{s}_{n}": v[i] for n, v in values for i, s in enumerate(("encoder", "decoder"))}
    sizes = {"d_model": width, "vocab_size": vocab, "max_position_embeddings": 30}
    return {**sides, **sizes, "forced_eos_token_id": None, **more}


NAMES = {
    "id2label": {0: "schlecht", 1: "gut", 2: "좋은", 3: "?"},
    "label2id": {"schlecht": 0, "gut": 1, "좋은": 2, "?": 3},
}
UNTIED = {"tie_word_embeddings": False}
GENERATION, CLASSES = "BartForConditionalGeneration", "BartForSequenceClassification"
CASES = {
    "without head": Case("BartModel", size((2, 2), (4, 4), 32, (64, 64), 101)),
    "deep encoder": Case("BartModel", size((3, 1), (2, 4), 24, (50, 20), 77)),
    "untied, without head": Case("BartModel", size((1, 2), (3, 1), 9, (8, 16), 33, **UNTIED)),
    "no layers": Case("BartModel", size((0, 0), (2, 2), 16, (8, 8), 33)),
    "generation": Case(GENERATION, size((2, 3), (4, 2), 32, (64, 32), 119)),
    "odd heads, scaled": Case(
        GENERATION,
        size((1, 2), (3, 7), 21, (40, 44), 60, scale_embedding=True, activation_function="relu"),
    ),
    "tanh gelu, other ids": Case(
        GENERATION,
        size(
            (2, 1),
            (5, 5),
            40,
            (16, 64),
            1000,
            activation_function="gelu_new",
            pad_token_id=3,
            eos_token_id=0,
            decoder_start_token_id=5,
        ),
    ),
    "generation, untied, shards": Case(
        GENERATION, size((2, 2), (4, 2), 32, (24, 32), 300, **UNTIED), shard="20KB"
    ),
    "classes with names": Case(
        CLASSES, size((2, 2), (4, 4), 32, (64, 64), 90, activation_function="silu", **NAMES)
    ),
    "eleven classes": Case(
        CLASSES, size((1, 3), (6, 3), 30, (64, 8), 50, num_labels=11, classifier_dropout=0.3)
    ),
    "two classes, untied": Case(
        CLASSES, size((1, 1), (1, 1), 8, (8, 8), 20, num_labels=2, **UNTIED)
    ),
    "answers": Case("BartForQuestionAnswering", size((2, 2), (4, 2), 32, (64, 64), 80)),
    "bfloat16": Case(GENERATION, size((2, 2), (4, 4), 32, (64, 64), 70), dtype="bfloat16"),
    "float16": Case(CLASSES, size((2, 2), (4, 4), 32, (64, 64), 70), dtype="float16"),
}
# What we write out although it goes without saying.
REWORDED = {
    "activation_function",
    "add_final_layer_norm",
    "do_blenderbot_90_layernorm",
    "extra_pos_embeddings",
    "forced_eos_token_id",
    "normalize_before",
    "normalize_embedding",
    "static_position_embeddings",
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    reads_decoder = case.class_name in ("BartModel", GENERATION)
    names = INPUTS if reads_decoder else {n for n in INPUTS if n.startswith("encoder_")}
    given = parity.inputs(names, case.config["vocab_size"], seed)
    if case.class_name == CLASSES:  # transformers wants as many of them in each row
        given["encoder_token_ids"][given["encoder_token_ids"] == EOS] = EOS + 1
        for row, places in enumerate([(3, 18), (0, 6), (0, 17), (4, 18), (10, 11)]):
            given["encoder_token_ids"][row, list(places)] = EOS
    unread = ("shared.weight", "model.shared.weight")  # by the untied models of transformers 5
    unread = () if case.config.get("tie_word_embeddings", True) else unread
    parity.check_case(case, seed, given, tmp_path, real_only=True, unread=unread, reworded=REWORDED)


def stored(folder):
    """The inputs and outputs in a folder of `hf-random`, by our names."""
    arrays = {**np.load(folder / "inputs.npz"), **np.load(folder / "outputs.npz")}
    theirs = {ours: parity.ARGUMENTS[ours] for ours in INPUTS} | parity.OUTPUTS
    given = {ours: arrays.pop(name) for ours, name in theirs.items() if name in arrays}
    given["decoder_padding_mask"] = np.ones_like(given["decoder_token_ids"])
    return {name: given.pop(name) for name in INPUTS}, {**arrays, **given}


@pytest.mark.data
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data):
    path = shared_data("hf-random") / "bart"
    given, wanted = stored(path)
    del wanted["greedy"], wanted["beam3"]
    assert {"logits", "encoder_sequence", "decoder_hidden_states_3"} <= set(wanted)
    found = tfzoo.load(f"hf:{path}").model.probe()(given)
    assert parity.largest_difference(found, wanted, given) < parity.TOLERANCE


@pytest.mark.data
def test_the_likeliest_tokens_one_by_one_are_the_stored_ones(shared_data):
    path = shared_data("hf-random") / "bart"
    given, wanted = stored(path)
    model = tfzoo.load(f"hf:{path}").model
    config, length = model.config, wanted["greedy"].shape[1]
    mask = given["encoder_padding_mask"]
    caches = model.empty_caches(model.encode(given["encoder_token_ids"], mask), length)
    tokens = [np.full(len(mask), config.decoder_start_id)]
    has_ended = np.zeros(len(mask), bool)
    for place in range(length - 1):
        logits, caches = model.step(tokens[-1][:, None], caches, place, mask)
        likeliest = np.argmax(logits[:, -1], -1)
        tokens.append(np.where(has_ended, config.pad_id, likeliest))
        has_ended |= likeliest == config.eos_id
    assert np.array_equal(np.stack(tokens, 1), wanted["greedy"])


@pytest.mark.parametrize("head", bart.HUGGING_FACE.heads)
@pytest.mark.parametrize("tied_output", [True, False])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, tied_output):
    model = tfzoo.build("bart", **SMALL, head=head, tied_output=tied_output)
    names = [name for match in strict.matches(model, bart.RENAMES) for name in match.names]
    assert len(names) == len(set(names))
    prefixes = bart.HUGGING_FACE.head_weights(head, tied_output)
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)
    assert all(name.startswith(("model.", *prefixes)) for name in names)


def test_every_size_of_the_config_is_read_from_a_key():
    ours = {field.name for field in dataclasses.fields(bart.BartConfig)}
    assert set(bart.HUGGING_FACE.fields.values()) == ours - {"head", "num_labels"}
    assert set(typing.get_args(bart.Head)) == set(bart.HUGGING_FACE.heads)


def test_defaults_are_those_of_transformers():
    written = hugging_face_config.values(bart.BartConfig(), bart.HUGGING_FACE, None, 0)
    # As printed in configuration_bart.py of transformers 5.23.
    defaults = {
        "vocab_size": 50265,
        "max_position_embeddings": 1024,
        "encoder_layers": 12,
        "encoder_ffn_dim": 4096,
        "encoder_attention_heads": 16,
        "decoder_layers": 12,
        "decoder_ffn_dim": 4096,
        "decoder_attention_heads": 16,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "activation_function": "gelu",
        "d_model": 1024,
        "dropout": 0.1,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "init_std": 0.02,
        "classifier_dropout": 0.0,
        "scale_embedding": False,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }
    assert {key: written[key] for key in defaults} == defaults
    read = hugging_face_config.fields({"model_type": "bart"}, bart.HUGGING_FACE, "config.json")
    assert bart.BartConfig(**read) == bart.BartConfig()


# Keys that transformers 3 and 4 wrote into the published files, with their values there.
PUBLISHED = {
    "_num_labels": 3,
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "classif_dropout": 0.1,
    "do_blenderbot_90_layernorm": False,
    "early_stopping": True,
    "extra_pos_embeddings": 2,
    "force_bos_token_to_be_generated": True,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "gradient_checkpointing": False,
    "is_encoder_decoder": True,
    "no_repeat_ngram_size": 3,
    "normalize_before": False,
    "normalize_embedding": True,
    "num_beams": 4,
    "num_hidden_layers": 12,
    "output_past": True,
    "prefix": " ",
    "save_step": 58,
    "static_position_embeddings": False,
    "task_specific_params": {"summarization": {"length_penalty": 1.0, "max_length": 128}},
    "torch_dtype": "float32",
}


def test_the_keys_of_published_files_are_known():
    values = {"model_type": "bart", **PUBLISHED}
    assert hugging_face_config.fields(values, bart.HUGGING_FACE, "config.json") == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalize_before", True),
        ("normalize_embedding", False),
        ("add_final_layer_norm", True),
        ("static_position_embeddings", True),
        ("extra_pos_embeddings", 0),
        ("do_blenderbot_90_layernorm", True),
        ("encoder_layerdrop", 0.1),
        ("decoder_layerdrop", 0.1),
        ("is_encoder_decoder", False),
        ("is_decoder", True),
        ("num_attention_heads", 2),
    ],
)
def test_what_changes_the_model_and_is_not_drawn_is_refused_by_name(key, value):
    with pytest.raises(UserError, match=f"{key}.*Received: {key}="):
        values = {"model_type": "bart", key: value}
        hugging_face_config.fields(values, bart.HUGGING_FACE, "config.json")


@pytest.mark.parity
def test_a_decoder_alone_is_refused_by_name(tmp_path):
    case = Case("BartForCausalLM", size((1, 1), (2, 2), 8, (8, 8), 20))
    parity.draw(case, 0).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is_decoder"):
        tfzoo.load(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values |= {"is_encoder_decoder": True, "is_decoder": False}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="BartForCausalLM"):
        tfzoo.load(tmp_path)


@pytest.mark.parity
def test_a_checkpoint_without_head_generates_with_a_bias_of_zeros_as_in_transformers(tmp_path):
    # facebook/bart-base is such a one.
    import transformers

    case = Case("BartModel", size((1, 2), (2, 2), 16, (8, 8), 30))
    parity.draw(case, 0).save_pretrained(tmp_path)
    theirs = transformers.BartForConditionalGeneration.from_pretrained(tmp_path)
    given = parity.inputs(INPUTS, 30, 0)
    loaded = tfzoo.load(tmp_path, head="conditional_generation")
    wanted = {"logits": parity.outputs(theirs.eval(), given)["logits"]}
    assert parity.largest_difference(loaded.model(given), wanted, given) < parity.TOLERANCE
    assert not np.any(loaded.model.get_layer("token_embedding").bias_v)


@pytest.mark.parity
def test_the_head_of_a_generator_can_be_left_out(tmp_path):
    case = Case(GENERATION, size((1, 1), (2, 2), 8, (8, 8), 20))
    parity.draw(case, 0).save_pretrained(tmp_path)
    whole, alone = tfzoo.load(tmp_path).model, tfzoo.load(tmp_path, head="none").model
    given = parity.inputs(INPUTS, 20, 0)
    near(alone(given)["sequence"], whole.features()(given)["sequence"], 0)
    with pytest.raises(UserError, match="holds no weights for head=classification"):
        tfzoo.load(tmp_path, head="classification")


class TestBart(EncoderDecoderConformance):
    name = "bart"
    fields = {**SMALL, "vocab_size": 50, "num_decoder_layers": 2, "head": "conditional_generation"}
    counts = {"base": 139_420_416, "large": 406_291_456}


def build(**fields):
    model = tfzoo.build("bart", **{**SMALL, **fields})
    fill(model)
    return model


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_encoder_layers": 0, "num_decoder_layers": 0}),
        ("dropout", {"num_decoder_layers": 0}),
        ("dropout", {"num_encoder_layers": 0}),
        ("attention_dropout", {}),
        ("activation_dropout", {}),
        ("head_dropout", {"head": "classification"}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    rates = {"dropout": 0.0, rate: 0.5}
    model = build(**rates, **more)
    given = {name: np.array([[2, 7, 9, 2]]) for name in model.input if name.endswith("ids")}
    given |= {name: np.ones((1, 4), int) for name in model.input if name.endswith("mask")}
    still = model(given)
    for name, value in model(given, training=True).items():
        near(model(given, training=False)[name], still[name], 0)
        assert np.abs(value - still[name]).max() > 1e-3


def test_the_classifier_reads_the_decoder_at_the_last_end_of_a_text():
    model = build(head="classification", num_labels=2)
    ids = np.array([[2, 7, 2, 9, 9], [2, 5, 6, 7, 2], [4, 4, 4, 4, 4]])
    given = {"encoder_token_ids": ids, "encoder_padding_mask": np.ones_like(ids)}
    whole = build()
    whole.set_weights(model.get_weights()[: len(whole.weights)])
    assert [w.path for w in whole.weights] == [w.path for w in model.weights[: len(whole.weights)]]
    moved = {"decoder_token_ids": np.concatenate([[[2]] * 3, ids[:, :-1]], 1)}
    sequence = whole({**given, **moved, "decoder_padding_mask": np.ones_like(ids)})["sequence"]
    picked = np.stack([sequence[0, 2], sequence[1, 4], sequence[2, 0]])
    hidden = model.get_layer("classifier_hidden")(picked)
    near(model(given)["logits"], model.get_layer("classifier")(hidden), 1e-5)


def test_the_encoder_is_run_once_and_its_keys_are_kept():
    model = build(head="conditional_generation")
    given = {"encoder_token_ids": np.array([[5, 6, 7]]), "encoder_padding_mask": np.ones((1, 3))}
    sequence = model.encode(**given)
    caches = model.empty_caches(sequence, 4)
    assert [set(entry) for entry in caches] == [{"cache", "encoder_cache"}]
    with_mask, _ = model.step(np.array([[2]]), caches, 0, given["encoder_padding_mask"])
    near(model.step(np.array([[2]]), caches)[0], with_mask, 1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_encoder_heads", 3),
        ("num_decoder_heads", 5),
        ("pad_id", 20),
        ("eos_id", -1),
        ("decoder_start_id", 99),
        ("activation", "mish"),
        ("activation_dropout", 1.0),
        ("num_decoder_layers", -1),
    ],
)
def test_a_config_that_makes_no_model_says_so(field, value):
    with pytest.raises(UserError, match=field):
        tfzoo.build("bart", **{**SMALL, field: value})
