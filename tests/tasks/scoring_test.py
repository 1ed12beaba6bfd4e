"""From texts to the tokens that are scored, and from what was found to figures."""

import math
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks import tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks import scoring
from tfzoo.text.byte_level_bpe import ByteLevelBPE, byte_alphabet


def task(tokenizer, max_length=8, bos_id=None):
    model = types.SimpleNamespace(config=types.SimpleNamespace(bos_id=bos_id))
    return types.SimpleNamespace(tokenizer=tokenizer, max_length=max_length, model=model)


@pytest.fixture(scope="module")
def bpe():
    return ByteLevelBPE([*byte_alphabet(), "Ġb", "ĊĊ"], [("Ġ", "b"), ("Ċ", "Ċ")])


def scored(found, text, pair, begin=False):
    """The tokens that are context, and those that are scored."""
    ids, first = scoring.tokens(
        found, tf.constant([text]), None if pair is None else tf.constant([pair]), begin
    )
    words = [found.tokenizer.vocabulary[i] for i in ids[0].numpy()]
    return words[: int(first[0])], words[int(first[0]) :]


@pytest.mark.parametrize(
    ("text", "pair", "context", "rest"),
    [
        ("aba", None, "a", "b a"),
        ("a b", None, "a", "Ġb"),
        ("a", " b", "a", "Ġb"),
        ("a ", "b", "a", "Ġb"),  # the space is of the token that follows
        ("a\n", "b", "a Ċ", "b"),
        ("a\n\n", "b", "a", "Ċ Ċ b"),  # which would be one token at the end of a text
        ("a", "", "a", ""),
        ("", "ab", "a", "b"),
        ("", "", "", ""),
    ],
)
def test_what_follows_begins_with_the_first_token_that_the_context_has_not(
    bpe, text, pair, context, rest
):
    assert scored(task(bpe), text, pair) == (context.split(), rest.split())


def test_what_a_tokenizer_puts_in_front_is_context_and_nothing_is_put_behind():
    found = task(tiny.tokenizer(), bos_id=4)
    for begin in (False, True):  # there is a beginning already
        assert scored(found, "a b", None, begin) == (["[CLS]"], ["a", "b"])
    assert scored(found, "a", " b") == (["[CLS]", "a"], ["b"])


def test_the_models_own_beginning_lets_the_first_token_be_scored(bpe):
    bang, found = bpe.vocabulary[0], task(bpe, bos_id=0)
    assert scored(found, "ab", None, begin=True) == ([bang], ["a", "b"])
    assert scored(found, "", "ab", begin=True) == ([bang], ["a", "b"])
    assert scored(found, "a", "b", begin=True) == ([bang, "a"], ["b"])
    with pytest.raises(UserError, match="the model's config has none"):
        scored(task(bpe), "ab", None, begin=True)


def test_a_stride_is_half_a_piece_and_leaves_no_token_out(bpe):
    assert scoring.stride_of(task(bpe, 9), None) == 4
    assert [scoring.stride_of(task(bpe, 9), n) for n in (1, 8)] == [1, 8]
    for wrong in (0, 9):
        with pytest.raises(UserError, match="stride must be from 1 to 8"):
            scoring.stride_of(task(bpe, 9), wrong)


@pytest.mark.parametrize(
    ("texts", "pairs", "match"),
    [
        ("ab", None, "put one text into a list"),
        ([1], None, "must be a list of strings"),
        (["a"], ["b", "c"], "1 texts, 2 pairs"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(bpe, texts, pairs, match):
    with pytest.raises(UserError, match=match):
        scoring.checked(task(bpe), texts, pairs)
    with pytest.raises(UserError, match="without a tokenizer"):
        scoring.checked(task(None), texts, pairs)


def test_figures_are_those_of_all_tokens_together():
    found = {
        "log_likelihood": np.array([-6.0, 0.0, -3.0]),
        "num_tokens": np.array([4, 0, 2]),
        "num_right": np.array([1, 0, 2]),
        "num_characters": np.array([10, 1, 7]),
    }
    values = scoring.report(found).values
    assert values["loss"] == 1.5
    assert values["perplexity"] == pytest.approx(math.exp(1.5))
    assert values["accuracy"] == 0.5
    assert values["loss_per_character"] == 0.5
    assert values["bits_per_character"] == pytest.approx(0.5 / math.log(2))
    assert (values["texts"], values["tokens"], values["characters"]) == (3, 6, 18)


def test_nothing_to_score_is_said():
    names = ("log_likelihood", "num_tokens", "num_right", "num_characters")
    with pytest.raises(UserError, match="2 texts of one token or none"):
        scoring.report(dict.fromkeys(names, np.zeros(2)))
