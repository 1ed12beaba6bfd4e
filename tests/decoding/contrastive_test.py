"""Contrastive search takes what its equation says, asked of the whole model at every step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate

PROMPTS = np.random.default_rng(2).integers(2, 30, (3, 5)).astype("int32")
LENGTHS = (5, 1, 3)
SIZES = {"num_layers": 2, "num_heads": 2, "width": 16, "feed_forward_dim": 32}
ALPHA, LIKELIEST, COUNT = 0.6, 4, 18  # more than caches grow by at once


def contrastive(features, logits_of, prompt, count):
    """Equation 5 of the paper, without caches."""
    ids = [*prompt]

    def read(rows):
        ids = tf.constant(rows, tf.int32)
        return features({"token_ids": ids, "padding_mask": tf.ones_like(ids)})["sequence"].numpy()

    for _ in range(count):
        logits = np.asarray(logits_of(read([ids])[:, -1:]))[0, 0]
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        best = np.argsort(-shares)[:LIKELIEST]
        vectors = read([[*ids, token] for token in best])
        vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        likeness = np.einsum("khd,kd->kh", vectors[:, :-1], vectors[:, -1]).max(1)
        ids.append(int(best[np.argmax((1 - ALPHA) * shares[best] - ALPHA * likeness)]))
    return ids[len(prompt) :]


@pytest.mark.slow
def test_tokens_are_those_of_the_equation():
    keras.utils.set_random_seed(4)
    model = tfzoo.build(
        "gpt2", vocab_size=30, max_length=40, initializer_range=0.5, head="causal_lm", **SIZES
    )
    features = tf.function(model.features(), reduce_retracing=True)
    expected = [
        contrastive(features, model.logits, PROMPTS[row, :n].tolist(), COUNT)
        for row, n in enumerate(LENGTHS)
    ]
    config = DecodingConfig(max_new_tokens=COUNT, penalty_alpha=ALPHA, top_k=LIKELIEST)
    mask = (np.arange(5) < np.array(LENGTHS)[:, None]).astype("int32")

    @tf.function(autograph=False)
    def run(ids, mask):
        return generate(model, {"token_ids": ids, "padding_mask": mask}, config)

    found = run(tf.constant(PROMPTS), tf.constant(mask))
    assert found["token_ids"].numpy()[:, 0].tolist() == expected
    greedy = generate(
        model,
        {"token_ids": PROMPTS, "padding_mask": mask},
        DecodingConfig(max_new_tokens=COUNT),
    )
    assert (found["token_ids"] != greedy["token_ids"]).numpy().any(2).all()
