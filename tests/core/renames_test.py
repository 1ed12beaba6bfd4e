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
