"""T5 against Hugging Face's own, in both directions, and the mapping between the two."""

import dataclasses
import json
import typing

import keras
import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.models.parity import Case
from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.models import t5
from tfzoo.testing.conformance import EncoderConformance, EncoderDecoderConformance, fill, near
from tfzoo.weights import hugging_face_config, strict

SMALL = {
    "vocab_size": 20,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "head_dim": 6,
    "width": 8,
    "feed_forward_dim": 16,
    "num_buckets": 8,
    "max_distance": 10,
}
INPUTS = {"encoder_token_ids", "encoder_padding_mask", "decoder_token_ids", "decoder_padding_mask"}
EOS = 1


def size(layers, heads, head_dim, width, feed_forward, vocab, buckets=8, distance=12, **more):
    return {
        "num_layers": layers,
        "num_heads": heads,
        "d_kv": head_dim,
        "d_model": width,
        "d_ff": feed_forward,
        "vocab_size": vocab,
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": distance,
        "decoder_start_token_id": 0,
        **more,
    }


NAMES = {
    "id2label": {0: "schlecht", 1: "gut", 2: "좋은"},
    "label2id": {"schlecht": 0, "gut": 1, "좋은": 2},
}
GATED = {"feed_forward_proj": "gated-gelu"}
UNTIED = {"tie_word_embeddings": False}
GENERATION, CLASSES = "T5ForConditionalGeneration", "T5ForSequenceClassification"
CASES = {
    "without head": Case("T5Model", size(2, 4, 8, 32, 64, 101)),
    "generation as 1.0": Case(GENERATION, size(2, 4, 10, 32, 64, 119)),
    "generation as 1.1": Case(GENERATION, size(2, 3, 7, 20, 33, 60, 32, 128, **GATED, **UNTIED)),
    "an output table of its own, scaled": Case(GENERATION, size(1, 5, 4, 16, 24, 77)),
    "one head wider than the model, tied, unscaled": Case(
        GENERATION, size(3, 1, 40, 12, 8, 50, 5, 9, **UNTIED, feed_forward_proj="gelu")
    ),
    "few buckets, other ids": Case(
        GENERATION,
        size(
            2, 7, 3, 24, 40, 1000, 4, 3, feed_forward_proj="gated-silu", pad_token_id=3,
            decoder_start_token_id=5, layer_norm_epsilon=1e-3,
        ),
    ),
    "shards": Case(GENERATION, size(3, 2, 8, 32, 64, 300, **GATED), shard="20KB"),
    "multilingual": Case("MT5ForConditionalGeneration", size(2, 6, 4, 32, 64, 90, **GATED)),
    "multilingual, tied": Case("MT5ForConditionalGeneration", size(1, 6, 4, 32, 64, 90)),
    "encoder": Case("T5EncoderModel", size(2, 4, 9, 32, 64, 80, 33, 40)),
    "multilingual encoder": Case("MT5EncoderModel", size(2, 3, 9, 32, 64, 80)),
    "classes with names": Case(CLASSES, size(2, 4, 8, 32, 64, 90, **NAMES)),
    "eleven classes": Case(
        CLASSES, size(1, 2, 6, 30, 64, 50, num_labels=11, classifier_dropout=0.3, **GATED)
    ),
    "tokens": Case("T5ForTokenClassification", size(2, 4, 8, 32, 64, 80, num_labels=7)),
    "multilingual tokens": Case("MT5ForTokenClassification", size(1, 4, 8, 32, 64, 80, **NAMES)),
    "answers": Case("T5ForQuestionAnswering", size(2, 4, 8, 32, 64, 80, **GATED)),
    "bfloat16": Case(GENERATION, size(2, 4, 8, 32, 64, 70), dtype="bfloat16"),
    "float16": Case(CLASSES, size(2, 4, 8, 32, 64, 70), dtype="float16"),
}  # fmt: skip
# transformers 5 ties the output table in every new model, and unties it in one that it loads.
OWN_OUTPUT = {"generation as 1.1", "an output table of its own, scaled", "shards", "multilingual"}
REWORDED = {
    "architectures",  # an mT5 comes back as a T5
    "decoder_start_token_id",
    "dense_act_fn",
    "feed_forward_proj",
    "n_positions",
    "scale_decoder_outputs",  # mT5's config has no word for it
    "is_encoder_decoder",  # transformers sets it itself where there is no decoder
}


def given_inputs(case, seed):
    if "Encoder" in case.class_name or "Token" in case.class_name:
        names = {"token_ids", "padding_mask"}
    elif case.class_name in ("T5Model", GENERATION, f"M{GENERATION}"):
        names = INPUTS
    else:
        names = {name for name in INPUTS if name.startswith("encoder_")}
    given = parity.inputs(names, case.config["vocab_size"], seed)
    if case.class_name == CLASSES:  # transformers wants as many of them in each row
        ids = given["encoder_token_ids"]
        ids[ids == EOS] = EOS + 1
        for row, places in enumerate([(3, 18), (0, 6), (0, 17), (4, 18), (10, 11)]):
            ids[row, list(places)] = EOS
    return given


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(
    name, tmp_path, monkeypatch
):
    case, seed = CASES[name], list(CASES).index(name)
    tied_draw = parity.draw

    def draw(*arguments):
        import torch

        model = tied_draw(*arguments)
        values = torch.randn(model.lm_head.weight.shape) * 0.1
        model.lm_head.weight = torch.nn.Parameter(values)
        return model

    if name in OWN_OUTPUT:
        monkeypatch.setattr(parity, "draw", draw)
    given = given_inputs(case, seed)
    loaded = parity.check_case(case, seed, given, tmp_path, real_only=True, reworded=REWORDED)
    if loaded.config.head == "conditional_generation":
        assert loaded.config.tied_output == (name not in OWN_OUTPUT)


STORED = {"input_ids": "encoder_token_ids", "attention_mask": "encoder_padding_mask"}


@pytest.mark.data
@pytest.mark.parity
@pytest.mark.parametrize("name", ["t5-v1.0", "t5-v1.1"])
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data, name):
    """As near to what float64 gives as what transformers stored is.

    Scores that are not scaled make rounding errors grow: the stored logits of 1.1 are 2e-5 off, so
    two computations in float32 need not be within 1e-5 of each other.
    """
    import transformers

    path = shared_data("hf-random") / name
    given, stored = (dict(np.load(path / f"{kind}.npz")) for kind in ("inputs", "outputs"))
    given = {STORED.get(key, "decoder_token_ids"): value for key, value in given.items()}
    given["decoder_padding_mask"] = np.ones_like(given["decoder_token_ids"])
    greedy, _ = stored.pop("greedy"), stored.pop("beam3")
    stored["encoder_sequence"] = stored.pop("encoder_last_hidden_state")
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(path).double().eval()
    theirs.set_attn_implementation("eager")
    exact = parity.outputs(theirs, given)
    model = tfzoo.load(f"hf:{path}").model
    found = model.probe()(given)
    assert len(stored) == 8
    for key, value in stored.items():
        near(found[key], exact[key], max(1e-5, 2 * np.abs(value - exact[key]).max()))

    # The likeliest tokens, one cached step each, until the end of the text.
    sequence = model.encode(given["encoder_token_ids"], given["encoder_padding_mask"])
    caches = model.empty_caches(sequence, greedy.shape[1])
    ids, done = greedy[:, :1], np.zeros(len(greedy), bool)
    for place in range(greedy.shape[1] - 1):
        mask = given["encoder_padding_mask"]
        logits, caches = model.step(ids[:, -1:], caches, place, encoder_padding_mask=mask)
        likeliest = np.where(done, 0, np.argmax(logits[:, 0], -1))
        done |= likeliest == EOS
        ids = np.concatenate([ids, likeliest[:, None]], 1)
    assert np.array_equal(ids, greedy)


# What a checkpoint says about itself.


def save(tmp_path, class_name, drop=(), add=None, legacy=None, **config):
    """A small folder as transformers writes it, with other keys and other names of weights."""
    from safetensors.numpy import load_file, save_file

    sizes = size(1, 2, 4, 8, 16, 20)
    theirs = parity.draw(Case(class_name, sizes), 3)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    values = {**json.loads(path.read_text()), **config}
    path.write_text(json.dumps({k: v for k, v in values.items() if k not in drop}))
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | (add or (lambda stored: {}))(tensors), tmp_path / "model.safetensors")
    return theirs


@pytest.mark.parity
def test_a_file_of_transformers_4_that_unties_is_not_scaled(tmp_path):
    own = {"lm_head.weight": np.full((20, 8), 0.5, "float32")}
    save(
        tmp_path,
        GENERATION,
        ("scale_decoder_outputs",),
        lambda stored: own,
        tie_word_embeddings=False,
    )
    config = tfzoo.load(tmp_path).config
    assert (config.tied_output, config.scale_output) == (False, False)


@pytest.mark.parity
def test_a_file_of_transformers_4_that_ties_is_scaled(tmp_path):
    def copies(stored):
        names = ("lm_head", "encoder.embed_tokens", "decoder.embed_tokens")
        return {f"{name}.weight": stored["shared.weight"] for name in names}

    save(tmp_path, GENERATION, ("scale_decoder_outputs", "tie_word_embeddings"), copies)
    config = tfzoo.load(tmp_path).config
    assert (config.tied_output, config.scale_output) == (True, True)


@pytest.mark.parity
def test_an_encoder_with_a_token_table_of_its_own_is_refused(tmp_path):
    own = {"encoder.embed_tokens.weight": np.zeros((20, 8), "float32")}
    save(tmp_path, GENERATION, (), lambda stored: own)
    with pytest.raises(UserError, match="different values for weights that are always one"):
        tfzoo.load(tmp_path)


@pytest.mark.parity
def test_names_of_2019_are_read(tmp_path):
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    theirs = save(
        tmp_path,
        GENERATION,
        ("scale_decoder_outputs", "dense_act_fn", "is_gated_act", "num_decoder_layers"),
        lambda stored: {name: np.ones((8, 2), "float32")},
        architectures=["T5WithLMHeadModel"],
        n_positions=512,
        output_past=True,
        task_specific_params={"summarization": {"prefix": "summarize: "}},
    )
    given = given_inputs(Case(GENERATION, {"vocab_size": 20}), 0)
    found = tfzoo.load(tmp_path).model(given)
    wanted = parity.outputs(theirs, given)["logits"]
    assert parity.largest_difference(found, {"logits": wanted}, given) < parity.TOLERANCE


@pytest.mark.parity
def test_the_encoder_alone_is_read_from_a_whole_model(tmp_path):
    theirs = save(tmp_path, GENERATION)
    given = parity.inputs({"token_ids", "padding_mask"}, 20, 0)
    loaded = tfzoo.load(tmp_path, head="encoder")
    assert set(loaded.model.input) == set(given)
    wanted = parity.outputs(theirs.encoder, given)["sequence"]
    near(loaded.model(given)["sequence"], wanted, parity.TOLERANCE)


@pytest.mark.parity
def test_a_new_head_stands_on_a_whole_model_but_never_on_a_new_decoder(tmp_path):
    save(tmp_path / "whole", GENERATION)
    save(tmp_path / "half", "T5EncoderModel")
    for head, has_decoder in (("classification", True), ("token_classification", False)):
        loaded = tfzoo.load(tmp_path / "whole", head=head, labels=["a", "b"])
        assert any("decoder" in w.path for w in loaded.model.weights) == has_decoder
    with pytest.raises(UserError, match="missing from the checkpoint"):
        tfzoo.load(tmp_path / "half", head="classification", labels=["a", "b"])
    with pytest.raises(UserError, match="holds no weights for head=classification"):
        tfzoo.load(tmp_path / "whole", head="classification")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dense_act_fn", "gelu", "feed_forward_proj=relu means dense_act_fn=relu"),
        ("is_gated_act", True, "feed_forward_proj=relu means is_gated_act=False"),
        ("feed_forward_proj", "gated-mish", "Received: feed_forward_proj='gated-mish'"),
        ("is_decoder", True, "Received: is_decoder=True"),
        ("relative_attention", 1, "the key `relative_attention`"),
        ("model_type", "umt5", "Received: model_type='umt5'"),
    ],
)
def test_what_is_no_t5_is_refused_by_name(tmp_path, key, value, message):
    values = {"model_type": "t5", "architectures": [GENERATION], key: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    with pytest.raises(UserError) as error:
        tfzoo.load(tmp_path)
    assert message in str(error.value)


# The mapping.


@pytest.mark.parametrize("head", t5.HUGGING_FACE.heads)
@pytest.mark.parametrize("more", [{}, {"activation": "gated_silu", "tied_output": False}])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, more):
    model = tfzoo.build("t5", **SMALL, head=head, **more)
    names = [name for match in strict.matches(model, t5.RENAMES) for name in match.names]
    assert len(names) == len(set(names))
    prefixes = t5.HUGGING_FACE.head_weights(head, more.get("tied_output", True))
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)
    assert all(name.startswith(("transformer.", *prefixes)) for name in names)


def test_every_size_of_the_config_is_read_from_a_key():
    ours = {field.name for field in dataclasses.fields(t5.T5Config)}
    assert set(t5.HUGGING_FACE.fields.values()) == ours - {"head", "num_labels"}
    assert set(typing.get_args(t5.Head)) == set(t5.HUGGING_FACE.heads)


def test_defaults_are_those_of_transformers():
    written = hugging_face_config.values(t5.T5Config(), t5.HUGGING_FACE, None, 0)
    # As printed in configuration_t5.py of transformers 5.23.
    defaults = {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": 6,
        "num_heads": 8,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "relu",
        "pad_token_id": 0,
        "eos_token_id": 1,
        "classifier_dropout": 0.0,
        "scale_decoder_outputs": True,
        "tie_word_embeddings": True,
    }
    assert {key: written[key] for key in defaults} == defaults
    read = hugging_face_config.fields({"model_type": "t5"}, t5.HUGGING_FACE, "config.json")
    assert t5.T5Config(**read) == t5.T5Config()


def test_an_mt5_that_says_nothing_is_an_mt5_small():
    values = hugging_face_config.unaliased({"model_type": "mt5"}, t5.HUGGING_FACE)
    fields = hugging_face_config.fields(values, t5.HUGGING_FACE, "config.json")
    expected = models.config("t5", "mt5-small", tied_output=True)
    assert dataclasses.replace(t5.T5Config(**fields), num_decoder_layers=8) == expected


# Sizes.


def parameters(layers, width, feed_forward, heads, vocab_size):
    """Of a 1.1, by hand: all has 64 columns a head, 32 distances, and two token tables."""
    attention = 4 * width * 64 * heads
    network = 3 * width * feed_forward + width
    encoder = layers * (attention + width + network) + 32 * heads + width
    decoder = layers * (2 * (attention + width) + network) + 32 * heads + width
    return 2 * vocab_size * width + encoder + decoder


# released_checkpoints.md of google-research/text-to-text-transfer-transformer, and the config.json
# of the checkpoints google/t5-v1_1-*, google/flan-t5-* and google/mt5-*.
@pytest.mark.parametrize(("prefix", "vocab_size"), [("v1.1", 32_128), ("mt5", 250_112)])
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("small", (8, 512, 1024, 6)),
        pytest.param("base", (12, 768, 2048, 12), marks=pytest.mark.slow),
        pytest.param("large", (24, 1024, 2816, 16), marks=pytest.mark.slow),
        pytest.param("xl", (24, 2048, 5120, 32), marks=pytest.mark.slow),
        pytest.param("xxl", (24, 4096, 10_240, 64), marks=pytest.mark.slow),
    ],
)
def test_variants_of_1_1_have_as_many_parameters_as_their_sizes_say(
    prefix, vocab_size, name, sizes
):
    expected = parameters(*sizes, vocab_size)
    assert models.count_parameters("t5", f"{prefix}-{name}") == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_buckets", 3),
        ("max_distance", 4),
        ("activation", "gated"),
        ("eos_id", 20),
        ("width", 0),
    ],
)
def test_sizes_that_make_no_model_are_refused(field, value):
    with pytest.raises(UserError, match=f"{field} must be"):
        tfzoo.build("t5", **{**SMALL, field: value})


# What the graph does.


class TestT5(EncoderDecoderConformance):
    name = "t5"
    # The suite's kernels are of rank two, and T5 does not scale products of queries and keys. With
    # wider heads they would be so large that a rounding error grows twentyfold in each block.
    fields = {
        **SMALL,
        "vocab_size": 50,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "head_dim": 3,
        "width": 16,
        "feed_forward_dim": 8,
    }
    # The sum of the weights of the published checkpoints.
    counts = {
        "small": 60_506_624,
        "base": 222_903_552,
        "large": 737_668_096,
        "3b": 2_851_598_336,
        "11b": 11_307_321_344,
    }


@pytest.mark.slow
class TestT5v11(EncoderDecoderConformance):
    name = "t5"
    fields = {
        **TestT5.fields,
        "activation": "gated_gelu_tanh",
        "tied_output": False,
        "scale_output": False,
    }
    counts = {}


class TestEncoder(EncoderConformance):
    name = "t5"
    fields = {**TestT5.fields, "head": "encoder"}
    counts = {}


PAIR = {
    "encoder_token_ids": np.array([[5, 7, 1, 9]]),
    "encoder_padding_mask": np.array([[1, 1, 1, 1]]),
    "decoder_token_ids": np.array([[0, 4, 8]]),
    "decoder_padding_mask": np.array([[1, 1, 1]]),
}


def inputs_of(model):
    return {key: PAIR.get(key, PAIR.get(f"encoder_{key}")) for key in model.input}


@pytest.mark.parametrize(
    ("rate", "head"),
    [
        ("dropout", "none"),
        ("dropout", "encoder"),
        ("head_dropout", "classification"),
        ("head_dropout", "token_classification"),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, head):
    model = tfzoo.build("t5", **SMALL, head=head, **{"dropout": 0.0, rate: 0.5})
    fill(model)
    given = inputs_of(model)
    for name, still in model(given).items():
        near(model(given, training=False)[name], still, 0)
        assert np.abs(model(given, training=True)[name] - still).max() > 1e-3


def test_the_rate_reaches_every_place_that_drops():
    model = tfzoo.build("t5", **SMALL, dropout=0.25)
    block = model.get_layer("decoder_block_0")
    layers = [
        model.get_layer("dropout"),
        block.dropout,
        block.attention.attention_dropout,
        block.cross_attention.attention_dropout,
        block.feed_forward.dropout,
    ]
    assert [layer.rate for layer in layers] == [0.25] * 5


def test_classification_reads_the_decoder_at_the_last_end_of_the_encoders_text():
    model = tfzoo.build("t5", **SMALL, head="classification")
    fill(model)
    given = inputs_of(model)
    # The decoder at place i has read the encoder's ids before i, so what stands at 3 is not seen.
    found = model({**given, "encoder_token_ids": np.array([[5, 1, 1, 9]])})
    features = model.features()({**given, "encoder_token_ids": np.array([[5, 1, 1, 9]])})
    hidden = model.get_layer("classifier_hidden")(features["sequence"][:, 2])
    near(found["logits"], model.get_layer("classifier")(hidden), 1e-6)


def test_scores_begin_as_large_as_if_they_were_scaled():
    keras.utils.set_random_seed(0)
    model = tfzoo.build("t5", **{**SMALL, "head_dim": 64, "width": 64})
    kernel = np.asarray(model.get_layer("encoder_block_0").attention.qkv.kernel)
    query, key, _ = np.split(kernel, 3, axis=1)
    near([query.std() * 64, key.std() * 8], [1, 1], 0.05)


def test_weights_beyond_float16_give_finite_numbers():
    fields = {**TestT5.fields, "activation": "gated_relu"}
    outputs = {}
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = tfzoo.build("t5", **fields)
        finally:
            keras.config.set_dtype_policy("float32")
        fill(model)
        for weight in model.weights:
            if weight.path.endswith(("linear/kernel", "contract/kernel")):
                weight.assign(weight * 300)
        outputs[policy] = model.probe()(PAIR)
    exact, rough = outputs["float32"], outputs["mixed_float16"]
    assert np.abs(exact["encoder_hidden_states_1"]).max() > np.finfo("float16").max
    for name in ("encoder_hidden_states_1", "logits"):
        near(rough[name], exact[name], 0.02 * np.abs(exact[name]).max())
