"""The transformer: the paper's sizes, and Marian's checkpoints against transformers' own."""

import dataclasses
import typing

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.models.parity import Case
from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.models import transformer
from tfzoo.testing.conformance import EncoderDecoderConformance, fill, near
from tfzoo.weights import hugging_face, hugging_face_config, strict

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


def size(layers, heads, width, feed_forward, vocab, **more):
    """As OPUS-MT's files are; `layers`, `heads`, `feed_forward` are the encoder's and decoder's."""
    names = ("layers", "attention_heads", "ffn_dim")
    values = zip(names, (layers, heads, feed_forward), strict=True)
    sides = {f"{s}_{n}": v[i] for n, v in values for i, s in enumerate(("encoder", "decoder"))}
    return {
        **sides,
        "d_model": width,
        "vocab_size": vocab,
        "max_position_embeddings": 30,
        "activation_function": "swish",
        "scale_embedding": True,
        **dict.fromkeys(("pad_token_id", "decoder_start_token_id"), vocab - 1),
        **{"eos_token_id": 0, "bos_token_id": 0, "forced_eos_token_id": 0},
        **more,
    }


TRANSLATION = "MarianMTModel"
CASES = {
    "base": Case(TRANSLATION, size((2, 2), (4, 4), 32, (64, 64), 101)),
    "not scaled": Case(TRANSLATION, size((1, 2), (2, 4), 24, (50, 20), 77, scale_embedding=False)),
    "one head, odd width": Case(TRANSLATION, size((2, 1), (1, 1), 9, (8, 16), 33)),
    "odd heads": Case(TRANSLATION, size((1, 2), (3, 7), 21, (40, 44), 60)),
    "no layers": Case(TRANSLATION, size((0, 0), (2, 2), 16, (8, 8), 33)),
    "deep encoder, relu": Case(
        TRANSLATION, size((5, 1), (4, 2), 32, (64, 32), 119, activation_function="relu")
    ),
    "deep decoder, gelu": Case(
        TRANSLATION, size((1, 5), (4, 2), 32, (24, 32), 50, activation_function="gelu")
    ),
    "other ids": Case(
        TRANSLATION,
        size((2, 1), (5, 5), 40, (16, 64), 1000, pad_token_id=3, decoder_start_token_id=5),
    ),
    "shards": Case(TRANSLATION, size((2, 2), (4, 2), 32, (24, 32), 300), shard="20KB"),
    "without head": Case("MarianModel", size((2, 3), (4, 4), 32, (64, 32), 90)),
    "without head, odd width": Case("MarianModel", size((1, 1), (3, 5), 15, (64, 8), 50)),
    "bfloat16": Case(TRANSLATION, size((2, 2), (4, 4), 32, (64, 64), 70), dtype="bfloat16"),
    "float16": Case(TRANSLATION, size((2, 2), (4, 4), 32, (64, 64), 70), dtype="float16"),
}
# What we write out although it goes without saying, and another name of the same function.
REWORDED = {
    "activation_function",
    "add_final_layer_norm",
    "normalize_before",
    "normalize_embedding",
    "static_position_embeddings",
    "bos_token_id",
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = parity.inputs(INPUTS, case.config["vocab_size"], seed)
    sinusoids = {f"{side}.embed_positions.weight" for side in ("encoder", "decoder")}
    recomputed = sinusoids if case.class_name == "MarianModel" else ()
    parity.check_case(
        case, seed, given, tmp_path, real_only=True, recomputed=recomputed, reworded=REWORDED
    )


@pytest.mark.parity
def test_stored_sinusoids_and_embeddings_stored_twice_are_read(tmp_path):
    # As transformers 4 wrote them: tied weights once more, sinusoids too.
    import safetensors.torch

    case = Case(TRANSLATION, size((1, 1), (2, 2), 16, (8, 8), 30))
    theirs = parity.draw(case, 0)
    theirs.save_pretrained(tmp_path)
    stored = {name: weight.clone() for name, weight in theirs.state_dict().items()}
    assert {"model.encoder.embed_positions.weight", "lm_head.weight"} <= set(stored)
    safetensors.torch.save_file(stored, tmp_path / "model.safetensors", {"format": "pt"})
    given = parity.inputs(INPUTS, 30, 0)
    found = tfzoo.load(tmp_path).model.probe()(given)
    assert parity.largest_difference(found, parity.outputs(theirs, given), given) < 1e-5


@pytest.mark.parity
def test_a_checkpoint_without_bias_translates_with_zeros_as_in_transformers(tmp_path):
    import transformers

    case = Case("MarianModel", size((1, 1), (2, 2), 16, (8, 8), 30))
    parity.draw(case, 0).save_pretrained(tmp_path)
    theirs = transformers.MarianMTModel.from_pretrained(tmp_path).eval()
    given = parity.inputs(INPUTS, 30, 0)
    found = tfzoo.load(tmp_path, head="conditional_generation").model(given)
    wanted = {"logits": parity.outputs(theirs, given)["logits"]}
    assert parity.largest_difference(found, wanted, given) < 1e-5


@pytest.mark.parity
def test_a_decoder_alone_is_refused_by_name(tmp_path):
    parity.draw(Case("MarianForCausalLM", size((1, 1), (2, 2), 8, (8, 8), 20)), 0).save_pretrained(
        tmp_path
    )
    with pytest.raises(UserError, match="is_decoder"):
        tfzoo.load(tmp_path)


@pytest.mark.parametrize("head", transformer.HUGGING_FACE.heads)
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head):
    model = tfzoo.build("transformer", **SMALL, head=head)
    names = [name for match in strict.matches(model, transformer.RENAMES) for name in match.names]
    assert len(names) == len(set(names))
    prefixes = transformer.HUGGING_FACE.head_weights(head)
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)
    assert all(name.startswith(("model.", *prefixes)) for name in names)


def test_every_size_of_the_config_is_read_from_a_key():
    ours = {field.name for field in dataclasses.fields(transformer.TransformerConfig)}
    assert set(transformer.HUGGING_FACE.fields.values()) == ours - {"head"}
    assert set(typing.get_args(transformer.Head)) == set(transformer.HUGGING_FACE.heads)


def read(**values):
    values = {"model_type": "marian", **values}
    values = hugging_face_config.unaliased(values, transformer.HUGGING_FACE)
    return hugging_face_config.fields(values, transformer.HUGGING_FACE, "config.json")


@pytest.mark.parity
def test_a_key_that_is_left_out_means_what_transformers_takes_it_for():
    import transformers

    theirs = transformers.MarianConfig().to_dict()
    full = read(**{key: value for key, value in theirs.items() if value is not None})
    assert transformer.TransformerConfig(**read()) == transformer.TransformerConfig(**full)
    assert set(full) == set(transformer.HUGGING_FACE.fields.values()) - {"norm_first"}


# Keys that transformers 3 and 4 wrote into the published files, with their values there.
PUBLISHED = {
    "_num_labels": 3,
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "bad_words_ids": [[58100]],
    "bos_token_id": 0,
    "classif_dropout": 0.0,
    "classifier_dropout": 0.0,
    "decoder_vocab_size": 58101,
    "forced_eos_token_id": 0,
    "gradient_checkpointing": False,
    "max_length": 512,
    "normalize_before": False,
    "normalize_embedding": False,
    "num_beams": 6,
    "num_hidden_layers": 6,
    "share_encoder_decoder_embeddings": True,
    "static_position_embeddings": True,
    "torch_dtype": "float32",
}


def test_the_keys_of_published_files_are_known():
    assert read(**PUBLISHED) == {**read(), "norm_first": False}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalize_before", True),
        ("normalize_embedding", True),
        ("add_final_layer_norm", True),
        ("static_position_embeddings", False),
        ("share_encoder_decoder_embeddings", False),
        ("tie_word_embeddings", False),
        ("encoder_layerdrop", 0.1),
        ("decoder_layerdrop", 0.1),
        ("is_encoder_decoder", False),
        ("num_attention_heads", 2),
    ],
)
def test_what_changes_the_model_and_is_not_drawn_is_refused_by_name(key, value):
    with pytest.raises(UserError, match=f"{key}.*Received: {key}="):
        read(**{key: value})


def test_a_model_with_its_norms_first_has_no_form_in_transformers(tmp_path):
    model = tfzoo.build("transformer", **SMALL, norm_first=True)
    with pytest.raises(UserError, match="norm_first=True"):
        hugging_face.write(tmp_path, model, transformer.HUGGING_FACE, None)


class TestTransformer(EncoderDecoderConformance):
    name = "transformer"
    fields = {**SMALL, "vocab_size": 50, "num_decoder_layers": 2, "head": "conditional_generation"}
    # Table 3 prints 65 and 213 million, without saying what is counted.
    counts = {"base": 63_082_496, "big": 214_245_376, "opus-mt": 73_886_208}


@pytest.mark.parametrize(
    "fact",
    [
        "a_gradient_reaches_every_weight_and_one_step_lowers_the_loss",
        "a_token_does_not_see_those_after_it",
        "decoding_step_by_step_gives_the_logits_of_one_pass",
        "padding_does_not_change_real_tokens",
        "probe_agrees_with_the_model",
        "rows_of_different_lengths_go_on_where_each_ends",
    ],
)
def test_norms_first_conform_too(fact):
    suite = TestTransformer()
    suite.fields = {**suite.fields, "norm_first": True, "activation": "silu"}
    getattr(suite, f"test_{fact}")()


@pytest.mark.parametrize("variant", ["base", "big"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_parameters_are_those_that_the_paper_describes(variant, norm_first):
    # Section 3, from the sizes of table 3: N = 6 on each side.
    width, hidden = {"base": (512, 2048), "big": (1024, 4096)}[variant]
    norm = 2 * width
    attention = 4 * (width * width + width)
    feed_forward = width * hidden + hidden + hidden * width + width
    encoder = 6 * (attention + feed_forward + 2 * norm)
    decoder = 6 * (2 * attention + feed_forward + 3 * norm)
    table = 37_000 * width  # shared by source, target and output
    final = 2 * norm if norm_first else 0
    count = models.count_parameters("transformer", variant, norm_first=norm_first)
    assert count == table + encoder + decoder + final


def build(**fields):
    model = tfzoo.build("transformer", **{**SMALL, **fields})
    fill(model)
    return model


def ones(model, ids):
    given = {name: np.array(ids) for name in model.input if name.endswith("ids")}
    return given | {name: np.ones_like(ids) for name in model.input if name.endswith("mask")}


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_encoder_layers": 0, "num_decoder_layers": 0}),
        ("dropout", {"num_decoder_layers": 0}),
        ("dropout", {"num_encoder_layers": 0}),
        ("attention_dropout", {}),
        ("activation_dropout", {}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    model = build(**{"dropout": 0.0, rate: 0.5, **more})
    given = ones(model, [[2, 7, 9, 2]])
    still, active = model(given), model(given, training=True)
    near(model(given, training=False)["sequence"], still["sequence"], 0)
    assert max(np.abs(active[name] - still[name]).max() for name in still) > 1e-3


def test_only_lookups_are_scaled_by_the_root_of_the_width():
    fields = {"num_encoder_layers": 0, "num_decoder_layers": 0, "head": "conditional_generation"}
    scaled, plain = build(**fields), build(**fields, scale_embedding=False)
    ids = np.array([[3, 1, 4]])
    table = np.asarray(plain.token_embedding.embeddings_vd)
    positions = plain.encode(ids) - table[ids]
    near(scaled.encode(ids), table[ids] * 8**0.5 + positions, 1e-6)
    near(positions, plain.encode(ids * 0) - table[0], 1e-6)
    logits = scaled(ones(scaled, ids))["logits"]
    bias = np.asarray(plain.token_embedding.bias_v)
    near(logits, np.asarray(scaled.encode(ids)) @ table.T + bias, 1e-5)


def test_norms_stand_where_norm_first_says():
    last, first = build(), build(norm_first=True)
    ids = np.array([[3, 1, 4]])
    outputs = (last(ones(last, ids)), first(ones(first, ids)))
    norms = (last.get_layer("decoder_block_0").feed_forward_norm, first.get_layer("decoder_norm"))
    for output, norm in zip(outputs, norms, strict=True):
        normed = (output["sequence"] - norm.beta) / norm.gamma
        near(np.mean(normed, -1), 0.0, 1e-5)
        near(np.var(normed, -1), 1.0, 1e-3)
    for model in (last, first):
        blocks = [model.get_layer(f"{side}_block_0") for side in ("encoder", "decoder")]
        assert [block.norm_first for block in blocks] == [model is first] * 2
    extra = {w.path for w in first.weights} - {w.path for w in last.weights}
    assert extra == {f"{s}_norm/{w}" for s in ("encoder", "decoder") for w in ("gamma", "beta")}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_encoder_heads", 3),
        ("num_decoder_heads", 5),
        ("pad_id", 20),
        ("eos_id", -1),
        ("decoder_start_id", 99),
        ("activation", "mish"),
        ("max_length", 0),
    ],
)
def test_a_config_that_makes_no_model_says_so(field, value):
    with pytest.raises(UserError, match=field):
        tfzoo.build("transformer", **{**SMALL, field: value})
