"""T5X's checkpoints of T5, made here in their layout."""

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.weights.msgpack_file_test import pack
from tests.weights.transformers_flax_test import nested
from tests.weights.zarr_array_test import write as write_zarr
from tfzoo.core.errors import UserError
from tfzoo.weights import t5x

SMALL = {"vocab_size": 23, "d_model": 10, "num_layers": 2, "num_heads": 3, "d_kv": 4, "d_ff": 14}
V11 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def parameters(config):
    """Names and shapes as T5X's examples/t5/network.py has them."""
    width, joined, d_ff = config["d_model"], config["num_heads"] * config["d_kv"], config["d_ff"]
    gated = "feed_forward_proj" in config
    attention = {
        **{f"{name}/kernel": (width, joined) for name in ("query", "key", "value")},
        "out/kernel": (joined, width),
    }
    mlp = {f"{name}/kernel": (width, d_ff) for name in (("wi_0", "wi_1") if gated else ("wi",))}
    mlp["wo/kernel"] = (d_ff, width)
    found = {"token_embedder/embedding": (config["vocab_size"], width)}
    for stack, parts in (
        ("encoder", {"attention": ("attention", attention)}),
        (
            "decoder",
            {
                "self_attention": ("self_attention", attention),
                "encoder_decoder_attention": ("cross_attention", attention),
            },
        ),
    ):
        found[f"{stack}/{stack}_norm/scale"] = (width,)
        found[f"{stack}/relpos_bias/rel_embedding"] = (config["num_heads"], 32)
        for i in range(config["num_layers"]):
            for module, (norm, weights) in (parts | {"mlp": ("mlp", mlp)}).items():
                place = f"{stack}/layers_{i}"
                found[f"{place}/pre_{norm}_layer_norm/scale"] = (width,)
                found |= {f"{place}/{module}/{name}": shape for name, shape in weights.items()}
    if not config.get("tie_word_embeddings", True):
        found["decoder/logits_dense/kernel"] = (width, config["vocab_size"])
    return found


def draw(config):
    generator = np.random.default_rng(0)
    return {
        name: (generator.normal(size=shape) * 0.2 + name.endswith("scale")).astype(np.float32)
        for name, shape in parameters(config).items()
    }


def write(folder, arrays, outside=(), **more):
    """A checkpoint; the arrays whose names are in `outside` get a folder each."""
    target = dict(arrays)
    for name in outside:
        place = "target." + name.replace("/", ".")
        chunks = tuple(-(-n // 2) for n in arrays[name].shape)
        write_zarr(folder / place, arrays[name], chunks)
        target[name] = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "gfile", "path": place},
            "metadata": {"compressor": {"id": "gzip"}, "shape": list(arrays[name].shape)},
        }
    folder.mkdir(exist_ok=True)
    state = {"step": np.array(9, np.int32), "param_states": {"v": np.zeros(3, np.float32)}}
    tree = {"version": 3, "optimizer": {"target": nested(target), "state": state}}
    (folder / "checkpoint").write_bytes(pack(tree | more))
    return folder


def state_of(arrays, config):
    """The same weights as transformers' state_dict, by a mapping of the test's own."""
    state = {"shared.weight": arrays["token_embedder/embedding"]}
    names = {"query": "q", "key": "k", "value": "v", "out": "o"}
    for stack, modules in (
        ("encoder", ("attention", "mlp")),
        ("decoder", ("self_attention", "encoder_decoder_attention", "mlp")),
    ):
        state[f"{stack}.final_layer_norm.weight"] = arrays[f"{stack}/{stack}_norm/scale"]
        place = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        state[place] = arrays[f"{stack}/relpos_bias/rel_embedding"].T
        state[f"{stack}.embed_tokens.weight"] = state["shared.weight"]
        for i in range(config["num_layers"]):
            for number, module in enumerate(modules):
                theirs = f"{stack}.block.{i}.layer.{number}"
                ours = f"{stack}/layers_{i}"
                norm = "cross_attention" if module.startswith("encoder_") else module
                state[f"{theirs}.layer_norm.weight"] = arrays[f"{ours}/pre_{norm}_layer_norm/scale"]
                name = {"mlp": "DenseReluDense", "encoder_decoder_attention": "EncDecAttention"}
                for key, value in arrays.items():
                    if key.startswith(f"{ours}/{module}/"):
                        part = key.split("/")[-2]
                        place = f"{theirs}.{name.get(module, 'SelfAttention')}"
                        state[f"{place}.{names.get(part, part)}.weight"] = value.T
    head = arrays.get("decoder/logits_dense/kernel")
    state["lm_head.weight"] = state["shared.weight"] if head is None else head.T
    return state


@pytest.mark.parity
@pytest.mark.parametrize("more", [{}, V11])
def test_a_checkpoint_computes_what_transformers_computes(tmp_path, more):
    import torch
    import transformers

    config = SMALL | more
    arrays = draw(config)
    # Under this name transformers knows the gelu that T5X's is, the tanh form.
    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**config)).eval()
    theirs.set_attn_implementation("eager")
    state = {name: torch.tensor(value) for name, value in state_of(arrays, config).items()}
    # transformers 5 ties the two tables in a new model, whatever its config says.
    theirs.lm_head.weight = torch.nn.Parameter(state["lm_head.weight"])
    theirs.load_state_dict(state)
    large = [name for name, value in arrays.items() if value.ndim == 2]
    loaded = tfzoo.load(write(tmp_path / "t5x", arrays, large))
    given = parity.inputs(loaded.model.input, config["vocab_size"], 0)
    wanted = parity.outputs(theirs, given)
    difference = parity.largest_difference(loaded.model.probe()(given), wanted, given)
    assert difference < parity.TOLERANCE


@pytest.mark.parametrize("more", [{}, V11])
def test_sizes_follow_from_the_shapes(tmp_path, more):
    values, tensors = t5x.read(write(tmp_path, draw(SMALL | more)))
    assert values == {
        **SMALL,
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "num_decoder_layers": 2,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
        **more,
    }
    wanted = state_of(draw(SMALL | more), SMALL)
    for name, tensor in tensors.items():
        assert tensor.shape == wanted[name].shape
        np.testing.assert_array_equal(tensor.read(), wanted[name])


def test_heads_in_an_axis_of_their_own_are_joined(tmp_path):
    arrays = draw(SMALL)
    joined = t5x.read(write(tmp_path / "a", arrays))[1]
    split = {
        name: value.reshape(3, 4, 10)
        if name.endswith("out/kernel")
        else value.reshape(10, 3, 4)
        if "attention/" in name and "kernel" in name
        else value
        for name, value in arrays.items()
    }
    for name, tensor in t5x.read(write(tmp_path / "b", split))[1].items():
        assert tensor.shape == joined[name].shape
        np.testing.assert_array_equal(tensor.read(), joined[name].read())


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize(
    ("more", "line", "form"),
    [
        ({}, "network.T5Config.mlp_activations = ('gelu',)", "gelu_new"),
        (V11, "  mlp_activations=('silu', 'linear')", "gated-silu"),
        (V11, "network.T5Config.mlp_activations = (\n    'gelu',\n    'linear')", "gated-gelu"),
        (V11, "# mlp_activations = ('relu', 'linear')", "gated-gelu"),
    ],
)
def test_a_gin_file_says_the_activation(tmp_path, above, more, line, form):
    folder = write(tmp_path / "x", draw(SMALL | more))
    (folder.parent if above else folder).joinpath("config.gin").write_text(f"a = 1\n{line}\n")
    assert t5x.read(folder)[0]["feed_forward_proj"] == form


def test_an_activation_that_the_weights_contradict_is_refused(tmp_path):
    write(tmp_path, draw(SMALL))
    (tmp_path / "config.gin").write_text("mlp_activations = ('gelu', 'linear')")
    assert "Received: ('gelu', 'linear')" in refused(tmp_path)


def refused(folder):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_lists_both_sides(tmp_path):
    arrays = draw(SMALL)
    arrays["encoder/layers_0/odd/kernel"] = arrays.pop("encoder/layers_1/mlp/wo/kernel")
    arrays["decoder/layers_1/pre_mlp_layer_norm/scale"] = np.zeros(3, np.float32)
    message = refused(write(tmp_path, arrays))
    assert "encoder.block.1.layer.1.DenseReluDense.wo.weight" in message
    assert "unexpected in the checkpoint: optimizer/target/encoder/layers_0/odd/kernel" in message
    assert "decoder/layers_1/pre_mlp_layer_norm/scale" in message and "[3], not [10]" in message


def test_scanned_layers_are_refused_by_name(tmp_path):
    arrays = {"encoder/encoder/attention/key/kernel": np.zeros((10, 2, 12), np.float32)}
    assert "holds scanned layers" in refused(write(tmp_path, arrays))


def test_a_folder_that_is_missing_is_named(tmp_path):
    write(tmp_path, draw(SMALL), ["token_embedder/embedding"])
    (tmp_path / "target.token_embedder.embedding" / ".zarray").unlink()
    assert "names token_embedder/embedding, but" in refused(tmp_path)


def test_what_is_not_t5_is_refused(tmp_path):
    arrays = draw(SMALL)
    del arrays["encoder/relpos_bias/rel_embedding"]
    assert "is not a T5 of T5X: it has no two-dimensional" in refused(write(tmp_path, arrays))
    assert "tfzoo does not know: flax_mutables" in refused(
        write(tmp_path, draw(SMALL), flax_mutables={})
    )
    (tmp_path / "checkpoint").write_bytes(pack({"a": 1}))
    assert "no `optimizer/target`" in refused(tmp_path)


def test_tensorflows_file_of_this_name_is_another(tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert not t5x.matches(tmp_path)
    assert not t5x.matches(tmp_path / "nowhere")
