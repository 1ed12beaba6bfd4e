"""Scores are changed by what was written, in each row by its own parameters."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.decoding import processors
from tfzoo.decoding.config import DecodingConfig

RANDOM = np.random.default_rng(6)
SIZE, ROWS = 12, 5
HISTORY = RANDOM.integers(0, SIZE, (ROWS, 20)).astype("int32")
SCORES = RANDOM.normal(0, 3, (20, ROWS, SIZE)).astype("float32")


def processed(config, prompts, written, step, **parameters):
    given = {"prompt_lengths": tf.constant(prompts), "max_new_tokens": 15, **parameters}
    return processors.processed(
        tf.constant(SCORES[step]), config, given, tf.constant(HISTORY), written
    ).numpy()


def banned_ngrams(ids, size):
    """Tokens that would end an n-gram for the second time."""
    grams = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    last = tuple(ids[len(ids) - size + 1 :])
    return {gram[-1] for gram in grams if gram[:-1] == last}


def test_n_grams_do_not_come_twice_in_rows_of_different_n():
    sizes, seen = [1, 2, 3, 0, 2], 0
    prompts = np.array([2, 1, 5, 3, 4], "int32")
    for written in range(14):
        found = processed(
            DecodingConfig(), prompts, written, 0, no_repeat_ngram_size=tf.constant(sizes)
        )
        for row, size in enumerate(sizes):
            ids = HISTORY[row, : prompts[row] + written].tolist()
            banned = banned_ngrams(ids, size) if size else set()
            assert set(np.flatnonzero(np.isneginf(found[row]))) == banned
            seen += len(banned) * (size > 1)
    assert seen > 20


def test_tokens_that_occur_are_penalized_and_only_they():
    prompts = np.array([2, 1, 5, 3, 4], "int32")
    penalty = np.array([1.5, 1.0, 2.0, 0.5, 1.2], "float32")
    found = processed(DecodingConfig(), prompts, 3, 1, repetition_penalty=tf.constant(penalty))
    for row in range(ROWS):
        for token, score in enumerate(SCORES[1, row]):
            factor = penalty[row] if score < 0 else 1 / penalty[row]
            there = token in HISTORY[row, : prompts[row] + 3]
            assert np.isclose(found[row, token], score * factor if there else score)


def test_ends_wait_and_are_forced_at_the_limit_of_each_row():
    config = DecodingConfig(eos_token_id=(3, 4), forced_eos_token_id=4, forced_bos_token_id=6)
    least, most = tf.constant([0, 1, 2, 3, 9]), tf.constant([15, 3, 15, 15, 15])
    found = processed(
        config, np.ones(ROWS, "int32"), 2, 2, min_new_tokens=least, max_new_tokens=most
    )
    assert np.isneginf(found[:, 3]).tolist() == [False, True, False, True, True]
    assert np.flatnonzero(np.isfinite(found[1])).tolist() == [4] and found[1, 4] == 0
    first = processed(config, np.array([1, 2, 1, 3, 1], "int32"), 0, 2)
    assert np.isfinite(first).sum(1).tolist() == [1, SIZE, 1, SIZE, 1]
    assert first[0, 6] == 0


OPTIONS = (
    {"repetition_penalty": 1.4},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"bad_words_ids": ((1,), (2, 3), (4, 5, 6), (7, 3), (9, 9, 9, 9))},
    {"bad_words_ids": ((2,), (9,)), "eos_token_id": (2, 5, 6)},
    {"min_new_tokens": 5, "eos_token_id": (2, 5)},
    {"min_length": 9, "eos_token_id": 7},
    {"forced_bos_token_id": 3},
    {"forced_eos_token_id": (3, 4)},
    {"suppress_tokens": (1, 8)},
    {"begin_suppress_tokens": (1, 8)},
    {"begin_suppress_tokens": (1, 8), "forced_bos_token_id": 3},
    {
        "repetition_penalty": 0.8,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": ((1,), (2, 3)),
        "min_new_tokens": 4,
        "eos_token_id": (5, 6),
        "forced_eos_token_id": 5,
        "suppress_tokens": (9,),
        "begin_suppress_tokens": (0,),
    },
)


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
@pytest.mark.parametrize("prompt", [1, 4])
def test_each_step_is_that_of_transformers(options, prompt):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    lists = {k: [*map(list, v)] if k == "bad_words_ids" else v for k, v in options.items()}
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in lists.items()}
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=4, n_head=1, n_layer=1, vocab_size=SIZE)
    )
    chosen = transformers.GenerationConfig(**lists, max_length=prompt + 15)
    theirs._prepare_special_tokens(chosen, False)
    chain = theirs._get_logits_processor(chosen, prompt, None, None, None)
    assert len(chain) >= 1
    config = DecodingConfig(**options)
    names = ("repetition_penalty", "no_repeat_ngram_size", "min_new_tokens")
    parameters = {name: options[name] for name in names if name in options}
    if "min_length" in options:
        parameters["min_new_tokens"] = max(options["min_length"] - prompt, 0)
    changed = 0
    for written in range(15):
        ids = torch.tensor(HISTORY[:, : prompt + written]).long()
        expected = chain(ids, torch.tensor(SCORES[written])).numpy()
        prompts = np.full(ROWS, prompt, "int32")
        found = processed(config, prompts, written, written, **parameters)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        changed += (found != SCORES[written]).sum()
    assert changed or (prompt > 1 and options == {"forced_bos_token_id": 3})
