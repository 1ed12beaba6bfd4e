"""Groups of beams, and beams that are drawn; the rest of beam search is in generate_test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate

SIZES = {"num_layers": 1, "num_heads": 2, "width": 16, "feed_forward_dim": 32}
SIZES |= {"vocab_size": 12, "max_length": 40, "initializer_range": 0.6}
PROMPTS = np.random.default_rng(2).integers(2, 12, (3, 4)).astype("int32")
PENALTY, COUNT = 1.5, 8


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(6)
    return tfzoo.build("gpt2", head="causal_lm", **SIZES)


def write(model, ids=PROMPTS, **options):
    config = DecodingConfig(max_new_tokens=COUNT, **options)
    run = tf.function(lambda ids: generate(model, {"token_ids": ids}, config), autograph=False)
    return {name: value.numpy() for name, value in run(tf.constant(ids)).items()}


def logs(model, ids):
    given = {"token_ids": np.array(ids, "int32"), "padding_mask": np.ones_like(ids)}
    return np.array(tf.nn.log_softmax(model(given)["logits"][:, -1]))


def test_later_groups_avoid_the_tokens_of_earlier_ones(model):
    found = write(
        model, num_beams=2, num_beam_groups=2, diversity_penalty=PENALTY, num_return_sequences=2
    )
    first, second, sums = PROMPTS, PROMPTS, np.zeros((2, len(PROMPTS)))
    for _ in range(COUNT):
        one, other = logs(model, first), logs(model, second)
        best = one.argmax(1)
        rows = np.arange(len(PROMPTS))
        other[rows, best] -= PENALTY
        sums += [one.max(1), other.max(1)]
        first = np.concatenate([first, best[:, None]], 1)
        second = np.concatenate([second, other.argmax(1)[:, None]], 1)
    for row in range(len(PROMPTS)):
        order = np.argsort(-sums[:, row])
        texts = np.stack([first[row, 4:], second[row, 4:]])[order]
        np.testing.assert_array_equal(found["token_ids"][row], texts)
        np.testing.assert_allclose(found["scores"][row], sums[order, row] / COUNT, atol=1e-5)
    assert (first != second).any(1).all()


def test_the_first_group_is_a_beam_search_of_its_own(model):
    alone = write(model, num_beams=2, num_return_sequences=2)["token_ids"]
    groups = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": PENALTY}
    together = write(model, **groups, num_return_sequences=4)["token_ids"]
    for one, four in zip(alone.tolist(), together.tolist(), strict=True):
        assert all(text in four for text in one)


def test_the_scores_of_steps_add_up_along_the_beams(model):
    found = write(model, num_beams=3, num_return_sequences=2, output_scores=True)
    assert found["step_scores"].shape == (3, 3, COUNT, 12)
    for row in range(3):
        for text in range(2):
            beams, ids = found["beam_indices"][row, text], found["token_ids"][row, text]
            scores = found["step_scores"][row, beams, np.arange(COUNT), ids]
            assert abs(scores.sum() / COUNT - found["scores"][row, text]) < 1e-5


def test_first_tokens_of_drawn_beams_follow_the_softmax(model):
    rows = 4000
    config = DecodingConfig(
        max_new_tokens=1, num_beams=2, num_return_sequences=2, do_sample=True, top_k=0
    )
    ids = tf.constant(np.repeat(PROMPTS[:1], rows, 0))
    found = generate(model, {"token_ids": ids}, config, {"seed": tf.range(rows)})
    pairs = found["token_ids"].numpy()[:, :, 0]
    shares = np.exp(logs(model, PROMPTS[:1]))[0]
    # Two draws without replacement, of which either may be the better.
    expected = shares * (1 + sum(s / (1 - s) for s in shares)) - shares**2 / (1 - shares)
    counts = np.bincount(pairs.ravel(), minlength=12)
    deviation = np.sqrt(expected * (1 - expected) * rows) + 1
    assert (np.abs(counts - expected * rows) < 4.5 * deviation).all()
    assert (pairs[:, 0] != pairs[:, 1]).all() and len(np.unique(pairs)) > 4
