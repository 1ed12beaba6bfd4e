"""GPT-2 and GPT-3 against Hugging Face's GPT-2, a trained minGPT, and the papers' tables."""

import base64
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import tfzoo
from tests.models import decoders, parity
from tests.models.packed import Packed
from tests.models.parity import Case
from tfzoo.models import gpt2
from tfzoo.tasks import folder
from tfzoo.testing.conformance import DecoderConformance, fill, near
from tfzoo.weights import hugging_face

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
BY_LAYER = {"scale_attn_by_inverse_layer_idx": True}
CLASSES = {"pad_token_id": 0}
CASES = {
    "decoder": Case("GPT2Model", size(2, 4, 32, 101)),
    "decoder, odd heads, relu": Case("GPT2Model", size(3, 3, 33, 60, activation_function="relu")),
    "no layers": Case("GPT2Model", size(0, 2, 16, 33)),
    "language model": Case("GPT2LMHeadModel", size(3, 4, 32, 119)),
    "language model, shards": Case("GPT2LMHeadModel", size(4, 4, 32, 300), shard="20KB"),
    "language model, untied": Case("GPT2LMHeadModel", size(1, 7, 35, 41, **UNTIED)),
    "inner width, exact gelu, epsilon": Case(
        "GPT2LMHeadModel",
        size(2, 5, 40, 50, n_inner=23, activation_function="gelu", layer_norm_epsilon=1e-3),
    ),
    "no scale": Case("GPT2LMHeadModel", size(2, 2, 32, 50, scale_attn_weights=False)),
    "scale by layer": Case("GPT2LMHeadModel", size(4, 2, 32, 50, **BY_LAYER)),
    "scale by layer alone, upcast": Case(
        "GPT2LMHeadModel",
        size(3, 2, 16, 50, scale_attn_weights=False, reorder_and_upcast_attn=True, **BY_LAYER),
    ),
    "double heads": Case("GPT2DoubleHeadsModel", size(2, 4, 32, 70)),
    "double heads, untied": Case("GPT2DoubleHeadsModel", size(1, 2, 16, 30, **UNTIED)),
    "classes": Case("GPT2ForSequenceClassification", size(2, 4, 32, 64, num_labels=5, **CLASSES)),
    "classes, bfloat16": Case(
        "GPT2ForSequenceClassification", size(2, 1, 24, 64, **CLASSES), dtype="bfloat16"
    ),
    "tokens": Case(
        "GPT2ForTokenClassification", size(2, 4, 32, 80, num_labels=7, activation_function="silu")
    ),
    "answers, float16": Case("GPT2ForQuestionAnswering", size(2, 4, 32, 80), dtype="float16"),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(name, tmp_path):
    case, seed = CASES[name], list(CASES).index(name)
    given = decoders.inputs(case, seed)
    reworded = ("classifier_dropout", "activation_function", "reorder_and_upcast_attn")
    parity.check_case(case, seed, given, tmp_path, real_only=True, reworded=reworded)


@pytest.mark.parity
@pytest.mark.parametrize("class_name", ["GPT2DoubleHeadsModel", "GPT2ForSequenceClassification"])
def test_heads_of_one_token_read_the_last_real_one(class_name, tmp_path):
    case = Case(class_name, size(2, 4, 32, 70, pad_token_id=0))
    decoders.check_last_token(case, tmp_path)


@pytest.mark.data
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data):
    decoders.check_stored(shared_data("hf-random") / "gpt2-lm")


class TestGpt2(DecoderConformance):
    name = "gpt2"
    fields = {**SMALL, "vocab_size": 50, "max_length": 20}
    counts = {
        "small": 124_439_808,
        "medium": 354_823_168,
        "large": 774_030_080,
        "xl": 1_557_611_200,
        # What table 2.1 of the GPT-3 paper rounds.
        "gpt3-125m": 125_226_240,
        "gpt3-350m": 355_871_744,
        "gpt3-760m": 760_300_032,
        "gpt3-1.3b": 1_315_723_264,
        "gpt3-2.7b": 2_651_553_280,
        "gpt3-6.7b": 6_658_404_352,
        "gpt3-13b": 12_853_386_240,
        "gpt3-175b": 174_604_259_328,
    }


class TestPackedGpt2(Packed):
    """With a band narrower than the longest document."""

    name = "gpt2"
    fields = {**SMALL, "num_layers": 3, "window": 4}


def test_every_variant_is_counted():
    assert set(TestGpt2.counts) == set(gpt2.VARIANTS)


def test_every_weight_has_a_foreign_name_and_every_field_a_key():
    decoders.check_names(gpt2, "gpt2", SMALL)


@pytest.mark.parity
def test_defaults_are_those_of_transformers():
    decoders.check_defaults(gpt2, "gpt2", "GPT2Config", {"classifier_dropout"})


def test_sizes_may_stand_under_the_names_that_transformers_has_for_all_models():
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "n_head": 4, "num_hidden_layers": 5}
    config = decoders.read(gpt2, max_position_embeddings=7, **sizes)
    assert (config.width, config.num_heads, config.num_layers, config.max_length) == (12, 3, 5, 7)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("add_cross_attention", True),
        ("summary_type", "mean"),
        ("summary_use_proj", False),
        ("summary_proj_to_labels", False),
        ("summary_activation", "tanh"),
        ("activation_function", "quick_gelu"),
        ("position_embedding_type", "relative_key"),
        ("alibi", True),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    assert f"Received: {key}={value!r}" in decoders.refusal(gpt2, **{key: value})


def test_every_dropout_acts_in_training_and_only_there():
    cases = {
        "embedding_dropout": {"num_layers": 0},
        "dropout": {},
        "attention_dropout": {},
        "head_dropout": {"num_layers": 0, "head": "token_classification"},
        "choice_dropout": {"num_layers": 0, "head": "double_heads"},
    }
    decoders.check_dropouts("gpt2", SMALL, cases)


@pytest.mark.parametrize("more", [{}, {"window": 2, "num_layers": 3}, {"tied_output": False}])
def test_prompts_of_different_lengths_go_on_as_each_row_alone(more):
    model = tfzoo.build("gpt2", **{**SMALL, **more})
    fill(model)
    decoders.check_rows_alone(model, [[4], [9, 1, 7, 7, 2, 19], [5, 8, 3]])


def test_rows_are_packed_where_it_is_asked_for_and_never_in_a_folder(tmp_path):
    model = tfzoo.build("gpt2", **SMALL, packed=True)
    fill(model)
    hugging_face.write(tmp_path, model, gpt2.HUGGING_FACE, None, 0)
    read = [tfzoo.load(tmp_path), tfzoo.load(tmp_path, packed=True)]
    folder.save(read[1].task, tmp_path / "ours")
    read += [tfzoo.load(tmp_path / "ours"), tfzoo.load(tmp_path / "ours", packed=True)]
    assert [loaded.config.packed for loaded in read] == [False, True, False, True]
    ids = np.arange(12)[None] % 20
    given = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    for loaded in read:
        near(loaded.model(given)["logits"], model(given)["logits"], 1e-5)


def test_what_residuals_add_begins_smaller_with_the_number_of_layers():
    model = tfzoo.build("gpt2", num_layers=8, width=128, num_heads=2, vocab_size=9, max_length=4)
    block = model.get_layer("block_3")
    spread = {w.path: float(np.std(w)) for w in block.weights if w.path.endswith("kernel")}
    drawn = 0.88 * 0.02  # Keras cuts normals at two standard deviations
    assert len(spread) == 4
    for path, found in spread.items():
        wanted = drawn / 4 if path.endswith(("output/kernel", "contract/kernel")) else drawn
        assert abs(found / wanted - 1) < 0.05, path


# GPT-3's bands.


def band(length, window):
    """Which key each query sees, written out."""
    mask = np.zeros((length, length), bool)
    for query in range(length):
        for key in range(length):
            mask[query, key] = key <= query and (window is None or query - key < window)
    return mask


@pytest.mark.parametrize("window", [1, 3, 30])
def test_odd_blocks_see_a_band_of_keys_and_even_ones_all(window):
    model = tfzoo.build("gpt2", **{**SMALL, "num_layers": 4, "window": window})
    fill(model)
    length = 12
    ids = np.arange(2 * length).reshape(2, length) * 7 % 20
    seen = model.probe()({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    for i, block in enumerate(model.decoder_blocks):
        mask = band(length, window if i % 2 else None)
        weights = np.asarray(seen[f"attentions_{i}"])
        assert np.array_equal(weights > 0, np.broadcast_to(mask, weights.shape))
        output = block(seen[f"hidden_states_{i}"], mask_bqk=mask[None])
        if i < 3:
            near(output, seen[f"hidden_states_{i + 1}"], 1e-5)


def test_without_a_window_every_block_sees_all():
    model = tfzoo.build("gpt2", **SMALL)
    fill(model)
    ids = np.arange(12)[None] % 20
    seen = model.probe()({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    for i in range(2):
        assert np.array_equal(np.asarray(seen[f"attentions_{i}"])[0, 0] > 0, band(12, None))


# A trained model: minGPT's gpt-nano, which sorts six digits.


def mingpt(path):
    """The tensors of one of minGPT's files, and its sizes."""
    values = json.loads(path.read_text())
    config = values.pop("config")
    arrays = {
        name: np.frombuffer(base64.b64decode(value["data"]), "<f4").reshape(value["shape"])
        for name, value in values.items()
    }
    return config, arrays


@pytest.fixture
def sorter(shared_data, tmp_path):
    """minGPT's model as a Hugging Face folder, loaded: its Linears become Conv1Ds."""
    path = shared_data("w-gpt-nano-sort") / "gpt-nano-sort-model.json"
    config, tensors = mingpt(path)
    linear = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    tensors = {n: np.array(v.T if n.endswith(linear) else v, order="C") for n, v in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    kept = {k: config[k] for k in ("n_layer", "n_head", "n_embd", "vocab_size")}
    values = {"n_positions": config["block_size"], "tie_word_embeddings": False, **kept}
    values |= {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    (tmp_path / "config.json").write_text(json.dumps(values))
    return tfzoo.load(tmp_path).model


@pytest.mark.data
def test_a_trained_model_gives_its_stored_activations(sorter, shared_data):
    path = shared_data("w-gpt-nano-sort") / "gpt-nano-sort-t0-partials.json"
    _, stored = mingpt(path)
    ids = stored["idx"].astype(np.int32)
    found = sorter.probe()({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    wanted = {
        "hidden_states_0": stored["x"],
        "hidden_states_1": stored["block0"],
        "hidden_states_2": stored["block1"],
        "hidden_states_3": stored["ln_f"],
        "attentions_0": stored["attSm"],
        "logits": stored["lm_head"],
    }
    assert parity.largest_difference(found, wanted) < parity.TOLERANCE
    assert sorter.count_params() == 86_091 - 3 * 11 * 11  # as published, with its causal masks


@pytest.mark.data
def test_a_trained_model_sorts_500_of_500_sequences(sorter):
    digits = np.random.default_rng(0).integers(0, 3, (500, 6))
    found = decoders.greedy(sorter, digits, 6)[:, 6:]
    assert int(np.all(found == np.sort(digits), 1).sum()) == 500
