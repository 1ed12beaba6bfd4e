"""Which weight learns how fast, and from when on."""

import pytest

import tfzoo
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import OptimizerChoice
from tfzoo.train import rates as module
from tfzoo.train.rates import decays, depths

ENCODER = (
    "token_embedding/embeddings",
    "token_embedding/output_bias",
    "embedding_norm/gamma",
    "block_0/attention/qkv/kernel",
    "block_0/attention/qkv/bias",
    "block_1/attention/qkv/kernel",
    "block_2/attention/qkv/kernel",
    "pooler/kernel",
    "classifier/bias",
)
T5 = (
    "token_embedding/embeddings",
    "encoder_block_0/attention/qkv/kernel",
    "encoder_block_1/attention/qkv/kernel",
    "encoder_positions/embeddings",
    "encoder_norm/gamma",
    "decoder_block_0/attention/qkv/kernel",
    "decoder_block_1/attention/qkv/kernel",
    "decoder_block_2/attention/qkv/kernel",
    "decoder_positions/embeddings",
    "decoder_norm/gamma",
)


def rates(paths=ENCODER, steps_per_epoch=10, total_steps=100, **fields):
    found = module.rates(OptimizerChoice(**fields), paths, steps_per_epoch, total_steps)
    return dict(zip(paths, found, strict=True))


def factors(**fields):
    return [rate.factor for rate in rates(**fields).values()]


def test_by_default_all_weights_learn_alike_from_the_beginning():
    assert {(rate.factor, rate.start) for rate in rates().values()} == {(1.0, 0)}


def test_norms_and_biases_do_not_decay():
    kept = [path for path, rate in rates().items() if rate.decays]
    assert kept == [p for p in ENCODER if p.endswith(("kernel", "embeddings"))]
    assert not decays("token_embedding/output_bias")


def test_other_weights_may_be_kept_from_decay():
    left = {p for p, rate in rates(no_decay=("embedding", "^pooler")).items() if not rate.decays}
    assert left == {*ENCODER[:3], "pooler/kernel"}
    assert all(rate.decays for rate in rates(no_decay=()).values())


def test_each_block_learns_slower_than_the_one_above_it():
    expected = [0.5**4, 1, 0.5**4, 0.5**3, 0.5**3, 0.5**2, 0.5, 1, 1]
    assert factors(layer_decay=0.5) == expected


def test_both_stacks_are_counted_from_their_own_top():
    assert list(depths(T5).values()) == [4, 2, 1, 3, 0, 3, 2, 1, 4, 0]


SIZES = {"width": 8, "vocab_size": 20}
STACKS = {"num_encoder_layers": 1, "num_decoder_layers": 2}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("bert", {"num_layers": 1, "num_heads": 2, "feed_forward_dim": 8, "head": "pretraining"}),
        ("gpt2", {"num_layers": 1, "num_heads": 2, "feed_forward_dim": 8}),
        ("bloom", {"num_layers": 1, "num_heads": 2, "bos_id": 1, "eos_id": 2}),
        ("t5", {**STACKS, "num_heads": 2, "head_dim": 4, "feed_forward_dim": 8}),
        ("bart", {**STACKS, "num_encoder_heads": 2, "num_decoder_heads": 2}),
        ("transformer", {**STACKS, "num_encoder_heads": 2, "num_decoder_heads": 2}),
    ],
)
def test_the_zoo_is_divided_into_heads_blocks_and_embeddings(name, fields):
    weights = tfzoo.build(name, **SIZES, **fields).trainable_variables
    found = depths(weight.path for weight in weights)
    stacks = {"encoder_": 1, "decoder_": 2} if "num_encoder_layers" in fields else {"": 1}
    heads = ("mlm_", "pooler", "next_", "final_norm", "encoder_norm", "decoder_norm", "lm_head")
    for path, depth in found.items():
        first, _, last = path.partition("/")
        stack = next((s for s in stacks if s and first.startswith(s)), "")
        blocks = stacks.get(stack, 2)
        if "block_" in first:
            assert depth == blocks - int(first.rpartition("_")[2]), path
        elif first.startswith(heads) or last == "output_bias":
            assert depth == 0, path
        else:
            assert "embedding" in first or "positions" in first, path
            assert depth == blocks + 1, path


def test_factors_of_all_patterns_multiply():
    expected = [0.5**4, 1, 0.5**4, *[0.5**3 * 2 * 3] * 2, 0.25 * 2, 0.5 * 2, 1, 1]
    assert factors(layer_decay=0.5, rates={"qkv": 2.0, "^block_0/": 3.0}) == expected


def test_frozen_weights_have_a_factor_of_0():
    assert factors(frozen=("embedding", "block_[01]/")) == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert factors(rates={"embedding": 0.0}) == [0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_blocks_are_unfrozen_one_after_the_other_from_the_last_down():
    starts = [rate.start for rate in rates(unfreeze_every="1 epochs").values()]
    assert starts == [40, 0, 40, 30, 30, 20, 10, 0, 0]
    assert rates(unfreeze_every="5%")["block_2/attention/qkv/kernel"].start == 5
    assert rates(unfreeze_every="7 steps")["block_1/attention/qkv/kernel"].start == 14


@pytest.mark.parametrize(
    "fields",
    [{"frozen": ("blok_0/",)}, {"rates": {"blok_0/": 2.0}}, {"no_decay": ("blok_0/",)}],
)
def test_a_pattern_that_finds_no_weight_is_refused_with_the_nearest_paths(fields):
    (key,) = fields
    message = rf"optimizer\.{key}: no weight's path holds 'blok_0/'.* are block_0/attention/qkv/"
    with pytest.raises(UserError, match=message):
        rates(**fields)


def test_a_model_without_blocks_has_no_layers_to_tell_apart():
    paths = ("hidden/kernel", "hidden/bias")
    assert [rate.factor for rate in rates(paths).values()] == [1, 1]
    for fields in ({"layer_decay": 0.5}, {"unfreeze_every": "1 epochs"}):
        with pytest.raises(UserError, match=r"models with blocks.*hidden/kernel"):
            rates(paths, **fields)


def test_something_must_be_left_to_learn():
    with pytest.raises(UserError, match="No weight is left to learn"):
        rates(frozen=(".",))
