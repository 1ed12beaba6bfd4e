"""Text is written as transformers writes it, and each row as if it were alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.decoding import families
from tfzoo.core.errors import UserError
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding import stops
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate, positions

SIZES = {"num_layers": 2, "num_heads": 2, "width": 16, "feed_forward_dim": 32}
SIZES |= {"vocab_size": 30, "max_length": 60, "initializer_range": 0.5}
PROMPTS = np.random.default_rng(2).integers(2, 30, (4, 6)).astype("int32")
LENGTHS = np.array([6, 3, 1, 4])
MASK = (np.arange(6) < LENGTHS[:, None]).astype("int32")
GREEDY = DecodingConfig(max_new_tokens=20)
SAMPLED = DecodingConfig(max_new_tokens=20, do_sample=True)
BEAMS = DecodingConfig(max_new_tokens=12, num_beams=3, num_return_sequences=2, eos_token_id=(9, 4))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    return tfzoo.build("gpt2", head="causal_lm", **SIZES)


@pytest.fixture(scope="module")
def write(model):
    """write(config, ids, mask, **requests): in graphs that are drawn for any length."""
    graphs = {}

    def call(config, ids=PROMPTS, mask=MASK, table=None, **requests):
        key = (config, *sorted(requests))
        if key not in graphs:
            whole = [tf.TensorSpec((None, None), "int32")] * 2
            rows = {k: tf.TensorSpec((None,), decoding_config.DTYPES[k]) for k in requests}

            @tf.function(autograph=False, input_signature=[*whole, rows])
            def graph(ids, mask, requests):
                inputs = {"token_ids": ids, "padding_mask": mask}
                return generate(model, inputs, config, requests, table)

            graphs[key] = graph
        rows = {
            k: tf.cast(np.broadcast_to(v, len(ids)), decoding_config.DTYPES[k])
            for k, v in requests.items()
        }
        found = graphs[key](tf.constant(ids), tf.constant(mask), rows)
        return {name: value.numpy() for name, value in found.items()}

    call.graphs = graphs
    return call


def without_caches(whole, prompt, count):
    """The most likely tokens, by asking the whole model again for each."""
    ids = np.array([prompt], "int32")
    for _ in range(count):
        given = tf.constant(ids)
        logits = whole({"token_ids": given, "padding_mask": tf.ones_like(given)})["logits"]
        ids = np.concatenate([ids, np.argmax(logits[:, -1:], -1).astype("int32")], 1)
    return ids[0, len(prompt) :]


def test_tokens_are_those_of_the_model_without_caches(model, write):
    found = write(GREEDY)["token_ids"]
    assert found.shape == (4, 1, 20)
    assert len({tuple(row) for row in found[:, 0].tolist()}) == 4 and len(np.unique(found)) > 5
    whole = tf.function(model, reduce_retracing=True)
    for row, length in enumerate(LENGTHS):
        expected = without_caches(whole, PROMPTS[row, :length], 20)
        np.testing.assert_array_equal(found[row, 0], expected)


def test_prompts_of_one_length_need_no_mask(model, write):
    ids = tf.constant(PROMPTS)
    found = generate(model, {"token_ids": ids}, GREEDY)["token_ids"]
    np.testing.assert_array_equal(found, write(GREEDY, PROMPTS, np.ones_like(PROMPTS))["token_ids"])
    assert found.shape == (4, 1, 20)


FULL = {
    "max_new_tokens": [5, 20, 12, 9],
    "min_new_tokens": [0, 4, 12, 1],
    "do_sample": [True, False, True, True],
    "temperature": [0.7, 1.0, 1.5, 0.0],
    "top_k": [5, 0, 0, 3],
    "top_p": [0.9, 1.0, 1.0, 0.5],
    "min_p": [0.01, 0.0, 0.05, 0.0],
    "typical_p": [1.0, 1.0, 0.9, 0.8],
    "repetition_penalty": [1.2, 1.0, 1.0, 1.5],
    "no_repeat_ngram_size": [0, 2, 3, 1],
    "seed": [1, 2, 3, 4],
}


@pytest.mark.parametrize("config", [GREEDY, BEAMS], ids=["search", "beams"])
def test_a_row_depends_on_nothing_but_itself(write, config):
    together = write(config, **FULL)
    order = [2, 0, 3, 1]
    turned = write(
        config, PROMPTS[order], MASK[order], **{k: np.array(v)[order] for k, v in FULL.items()}
    )
    for name, value in together.items():
        np.testing.assert_allclose(turned[name], value[order], atol=1e-5)
    for row, length in enumerate(LENGTHS):
        given = {name: value[row : row + 1] for name, value in FULL.items()}
        one = slice(row, row + 1)
        alone = write(config, PROMPTS[one, :length], MASK[one, :length], **given)
        width = alone["token_ids"].shape[2]
        np.testing.assert_array_equal(alone["token_ids"][0], together["token_ids"][row, :, :width])
        np.testing.assert_array_equal(alone["lengths"][0], together["lengths"][row])
    assert (together["lengths"] <= np.array(FULL["max_new_tokens"])[:, None]).all()
    assert len(np.unique(together["token_ids"])) > 5


def test_new_lengths_trace_nothing_anew(write):
    for columns in (6, 5, 4):
        ids, mask = PROMPTS[:, :columns], MASK[:, :columns]
        for most in (3, 18, 30):
            assert write(GREEDY, ids, mask, max_new_tokens=most)["lengths"].max() == most
    graph = write.graphs[GREEDY, "max_new_tokens"]
    assert graph.experimental_get_tracing_count() == 1


def test_what_is_not_asked_for_is_not_in_the_graph(write, model):
    def operations(config, **requests):
        write(config, **requests)
        (graph,) = write.graphs[(config, *sorted(requests))]._list_all_concrete_functions()
        found = {node.type for node in graph.graph.get_operations()}
        for inner in graph.graph._functions.values():
            found |= {node.op for node in inner.cached_definition.node_def}
        return found

    plain = operations(GREEDY)
    assert "ArgMax" in plain
    assert not {"TopKV2", "Cumsum", "ScatterNd", "RightShift", "XlaDynamicUpdateSlice"} & plain
    assert {"TopKV2", "Cumsum", "ScatterNd", "RightShift"} <= operations(GREEDY, **FULL)


def test_each_row_has_its_own_most_and_least(write):
    never = DecodingConfig(max_new_tokens=20, eos_token_id=tuple(range(2, 30)), pad_token_id=1)
    assert write(never)["lengths"].tolist() == [[1]] * 4
    found = write(never, max_new_tokens=[5, 20, 7, 1], min_new_tokens=[0, 3, 9, 0])
    assert found["lengths"].tolist() == [[1], [4], [7], [1]]
    for row, length in enumerate([1, 4, 7, 1]):
        ids = found["token_ids"][row, 0]
        assert (ids[length:] == 1).all() and (ids[: length - 1] < 2).all()


def test_texts_end_at_any_of_the_ends(write):
    free = write(GREEDY)["token_ids"][:, 0]
    ends = tuple(int(row[5 + i]) for i, row in enumerate(free[:2]))
    found = write(DecodingConfig(max_new_tokens=20, eos_token_id=ends, pad_token_id=29))
    for row, ids in enumerate(free):
        first = [place for place, token in enumerate(ids) if token in ends]
        length = first[0] + 1 if first else 20
        assert found["lengths"][row, 0] == length
        np.testing.assert_array_equal(found["token_ids"][row, 0, :length], ids[:length])
        assert (found["token_ids"][row, 0, length:] == 29).all()


def test_lengths_with_the_prompt_are_counted_by_each_row(write):
    found = write(DecodingConfig(max_length=9, min_length=9, eos_token_id=tuple(range(2, 30))))
    assert found["lengths"][:, 0].tolist() == [3, 6, 8, 5]


def test_seeds_decide_and_copies_differ(write):
    one, same, other = (write(SAMPLED, seed=seed)["token_ids"] for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(2).all()
    config = DecodingConfig(max_new_tokens=20, do_sample=True, num_return_sequences=3)
    several = write(config, seed=7)["token_ids"]
    np.testing.assert_array_equal(several[:, 0], one[:, 0])
    assert (several[:, 0] != several[:, 1]).any(1).all()
    assert (several[:, 1] != several[:, 2]).any(1).all()


def test_the_scores_of_each_step_are_given(model, write):
    config = DecodingConfig(
        max_new_tokens=6, output_scores=True, output_logits=True, suppress_tokens=(3, 4)
    )
    found = write(config)
    ids, prompt = found["token_ids"][0, 0], PROMPTS[0]
    whole = np.concatenate([prompt, ids])[None].astype("int32")
    logits = model({"token_ids": whole, "padding_mask": np.ones_like(whole)})["logits"]
    np.testing.assert_allclose(found["logits"][0, 0], logits[0, 5:-1], atol=1e-5)
    assert np.isneginf(found["step_scores"][..., 3:5]).all()
    kept = [i for i in range(30) if i not in (3, 4)]
    np.testing.assert_array_equal(found["step_scores"][..., kept], found["logits"][..., kept])
    np.testing.assert_array_equal(found["step_scores"].argmax(-1), found["token_ids"])


def test_texts_end_at_stop_strings(model, write):
    pieces = [bytes([97 + i]) if i < 26 else b"" for i in range(30)]
    free = write(GREEDY)["token_ids"][:, 0]
    text = b"".join(pieces[i] for i in free[0])
    string = text[3:5].decode()
    config = DecodingConfig(max_new_tokens=20, stop_strings=(string, "@"))
    found = write(config, table=stops.table(config.stop_strings, pieces))
    for row, ids in enumerate(found["token_ids"][:, 0]):
        length = found["lengths"][row, 0]
        written = b"".join(pieces[i] for i in free[row])
        place = written.find(string.encode())
        assert length == (20 if place < 0 else place + 2)
        np.testing.assert_array_equal(ids[:length], free[row, :length])
    assert found["lengths"][0, 0] < 20
    with pytest.raises(UserError, match=r"need the tokens' bytes.*stop_strings="):
        generate(model, {"token_ids": PROMPTS}, config)


def test_what_is_wrong_is_said(model):
    with pytest.raises(UserError, match=r"writes after padding_mask, token_ids\. Received: x, y"):
        generate(model, {"x": PROMPTS, "y": MASK}, GREEDY)
    with pytest.raises(UserError, match=r"`top_q` is not a parameter of a request.*top_p"):
        generate(model, {"token_ids": PROMPTS}, GREEDY, {"top_q": tf.zeros(4)})
    with pytest.raises(UserError, match=r"suppress_tokens must hold ids.*29\. Received"):
        generate(model, {"token_ids": PROMPTS}, DecodingConfig(suppress_tokens=(30,)))


def test_prompt_and_new_tokens_must_fit(model):
    whole, mask = np.full((1, 60), 7, "int32"), np.ones((1, 60), "int32")
    assert positions(model) == 60
    # The last token is written and never read.
    assert generate(model, {"token_ids": whole}, DecodingConfig(max_new_tokens=1))
    with pytest.raises(UserError, match=r"60 positions.*Received: 60 and 2 tokens"):
        generate(model, {"token_ids": whole}, DecodingConfig(max_new_tokens=2))
    inputs = {"token_ids": whole, "padding_mask": mask}
    with pytest.raises(tf.errors.InvalidArgumentError):  # where it is known too late
        generate(model, inputs, GREEDY, {"max_new_tokens": tf.constant([2])})


def test_a_row_that_has_ended_does_not_leave_the_positions(write):
    ids = np.random.default_rng(3).integers(2, 30, (2, 50)).astype("int32")
    mask = (np.arange(50) < np.array([[50], [2]])).astype("int32")
    found = write(GREEDY, ids, mask, max_new_tokens=[10, 40])
    assert found["lengths"].tolist() == [[10], [40]]


OPTIONS = {
    "greedy": {"max_new_tokens": 25},
    "processed": {
        "max_new_tokens": 25,
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "min_new_tokens": 6,
        "bad_words_ids": ((9,), (14, 20), (3, 4, 5)),
        "begin_suppress_tokens": (44, 59),
        "forced_eos_token_id": 23,
        # transformers takes the padding before a prompt for text that must not come again.
        "suppress_tokens": (families.PAD,),
    },
    "beams": {
        "max_new_tokens": 20,
        "num_beams": 4,
        "length_penalty": 0.5,
        "no_repeat_ngram_size": 3,
        "num_return_sequences": 2,
    },
    "beams until all ended": {
        "max_new_tokens": 20,
        "num_beams": 4,
        "length_penalty": 1.5,
        "no_repeat_ngram_size": 3,
        "early_stopping": True,
        "num_return_sequences": 4,
    },
    "beams to the last": {
        "max_new_tokens": 20,
        "num_beams": 3,
        "length_penalty": 2.0,
        "early_stopping": "never",
        "num_return_sequences": 2,
        "repetition_penalty": 1.1,
        "min_new_tokens": 4,
    },
    "beams of short texts": {"max_new_tokens": 20, "num_beams": 3, "length_penalty": -1.0},
}


@pytest.fixture(scope="module", params=families.FAMILIES)
def pair(request, tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return families.pair(request.param, tmp_path_factory.mktemp(request.param))


def lists(value):
    return [*map(lists, value)] if isinstance(value, tuple) else value


@pytest.mark.parity
@pytest.mark.parametrize("name", OPTIONS)
def test_texts_are_those_of_transformers(pair, name):
    options = OPTIONS[name]
    given = {key: lists(value) for key, value in options.items()}
    outputs = pair.generate(output_scores=True, output_logits=True, **given)
    found = pair.write(output_scores=True, output_logits=True, **options)
    expected = families.rows(pair, outputs)
    assert families.ours(found) == expected
    assert len({tuple(row) for row in expected}) > 2 and len({i for r in expected for i in r}) > 2
    if "num_beams" in options:
        theirs = np.concatenate([output.sequences_scores.numpy() for output in outputs])
        ours = found["scores"].numpy().reshape(-1)
        # Of the sums of logarithms: a length_penalty below 0 makes scores 20 times as large.
        factor = found["lengths"].numpy().reshape(-1) ** min(options.get("length_penalty", 1.0), 0)
        np.testing.assert_allclose(ours * factor, theirs * factor, atol=1e-4, rtol=0)
        return
    for theirs, ours in (("scores", "step_scores"), ("logits", "logits")):
        steps = [np.stack([x.numpy() for x in getattr(o, theirs)], 1) for o in outputs]
        rows = [row for step in steps for row in step]
        lengths = found["lengths"].numpy()[:, 0]
        for row, length, wanted in zip(found[ours].numpy()[:, 0], lengths, rows, strict=True):
            np.testing.assert_allclose(row[:length], wanted[:length], atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("name", ["gpt2-lm", "bloom-lm", "t5-v1.0", "t5-v1.1", "bart"])
@pytest.mark.parametrize("beams", [1, 3], ids=["greedy", "beam3"])
def test_stored_texts_of_transformers_come_out(shared_data, name, beams):
    folder = shared_data("hf-random") / name
    model = tfzoo.load(f"hf:{folder}").model
    given, stored = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    expected = stored["greedy" if beams == 1 else "beam3"]
    side, first = (
        ("encoder_", 1) if hasattr(model, "_encode") else ("", given["input_ids"].shape[1])
    )
    inputs = {f"{side}token_ids": tf.constant(given["input_ids"], tf.int32)}
    if side:  # the decoders' were written after all columns of their prompts, padding or not
        inputs["encoder_padding_mask"] = tf.constant(given["attention_mask"], tf.int32)
    config = DecodingConfig(max_new_tokens=expected.shape[1] - first, num_beams=beams)
    found = generate(model, inputs, decoding_config.completed(config, model.config))
    expected = expected[:, first:]
    ids, lengths = found["token_ids"].numpy()[:, 0], found["lengths"].numpy()[:, 0]
    for row, length, wanted in zip(ids, lengths, expected, strict=True):
        np.testing.assert_array_equal(row[:length], wanted[:length])
        assert (wanted[length:] == config.pad_id).all() or length == len(wanted)
