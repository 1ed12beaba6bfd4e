"""The likeliest text is the model's, and drawn texts come as often as their probability says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate

SIZES = {"num_layers": 2, "num_heads": 2, "width": 16, "feed_forward_dim": 32, "vocab_size": 8}
ROWS, PROMPT = 6000, [3, 5]


def test_texts_of_two_tokens_follow_the_softmax_of_the_model():
    keras.utils.set_random_seed(4)
    model = tfzoo.build("gpt2", head="causal_lm", max_length=6, initializer_range=0.4, **SIZES)
    config = DecodingConfig(max_new_tokens=2, do_sample=True, top_k=0, temperature=1.5)
    ids = tf.constant([PROMPT] * ROWS)
    found = generate(model, {"token_ids": ids}, config, {"seed": tf.range(ROWS)})
    counts = np.zeros((8, 8))
    np.add.at(counts, tuple(found["token_ids"].numpy()[:, 0].T), 1)
    whole = np.array([[*PROMPT, token] for token in range(8)], "int32")
    logits = model({"token_ids": whole, "padding_mask": np.ones_like(whole)})["logits"]
    shares = np.asarray(tf.nn.softmax(logits / 1.5))
    expected = ROWS * shares[0, 1][:, None] * shares[:, 2]
    often = expected > 5
    # Chi-square of at most 63 degrees of freedom: above 103.4 in one of a thousand.
    assert ((counts - expected)[often] ** 2 / expected[often]).sum() < 103.4
    assert often.sum() > 20 and counts[~often].sum() < 2 * expected[~often].sum() + 20


SIDES = {
    "vocab_size": 30,
    "width": 16,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "num_encoder_heads": 2,
    "num_decoder_heads": 2,
    "encoder_feed_forward_dim": 16,
    "decoder_feed_forward_dim": 16,
    "max_length": 40,
    "initializer_range": 1.0,
    "norm_first": True,
    "head": "conditional_generation",
}
SOURCES, TOKENS, START = 6, 35, 0
IDS = np.random.default_rng(1).integers(2, 30, (SOURCES, 5)).astype("int32")
MASK = (np.arange(5) < np.array([[5], [4], [3], [2], [1], [5]])).astype("int32")
LIMITS = np.array([1, 16, 17, 19, 2, 18], "int32")


@pytest.fixture(scope="module")
def translator():
    keras.utils.set_random_seed(3)
    model = tfzoo.build("transformer", **SIDES)
    # Neither the last token nor what all vectors have in common must decide over the next one.
    for weight in model.weights:
        if weight.path == "token_embedding/embeddings":
            weight.assign(0.2 * weight)
        elif "feed_forward/" in weight.path:
            weight.assign(0.1 * weight)
    return model


@pytest.fixture(scope="module")
def endless(translator):
    """What the model says where no token is the end, without caches, `(b, t)`."""
    whole = tf.function(lambda inputs: translator(inputs)["logits"], reduce_retracing=True)
    ids = np.full((SOURCES, 1), START, "int32")
    for _ in range(TOKENS):
        inputs = {"encoder_token_ids": IDS, "encoder_padding_mask": MASK}
        inputs |= {"decoder_token_ids": ids, "decoder_padding_mask": np.ones_like(ids)}
        best = whole({k: tf.constant(v) for k, v in inputs.items()})[:, -1].numpy().argmax(-1)
        ids = np.concatenate([ids, best[:, None].astype("int32")], 1)
    return ids[:, 1:]


def translate(model, limits, **options):
    config = DecodingConfig(max_new_tokens=TOKENS, decoder_start_token_id=START, **options)
    source = {"encoder_token_ids": tf.constant(IDS), "encoder_padding_mask": tf.constant(MASK)}
    requests = {} if limits is None else {"max_new_tokens": tf.constant(limits)}
    return generate(model, source, config, requests)


def test_an_encoder_decoder_writes_what_it_would_without_caches(translator, endless):
    assert len({tuple(row) for row in endless.tolist()}) > 2
    assert len(np.unique(endless)) > 5
    run = tf.function(lambda: translate(translator, None), autograph=False)
    np.testing.assert_array_equal(run()["token_ids"][:, 0], endless)


def test_the_loop_stops_with_the_last_row(translator, endless, monkeypatch):
    counts, step = [], type(translator).step

    def counted(self, *given):
        counts.append(1)
        return step(self, *given)

    monkeypatch.setattr(type(translator), "step", counted)
    # Outside of a graph a loop's body is called for each of its turns.
    found = translate(translator, LIMITS)
    assert len(counts) == LIMITS.max() - 1  # the first token comes of reading the prompt
    assert found["lengths"].numpy()[:, 0].tolist() == LIMITS.tolist()
    for row, ids in enumerate(found["token_ids"].numpy()[:, 0]):
        np.testing.assert_array_equal(ids[: LIMITS[row]], endless[row, : LIMITS[row]])
        assert not ids[LIMITS[row] :].any()


def test_a_decoder_goes_on_after_what_was_written_before(translator, endless):
    begun = np.concatenate([np.full((SOURCES, 1), START), endless[:, :4]], 1).astype("int32")
    lengths = np.array([5, 1, 3, 2, 4, 5])
    source = {"encoder_token_ids": tf.constant(IDS), "encoder_padding_mask": tf.constant(MASK)}
    source["decoder_token_ids"] = tf.constant(begun)
    source["decoder_padding_mask"] = tf.constant((np.arange(5) < lengths[:, None]).astype("int32"))
    found = generate(translator, source, DecodingConfig(max_new_tokens=6))["token_ids"][:, 0]
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(found[row], endless[row, length - 1 : length + 5])
