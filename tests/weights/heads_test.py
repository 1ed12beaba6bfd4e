"""Which stored weights a wanted head reads."""

import dataclasses

import pytest

from tests.weights import tiny
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import Part
from tfzoo.models import bart, gpt2
from tfzoo.weights import heads

LAYOUT = tiny.LAYOUT


def choose(names, head, asked=True, new=False):
    return heads.choose(LAYOUT, names, head, asked, new, "FOLDER")


ENCODER = ["bert.embeddings.LayerNorm.bias"]
POOLER = "bert.pooler.dense.bias"
CLASSIFIER = "classifier.bias"
MLM = "cls.predictions.bias"


@pytest.mark.parametrize(
    ("names", "head", "new", "pooler", "left_out", "fresh"),
    [
        ([POOLER], "none", False, True, (), ()),
        ([], "none", False, False, ("bert.pooler.",), ()),
        ([POOLER, MLM], "none", False, True, ("cls.predictions.",), ()),
        ([POOLER, MLM], "masked_lm", False, False, ("bert.pooler.",), ()),
        ([MLM], "classification", True, True, ("cls.predictions.",),
         ("classifier.", "bert.pooler.")),
        ([POOLER], "classification", True, True, (), ("classifier.",)),
        ([POOLER, CLASSIFIER], "classification", True, True, ("classifier.",), ("classifier.",)),
        ([POOLER, CLASSIFIER], "classification", False, True, (), ()),
        ([POOLER], "token_classification", True, False, ("bert.pooler.",), ("classifier.",)),
    ],
)  # fmt: skip
def test_each_weight_is_read_left_out_or_new(names, head, new, pooler, left_out, fresh):
    choice = choose(ENCODER + names, head, new=new)
    assert choice == heads.Choice({"pooler": pooler}, left_out, fresh)


def test_weights_of_another_head_are_left_out_only_for_who_names_a_head():
    names = [*ENCODER, POOLER, CLASSIFIER]
    assert choose(names, "none", asked=False).left_out == ()
    assert choose(names, "none", asked=True).left_out == ("classifier.",)


def test_a_head_that_is_not_stored_must_be_asked_for_as_new():
    with pytest.raises(UserError) as error:
        choose([*ENCODER, CLASSIFIER], "masked_lm")
    assert str(error.value) == (
        "FOLDER holds no weights for head=masked_lm. For a new, untrained one pass labels=[...] or "
        "new_head=True; for the encoder alone pass head='none'. Received: weights of classifier.*."
    )
    with pytest.raises(UserError, match="Received: no head"):
        choose(ENCODER, "pretraining")


def test_half_a_head_is_no_head():
    with pytest.raises(UserError, match="no weights for head=pretraining"):
        choose([*ENCODER, MLM], "pretraining")


LM_HEAD = "lm_head.weight"


@pytest.mark.parametrize(
    ("names", "head", "tied", "left_out"),
    [
        ([], "causal_lm", True, ()),
        ([LM_HEAD], "causal_lm", True, ()),
        ([LM_HEAD], "none", True, ()),
        ([LM_HEAD], "causal_lm", False, ()),
        ([LM_HEAD], "none", False, (LM_HEAD,)),
    ],
)
def test_a_tied_output_is_no_weight_of_the_head(names, head, tied, left_out):
    found = heads.choose(gpt2.HUGGING_FACE, names, head, True, False, "FOLDER", tied)
    assert found == heads.Choice({}, left_out, ())


def test_an_untied_output_that_is_not_stored_must_be_asked_for_as_new():
    with pytest.raises(UserError, match="no weights for head=causal_lm"):
        heads.choose(gpt2.HUGGING_FACE, [], "causal_lm", True, False, "FOLDER", tied=False)


BIAS = "final_logits_bias"


@pytest.mark.parametrize(
    ("names", "head", "tied", "left_out", "fresh"),
    [
        ([], "conditional_generation", True, (), (BIAS,)),
        ([BIAS], "conditional_generation", True, (), ()),
        ([BIAS], "none", True, (BIAS,), ()),
        ([], "none", True, (), ()),
        ([LM_HEAD], "conditional_generation", False, (), (BIAS,)),
    ],
)
def test_weights_that_are_zeros_where_they_are_not_stored_need_not_be(
    names, head, tied, left_out, fresh
):
    found = heads.choose(bart.HUGGING_FACE, names, head, True, False, "FOLDER", tied)
    assert found == heads.Choice({}, left_out, fresh)
    with pytest.raises(UserError, match="no weights for head=classification"):
        heads.choose(bart.HUGGING_FACE, names, "classification", True, False, "FOLDER", tied)


def test_a_part_without_a_field_is_what_the_head_says():
    layout = dataclasses.replace(LAYOUT, parts=(Part(None, "bert.pooler.", ("classification",)),))

    def choose_in(names, head, new):
        return heads.choose(layout, names, head, True, new, "FOLDER")

    whole = [*ENCODER, POOLER]
    assert choose_in(whole, "none", False) == heads.Choice({}, ("bert.pooler.",), ())
    assert choose_in(whole, "classification", True) == heads.Choice({}, (), ("classifier.",))
    # It is never new: then it would be random below a head that is.
    assert choose_in(ENCODER, "classification", True) == heads.Choice({}, (), ("classifier.",))
