"""The loop around a TFLite file: what it writes, draws and refuses."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.export import tiny_writers
from tests.export.lite_generation_test import NEW, written
from tfzoo.core.errors import UserError
from tfzoo.export import lite_writer
from tfzoo.export.lite_writer import LiteWriter, drawn

SCRIPT = pathlib.Path(__file__).parents[2] / "export" / "write.py"
LOGITS = np.array([1.0, 3.0, 2.0, -1.0, 2.5], np.float32)


def many(count=4000, temperature=1.0, top_k=0, top_p=1.0):
    """How often each token was drawn, as a share."""
    random = np.random.default_rng(0)
    tokens = [drawn(LOGITS, temperature, top_k, top_p, random) for _ in range(count)]
    return np.bincount(tokens, minlength=len(LOGITS)) / count


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def test_draws_are_as_likely_as_they_should_be():
    np.testing.assert_allclose(many(), softmax(LOGITS), atol=0.03)
    np.testing.assert_allclose(many(temperature=2.0), softmax(LOGITS / 2), atol=0.03)


def test_only_the_best_are_drawn():
    assert np.flatnonzero(many(top_k=2)).tolist() == [1, 4]
    # The two best have 0.75 of the probability: fewer than 0.8, so a third one is needed.
    assert np.flatnonzero(many(top_p=0.8)).tolist() == [1, 2, 4]
    assert np.flatnonzero(many(top_p=0.1)).tolist() == [1]
    # Of the three best the first has 0.51 already.
    assert np.flatnonzero(many(top_k=3, top_p=0.5)).tolist() == [1]


class Fake:
    """A model of five tokens that prefers the one behind the last, and keeps where it was asked."""

    def __init__(self, first="prefill"):
        self.inputs = {first: ["token_ids"], "decode": ["key_0", "position", "token_id"]}
        self.shapes = {
            first: {"token_ids": (1, 4)},
            "decode": {"key_0": (1, 1, 7, 2), "token_id": (1,), "position": (1,)},
        }
        self.asked = []

    def run(self, signature, /, **inputs):
        if signature != "decode":
            self.asked.append(inputs["token_ids"][0].tolist())
            return {"key_0": np.zeros([1, 1, 7, 2], np.float32)} if signature == "prefill" else {}
        token, position = int(inputs["token_id"][0]), int(inputs["position"][0])
        self.asked.append((token, position, int(inputs["key_0"].sum())))
        key = inputs["key_0"].copy()
        key[0, 0, position, 0] = 1
        return {"logits": np.eye(5, dtype=np.float32)[[(token + 1) % 5]], "key_0": key}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(lite_writer, "LiteModel", Fake)
    return Fake()


def test_tokens_are_read_where_they_stand_and_caches_are_kept(fake):
    assert LiteWriter(fake, config={}).generate([1, 2], max_new_tokens=3) == [3, 4, 0]
    assert fake.asked == [[1, 2, 0, 0], (2, 1, 0), (3, 2, 1), (4, 3, 2)]


def test_behind_an_encoder_it_begins_with_the_start(monkeypatch):
    monkeypatch.setattr(lite_writer, "LiteModel", Fake)
    fake = Fake("encode")
    writer = LiteWriter(fake, config={"decoder_start_token_id": 3, "forced_bos_token_id": 2})
    assert writer.generate([1, 2], max_new_tokens=2) == [2, 3]
    assert fake.asked[1:] == [(3, 0, 0), (2, 1, 1)]


def test_it_ends_at_an_end_or_where_the_room_does(fake):
    assert LiteWriter(fake, config={"eos_token_id": [4, 9]}).generate([1, 2]) == [3, 4]
    assert len(LiteWriter(fake, config={}).generate([1, 2])) == 7 - 2
    forced = LiteWriter(fake, config={"forced_eos_token_id": 1})
    assert forced.generate([1, 2], max_new_tokens=3) == [3, 4, 1]


def test_a_seed_says_what_is_drawn(fake):
    writer = LiteWriter(fake, config={})
    options = {"do_sample": True, "temperature": 3.0}
    assert writer.generate([1], seed=1, **options) == writer.generate([1], seed=1, **options)
    assert len({tuple(writer.generate([1], seed=seed, **options)) for seed in range(9)}) > 1


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_new_tokens": 0}]
)
def test_what_makes_no_sense_is_refused(fake, options):
    with pytest.raises(UserError, match="above 0"):
        LiteWriter(fake, config={}).generate([1], **options)


def test_prompts_that_do_not_fit_are_refused(fake):
    for prompt in ([], [1] * 5):
        with pytest.raises(UserError, match="from 1 to 4 tokens"):
            LiteWriter(fake, config={}).generate(prompt)


def test_a_file_that_does_not_write_is_refused(lite):
    with pytest.raises(UserError, match=r"Received: \['token_ids'\]"):
        LiteWriter(lite / "token_ids.float32.tflite")


@pytest.mark.slow
def test_the_example_writes_what_the_live_model_does(writing, tmp_path):
    task, prompt = tiny_writers.task("gpt2"), tiny_writers.PROMPTS[0]
    command = [sys.executable, SCRIPT, writing / "decode.float32.tflite"]
    command += [*map(str, prompt), "--new", str(NEW)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tokens = [int(token) for token in done.stdout.splitlines()[0].split()]
    assert tokens == written(task, prompt)
    assert json.loads((writing / "generation_config.json").read_text())["eos_token_id"] == 5


@pytest.mark.slow
def test_a_converted_file_writes_what_the_live_model_does(writing):
    task = tiny_writers.task("gpt2")
    writer = LiteWriter(writing / "decode.float32.tflite")
    for prompt in tiny_writers.PROMPTS:
        assert writer.generate(prompt, max_new_tokens=NEW) == written(task, prompt)
    assert not [name for name in writer.model.ops if name.startswith("CUSTOM")]
    assert writer.model.ops["DYNAMIC_UPDATE_SLICE"] == 4
