"""OpenAI's GPT-2 checkpoints, made here in their layout."""

import json

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.weights.tensorflow_checkpoint_test import write as write_variables
from tfzoo.core.errors import UserError
from tfzoo.weights import openai_gpt2

HPARAMS = {"n_vocab": 23, "n_ctx": 30, "n_embd": 12, "n_head": 3, "n_layer": 2}
SHAPES = {"wte": (23, 12), "wpe": (30, 12), "ln_f/g": (12,), "ln_f/b": (12,)}
LAYER = {
    "ln_1/g": (12,),
    "ln_1/b": (12,),
    "attn/c_attn/w": (1, 12, 36),
    "attn/c_attn/b": (36,),
    "attn/c_proj/w": (1, 12, 12),
    "attn/c_proj/b": (12,),
    "ln_2/g": (12,),
    "ln_2/b": (12,),
    "mlp/c_fc/w": (1, 12, 48),
    "mlp/c_fc/b": (48,),
    "mlp/c_proj/w": (1, 48, 12),
    "mlp/c_proj/b": (12,),
}


def arrays():
    """Variables as OpenAI's model.py names and shapes them."""
    generator = np.random.default_rng(0)
    shapes = SHAPES | {f"h{i}/{name}": shape for i in range(2) for name, shape in LAYER.items()}
    return {
        f"model/{name}": (generator.normal(size=shape) * 0.1).astype(np.float32)
        for name, shape in shapes.items()
    }


def write(folder, found, **hparams):
    write_variables(folder / "model.ckpt", found)
    (folder / "hparams.json").write_text(json.dumps(HPARAMS | hparams))
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    (folder / "model.ckpt.meta").write_bytes(b"a graph")
    return folder


@pytest.mark.parity
def test_a_checkpoint_computes_what_transformers_computes(tmp_path):
    import torch
    import transformers

    config = transformers.GPT2Config(
        vocab_size=23,
        n_positions=30,
        n_embd=12,
        n_head=3,
        n_layer=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    config._attn_implementation = "eager"
    theirs = transformers.GPT2LMHeadModel(config).eval()
    # An own mapping: OpenAI's convolutions of width 1 are transformers' Conv1D.
    state = {}
    for name, value in arrays().items():
        *scopes, last = name.removeprefix("model/").split("/")
        scopes = [f"h.{s[1:]}" if s[0] == "h" and s[1:].isdigit() else s for s in scopes]
        place = ".".join(["transformer", *scopes, {"g": "weight", "b": "bias"}.get(last, last)])
        place = f"{place}.weight" if last in ("wte", "wpe") else place
        place = f"{place[:-1]}weight" if last == "w" else place
        state[place] = torch.tensor(value).squeeze(0) if value.ndim == 3 else torch.tensor(value)
    state["lm_head.weight"] = state["transformer.wte.weight"]
    theirs.load_state_dict(state)
    loaded = tfzoo.load(write(tmp_path / "openai", arrays()))
    given = parity.inputs({"token_ids", "padding_mask"}, 23, 0)
    given["padding_mask"][3] = 1  # padding on the left moves positions in transformers alone
    wanted = parity.outputs(theirs, given)
    difference = parity.largest_difference(loaded.model.probe()(given), wanted, given)
    assert difference < parity.TOLERANCE


def test_config_and_shapes_are_in_the_words_of_hugging_face(tmp_path):
    values, tensors = openai_gpt2.read(write(tmp_path, arrays()))
    assert values == {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": 23,
        "n_positions": 30,
        "n_embd": 12,
        "n_head": 3,
        "n_layer": 2,
    }
    assert len(tensors) == len(arrays())
    kernel = tensors["transformer.h.1.mlp.c_fc.weight"]
    assert kernel.shape == (12, 48)
    np.testing.assert_array_equal(kernel.read(), arrays()["model/h1/mlp/c_fc/w"][0])
    gain = tensors["transformer.ln_f.weight"].read()
    np.testing.assert_array_equal(gain, arrays()["model/ln_f/g"])


def test_the_model_is_a_language_model(tmp_path):
    config = tfzoo.load(write(tmp_path, arrays())).config
    assert (config.head, config.num_heads, config.max_length) == ("causal_lm", 3, 30)


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_lists_both_sides(tmp_path):
    found = arrays()
    found["model/odd/w"] = found.pop("model/h1/attn/c_proj/w")
    found["model/h0/mlp/c_fc/w"] = np.zeros((1, 12, 47), np.float32)
    message = refused(write(tmp_path, found))
    assert "transformer.h.1.attn.c_proj.weight (our block_1/attention/output/kernel)" in message
    assert "unexpected in the checkpoint: model/odd/w" in message
    assert "model/h0/mlp/c_fc/w (our block_0/feed_forward/expand/kernel) [12, 47], not" in message


@pytest.mark.parametrize("hparams", [{"n_inner": 4}, {"n_head": None}])
def test_other_sizes_are_refused(tmp_path, hparams):
    write(tmp_path, arrays(), **hparams)
    if None in hparams.values():
        (tmp_path / "hparams.json").write_text('{"n_vocab": 23}')
    assert "must say n_vocab, n_ctx, n_embd, n_head, n_layer and nothing else" in refused(tmp_path)
