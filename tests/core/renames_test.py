"""Rename rules."""

import pytest

from tfzoo.core import renames
from tfzoo.core.renames import Rename

RULES = (
    *renames.dense("block_{i}/attention/qkv", "layer.{i}.q", "layer.{i}.k", "layer.{i}.v"),
    *renames.norm("norm", "LayerNorm"),
    renames.table("table", "words"),
    Rename("output_bias", ("final_bias",), row=True),
)


def test_the_layer_number_is_carried_over():
    rule, names = renames.find(RULES, "block_12/attention/qkv/kernel")
    assert names == ("layer.12.q.weight", "layer.12.k.weight", "layer.12.v.weight")
    assert rule.transpose


def test_names_match_whole_and_literally():
    for path in ("block_/attention/qkv/kernel", "xnorm/gamma", "norm/gammas", "block_a/attention"):
        with pytest.raises(KeyError, match=path):
            renames.find(RULES, path)
    assert Rename("a.c", ("x",)).match("abc") is None


def test_norms_and_tables():
    assert renames.find(RULES, "norm/gamma")[1] == ("LayerNorm.weight",)
    assert renames.find(RULES, "norm/beta")[1] == ("LayerNorm.bias",)
    assert renames.find(RULES, "table/embeddings")[1] == ("words.weight",)


@pytest.mark.parametrize(
    ("path", "shape", "part"),
    [
        ("block_0/attention/qkv/kernel", (4, 18), (6, 4)),
        ("block_0/attention/qkv/bias", (18,), (6,)),
        ("table/embeddings", (7, 4), (7, 4)),
        ("output_bias", (7,), (1, 7)),
    ],
)
def test_a_fused_weight_is_made_of_equal_transposed_parts(path, shape, part):
    assert renames.part_shape(renames.find(RULES, path)[0], shape) == part


def test_a_layer_from_fairseq_covers_every_weight_of_a_block():
    rules = (
        *renames.fairseq_layer("encoder_{i}", "encoder.layers.{i}"),
        *renames.fairseq_layer("decoder_{i}", "decoder.layers.{i}", cross=True),
    )
    attention = "decoder.layers.3.encoder_attn"
    found = {
        "decoder_3/cross_attention/key_value/kernel": ("k_proj.weight", "v_proj.weight"),
        "decoder_3/cross_attention/query/bias": ("q_proj.bias",),
        "decoder_3/cross_attention/output/bias": ("out_proj.bias",),
    }
    for path, names in found.items():
        assert renames.find(rules, path)[1] == tuple(f"{attention}.{name}" for name in names)
    norm = renames.find(rules, "decoder_3/cross_attention_norm/gamma")[1]
    assert norm == ("decoder.layers.3.encoder_attn_layer_norm.weight",)
    assert renames.find(rules, "encoder_0/feed_forward_norm/beta")[1] == (
        "encoder.layers.0.final_layer_norm.bias",
    )
    with pytest.raises(KeyError):
        renames.find(rules, "encoder_0/cross_attention_norm/gamma")


def test_a_stack_of_t5_has_kernels_gains_and_one_table_of_distances():
    rules = (*renames.t5_stack("encoder", "enc", 1), *renames.t5_stack("decoder", "dec", 2))
    first, place = "layer.0.SelfAttention", "dec.block.3.layer"
    network = "enc.block.1.layer.1.DenseReluDense"
    found = {
        "decoder_block_3/cross_attention/key_value/kernel": (
            f"{place}.1.EncDecAttention.k.weight",
            f"{place}.1.EncDecAttention.v.weight",
        ),
        "decoder_block_3/attention/output/kernel": (f"{place}.0.SelfAttention.o.weight",),
        "decoder_block_3/feed_forward/linear/kernel": (f"{place}.2.DenseReluDense.wi_1.weight",),
        "decoder_block_3/feed_forward_norm/gamma": (f"{place}.2.layer_norm.weight",),
        "encoder_block_1/feed_forward/expand/kernel": (f"{network}.wi.weight",),
        "encoder_positions/embeddings": (f"enc.block.0.{first}.relative_attention_bias.weight",),
        "encoder_norm/gamma": ("enc.final_layer_norm.weight",),
    }
    for path, names in found.items():
        rule, theirs = renames.find(rules, path)
        assert theirs == names
        assert rule.transpose == path.endswith("kernel")
    with pytest.raises(KeyError):
        renames.find(rules, "encoder_block_0/attention/qkv/bias")
