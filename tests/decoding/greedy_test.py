"""Greedy decoding writes what the whole model, asked again for every token, would."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.decoding import greedy

SIZES = {
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
ROWS, TOKENS, START = 6, 35, 0
IDS = np.random.default_rng(1).integers(2, 30, (ROWS, 5)).astype("int32")
MASK = (np.arange(5) < np.array([[5], [4], [3], [2], [1], [5]])).astype("int32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = tfzoo.build("transformer", **SIZES)
    # Neither the last token nor what all vectors have in common must decide over the next one.
    for weight in model.weights:
        if weight.path == "token_embedding/embeddings":
            weight.assign(0.2 * weight)
        elif "feed_forward/" in weight.path:
            weight.assign(0.1 * weight)
    return model


@pytest.fixture(scope="module")
def translate(model):
    """translate(end_id, limits): in a graph that is drawn once."""
    everything = tf.fill([ROWS], TOKENS)

    @tf.function
    def run(end_id, limits):
        return greedy.translate(model, IDS, MASK, START, end_id, TOKENS, limits)

    def call(end_id, limits=everything):
        return run(tf.constant(end_id), tf.constant(limits)).numpy()

    return call


@pytest.fixture(scope="module")
def endless(model):
    """What the model says where no token is the end, without caches, `(b, t)`."""
    whole = tf.function(lambda inputs: model(inputs)["logits"], reduce_retracing=True)
    ids = np.full((ROWS, 1), START, "int32")
    for _ in range(TOKENS):
        inputs = {"encoder_token_ids": IDS, "encoder_padding_mask": MASK}
        inputs |= {"decoder_token_ids": ids, "decoder_padding_mask": np.ones_like(ids)}
        best = whole({k: tf.constant(v) for k, v in inputs.items()})[:, -1].numpy().argmax(-1)
        ids = np.concatenate([ids, best[:, None].astype("int32")], 1)
    return ids[:, 1:]


@pytest.fixture(scope="module")
def no_end(endless):
    """A token that never comes."""
    return int(next(i for i in range(1, SIZES["vocab_size"]) if i not in endless))


def test_all_tokens_are_those_of_the_model_without_caches(translate, endless, no_end):
    assert len({tuple(row) for row in endless.tolist()}) > 2
    assert len(np.unique(endless)) > 5
    np.testing.assert_array_equal(translate(no_end), endless)


def ended(ids, end_id, limits):
    """The rows, `end_id` from its first occurrence or from their limits on."""
    ids = ids.copy()
    for row, limit in zip(ids, limits, strict=True):
        places = np.flatnonzero(row == end_id)
        row[min([limit, *places[:1]]) :] = end_id
    return ids


def test_rows_end_by_themselves_and_the_others_go_on(translate, endless):
    ends = [i for i in np.unique(endless) if 0 < (endless == i).any(1).sum() < ROWS]
    for end_id in ends[:3]:
        expected = ended(endless, end_id, [TOKENS] * ROWS)
        np.testing.assert_array_equal(translate(end_id), expected)


def test_each_row_has_its_limit(translate, endless, no_end):
    limits = np.array([1, 16, 17, 20, 2, 33], "int32")
    np.testing.assert_array_equal(translate(no_end, limits), ended(endless, no_end, limits))


def test_it_stops_when_all_rows_have_ended(model, no_end, monkeypatch):
    counts, step = [], type(model).step

    def counted(self, *given):
        counts.append(1)
        return step(self, *given)

    monkeypatch.setattr(type(model), "step", counted)
    limits = tf.constant([1, 2, 3, 5, 1, 1])
    # Outside of a graph a loop's body is called for each of its turns.
    found = greedy.translate(model, IDS, MASK, START, no_end, TOKENS, limits)
    assert len(counts) == 5
    assert found.shape == (ROWS, TOKENS)


@pytest.mark.data
@pytest.mark.parametrize("name", ["t5-v1.0", "t5-v1.1", "bart"])
def test_stored_translations_of_transformers_come_out(shared_data, name):
    folder = shared_data("hf-random") / name
    model = tfzoo.load(f"hf:{folder}").model
    inputs, outputs = (np.load(folder / f"{part}.npz") for part in ("inputs", "outputs"))
    expected = outputs["greedy"]
    config = model.config
    found = greedy.translate(
        model,
        tf.constant(inputs["input_ids"], tf.int32),
        tf.constant(inputs["attention_mask"], tf.int32),
        config.decoder_start_id,
        config.eos_id,
        expected.shape[1] - 1,
    ).numpy()
    assert (expected[:, 0] == config.decoder_start_id).all()
    for ours, theirs in zip(found, expected[:, 1:], strict=True):
        end = np.flatnonzero(theirs == config.eos_id)
        count = end[0] + 1 if len(end) else len(theirs)
        np.testing.assert_array_equal(ours[:count], theirs[:count])
        assert (ours[count:] == config.eos_id).all()


@pytest.mark.parity
def test_translations_are_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=40,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
    )
    theirs = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.mul_(1 if "norm" in name else 0.3 if "shared" in name else 4)
    theirs.save_pretrained(tmp_path)
    model = tfzoo.load(f"hf:{tmp_path}").model

    def generate(end_id):
        ids, mask = torch.tensor(IDS, dtype=torch.long), torch.tensor(MASK, dtype=torch.long)
        chosen = {"num_beams": 1, "do_sample": False, "max_new_tokens": TOKENS}
        return theirs.generate(
            ids, attention_mask=mask, eos_token_id=end_id, pad_token_id=end_id, **chosen
        ).numpy()[:, 1:]

    everything = generate(1)
    end_id = int(everything[0, 7])  # a token that comes is made the end
    expected = generate(end_id)
    found = greedy.translate(model, IDS, MASK, 0, end_id, TOKENS).numpy()
    width = expected.shape[1]
    np.testing.assert_array_equal(found[:, :width], expected)
    assert (found[:, width:] == end_id).all()
    assert (expected == end_id).any() and len(np.unique(expected)) > 4


def test_a_decoder_goes_on_as_the_whole_model_would():
    keras.utils.set_random_seed(4)
    sizes = {"num_layers": 2, "num_heads": 2, "width": 16, "feed_forward_dim": 32}
    model = tfzoo.build(
        "gpt2", vocab_size=30, max_length=40, initializer_range=0.5, head="causal_lm", **sizes
    )
    prompts = np.random.default_rng(2).integers(2, 30, (3, 5)).astype("int32")
    ids = prompts
    for _ in range(18):
        logits = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})["logits"]
        ids = np.concatenate([ids, np.argmax(logits[:, -1:], -1).astype("int32")], 1)
    expected = ids[:, 5:]
    never = next(i for i in range(30) if not (expected == i).any())
    found = greedy.continued(model, tf.constant(prompts), never, 18)
    np.testing.assert_array_equal(found, expected)
    # One token may come before any other, and a row ends at its own end.
    np.testing.assert_array_equal(
        greedy.continued(model, tf.constant(prompts[:, :1]), never, 1).shape, (3, 1)
    )
    end_id = int(expected[0, 3])
    found = greedy.continued(model, tf.constant(prompts), end_id, 18)
    np.testing.assert_array_equal(found, ended(expected, end_id, [18] * 3))
