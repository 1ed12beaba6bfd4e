"""OpenAI's GPT-1 checkpoint, made here in its layout."""

import json
import math

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tfzoo.core.errors import UserError
from tfzoo.weights import openai_gpt


def shapes(width=64, layers=2, positions=20, vocab=31):
    """What params_shapes.json lists, in its order; the published one has 768, 12, 512, 40478."""
    layer = [
        [1, width, 3 * width],
        [3 * width],
        [1, width, width],
        [width],
        [width],
        [width],
        [1, width, 4 * width],
        [4 * width],
        [1, 4 * width, width],
        [width],
        [width],
        [width],
    ]
    return [[positions, width], [vocab, width], *layer * layers]


def write(folder, listed=None, pieces=10, dtype=np.float32):
    """The folder, and the flat array that its files are pieces of."""
    listed = shapes() if listed is None else listed
    folder.mkdir(exist_ok=True)
    size = sum(math.prod(shape) for shape in listed)
    flat = (np.random.default_rng(0).normal(size=size) * 0.1).astype(dtype)
    for i, piece in enumerate(np.array_split(flat, pieces)):
        np.save(folder / f"params_{i}.npy", piece)
    (folder / "params_shapes.json").write_text(json.dumps(listed))
    return folder, flat


def cut(flat, listed):
    parts = np.split(flat, np.cumsum([math.prod(shape) for shape in listed]))
    return [part.reshape(shape) for part, shape in zip(parts, listed, strict=False)]


@pytest.mark.parity
def test_a_checkpoint_computes_what_transformers_computes(tmp_path):
    import torch
    import transformers

    folder, flat = write(tmp_path / "openai", shapes(width=128), pieces=7)
    config = transformers.OpenAIGPTConfig(
        vocab_size=31, n_positions=20, n_embd=128, n_layer=2, n_head=2, attn_implementation="eager"
    )
    theirs = transformers.OpenAIGPTLMHeadModel(config).eval()
    names = [name for name, _ in theirs.transformer.named_parameters()]
    # transformers registers tokens before positions, and then the weights of a layer in the order
    # in which OpenAI's code makes them.
    names[:2] = names[1::-1]
    state = {
        f"transformer.{name}": torch.tensor(value[0] if value.ndim == 3 else value)
        for name, value in zip(names, cut(flat, shapes(width=128)), strict=True)
    }
    state["lm_head.weight"] = state["transformer.tokens_embed.weight"]
    theirs.load_state_dict(state)
    given = parity.inputs({"token_ids", "padding_mask"}, 31, 0)
    given["padding_mask"][3] = 1
    wanted = parity.outputs(theirs, given)
    found = tfzoo.load(folder).model.probe()(given)
    assert parity.largest_difference(found, wanted, given) < parity.TOLERANCE


@pytest.mark.parametrize("pieces", [1, 3, 10, 11])
def test_weights_are_cut_out_of_the_pieces(tmp_path, pieces):
    folder, flat = write(tmp_path, pieces=pieces)
    values, tensors = openai_gpt.read(folder)
    assert values == {
        "model_type": "openai-gpt",
        "architectures": ["OpenAIGPTLMHeadModel"],
        "vocab_size": 31,
        "n_positions": 20,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 1,
    }
    wanted = cut(flat, shapes())
    for (name, tensor), value in zip(tensors.items(), wanted, strict=True):
        value = value[0] if value.ndim == 3 else value
        assert tensor.shape == value.shape, name
        np.testing.assert_array_equal(tensor.read(), value)
    assert next(iter(tensors)) == "transformer.positions_embed.weight"
    assert list(tensors)[14] == "transformer.h.1.attn.c_attn.weight"


def test_the_published_shapes_are_gpt_1(tmp_path):
    config = {"width": 768, "layers": 12, "positions": 512, "vocab": 40478}
    assert sum(math.prod(shape) for shape in shapes(**config)) == 116_534_784


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (shapes()[:-1], "must list positions, tokens and 12 weights a layer. Received: 25 shapes"),
        (shapes(width=65), "tfzoo takes heads of 64"),
        ([[3], [4]], "must list positions"),
        ([[3, "x"], [4, 4]], "must be a list of shapes"),
        ([[3, 0], [4, 4]], "must be a list of shapes"),
        ({}, "must be a list of shapes"),
        ([[20, 64], [31, 64], *[[64]] * 12], "do not fit"),
    ],
)
def test_shapes_that_are_not_gpt_1s_are_refused(tmp_path, listed, message):
    write(tmp_path)
    good = isinstance(listed, list) and all(isinstance(n, int) for s in listed for n in s)
    if good:
        write(tmp_path, listed)
    (tmp_path / "params_shapes.json").write_text(json.dumps(listed))
    assert message in refused(tmp_path)


def test_pieces_that_are_missing_short_or_of_another_type_are_refused(tmp_path):
    folder, _ = write(tmp_path)
    content = (folder / "params_3.npy").read_bytes()
    np.save(folder / "params_3.npy", np.zeros(3, np.float32))
    assert "asks for" in refused(folder) and "in 10 files" in refused(folder)
    (folder / "params_3.npy").write_bytes(content[:-8])
    assert "params_3.npy cannot be read; it may be cut off" in refused(folder)
    (folder / "params_3.npy").write_bytes(b"")
    assert "params_3.npy cannot be read" in refused(folder)
    np.save(folder / "params_3.npy", np.zeros((3, 3)))
    assert "must be a flat array of float32. Received: float64, shape [3, 3]" in refused(folder)
    (folder / "params_3.npy").unlink()
    assert "must hold params_0.npy, params_1.npy" in refused(folder)


def test_a_pickle_in_a_piece_is_never_run(tmp_path):
    folder, _ = write(tmp_path)
    np.save(folder / "params_0.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert "params_0.npy cannot be read" in refused(folder)
