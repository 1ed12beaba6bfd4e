"""What an export writes is compared with what the live model writes: exactly, but for near ties."""

import dataclasses

import numpy as np
import pytest

from tests.export import writers
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding.config import DecodingConfig
from tfzoo.export import pipeline, verify_generation
from tfzoo.export.report import VerificationError
from tfzoo.export.session import Session
from tfzoo.export.verify_generation import Prompt, Tally, Written, fairness
from tfzoo.tasks import generation

IDS = [5, 6, 7, 3]


def written(margins=(9, 9, 9, 9, 0), **changes):  # 0 where nothing is written
    prompt = Prompt(b"a b", np.array([1, 2], np.int32))
    row = Written(prompt, None, np.array(b"c d"), [IDS], np.array([margins]), None, None)
    return dataclasses.replace(row, **changes)


def tally(row, **answer):
    found = Tally()
    found.add([row], {name: np.array([value]) for name, value in answer.items()})
    return found.equal, found.ties, found.wrong, found.check("texts").passed


def ids(*tokens):
    return {"token_ids": np.array([*tokens, 0, 0]), "lengths": len(tokens)}


def test_equal_texts_are_equal():
    assert tally(written(), text=b"c d") == (1, 0, [], True)
    assert tally(written(), **ids(*IDS)) == (1, 0, [], True)


def test_another_text_is_wrong_unless_the_live_model_nearly_tied():
    equal, ties, wrong, passed = tally(written(), text=b"c e")
    assert (equal, ties, passed) == (0, 0, False)
    assert "comes b'c e' instead of b'c d'" in wrong[0]
    assert tally(written([9, 1, 9, 9, 0]), text=b"c e") == (0, 1, [], True)


def test_ids_may_part_at_the_near_tie_alone():
    assert tally(written([9, 1, 9, 9, 0]), **ids(5, 8))[1:3] == (1, [])
    for other in ([8, 6, 7, 3], [5, 6, 8, 3], [5, 6, 7], [5, 6, 7, 3, 9]):
        assert not tally(written([9, 1, 9, 9, 0]), **ids(*other))[3]


def test_many_near_ties_fail():
    rows = [written([1, 9, 9, 9, 0])] * 50
    found = Tally()
    found.add(rows, {"text": np.array([b"c e"] * 3 + [b"c d"] * 47)})
    assert found.ties == 3
    assert not found.check("x").passed
    assert "47 of 50 equal, 3 differ from a near tie on" in found.check("x").measured


def test_scores_of_beams_are_near():
    row = written([[]], scores=np.float32(-2.0))
    assert tally(row, text=b"c d", scores=np.float32(-2.0001))[3]
    assert tally(row, text=b"c e", scores=np.float32(-2.0001))[1] == 1
    assert "scores are -2.1" in tally(row, text=b"c d", scores=np.float32(-2.1))[2][0]


def test_errors_and_missing_rows_are_wrong():
    found = Tally()
    found.add([written()], "out of memory")
    found.add([written(), written()], {"text": np.array([b"c d"])})
    assert len(found.wrong) == 3
    assert not Tally().check("nothing was asked").passed


def test_draws_are_fair_or_not():
    random = np.random.default_rng(1)
    chances = np.append(random.dirichlet(np.ones(50)), 0.0)
    drawn = random.choice(51, 2000, p=chances)
    assert fairness(drawn, chances).passed
    sharper = chances**1.3 / (chances**1.3).sum()
    assert not fairness(random.choice(51, 2000, p=sharper), chances).passed
    assert not fairness(np.append(drawn, 50), chances).passed
    assert not fairness(np.append(drawn, -1), chances).passed
    assert fairness(np.zeros(100, int), np.array([1.0, 0.0])).passed


def test_a_draw_near_a_border_is_a_near_tie():
    import tensorflow as tf

    from tfzoo.decoding import sampling

    border = float(sampling.uniform(tf.constant([4]), 1)[0])
    even = np.log([[0.5, 0.5]])
    cut = np.log([[border, 1 - border]])
    scores = tf.constant(np.stack([even, cut], 1)[:, None], tf.float32)
    requests = {"do_sample": tf.constant([True]), "seed": tf.constant([4])}
    found = verify_generation._margins(DecodingConfig(), requests, scores).numpy()[0, 0]
    assert found[0] > 1 > found[1]
    greedy = verify_generation._margins(DecodingConfig(), {}, scores).numpy()[0, 0]
    assert greedy[0] < 1 < greedy[1]


def test_prompts_are_fifty_in_many_languages():
    task = writers.task("gpt2")
    found = verify_generation.prompts(task)
    assert len(found) == len({prompt.text for prompt in found}) == 50
    assert len({len(prompt.token_ids) for prompt in found}) > 5
    everything = b"".join(prompt.text for prompt in found).decode("utf-8", "replace")
    assert all(letter in everything for letter in "ж日영הفη🎬")
    task.tokenizer = None
    assert len(verify_generation.prompts(task)) == 50


# Exports, from the outside.


def exported(task, folder):
    return pipeline.run(task, folder, "writer", kinds=["savedmodel"])


@pytest.mark.slow
@pytest.mark.parametrize("family", writers.FAMILIES)
def test_every_family_writes_in_a_session_what_it_writes_live(family, tmp_path):
    task = writers.task(family)
    summary = exported(task, tmp_path)
    names = {check.name: check.measured for check in summary.reports[0].checks}
    for kind in ("generate, alone", "generate, in batches", "generate_ids, in batches"):
        assert names[f"texts of {kind}"].startswith(("100 of 100", "99 of 100", "98 of 100"))
    assert "2048 draws, 0 impossible" in names["draws"]
    text = (summary.folders["savedmodel"] / "README.md").read_text(encoding="utf-8")
    assert '"signature_name": "generate"' in text
    with Session(summary.folders["savedmodel"]) as session:
        texts = ["a film", "good"]
        found = session.run("generate", text=texts)  # all parameters left out
        wanted = [text.encode() for text in task.generate(texts)]
        assert found["text"].tolist() == wanted
        assert session.run("serving_default", text=texts)["text"].tolist() == wanted


@pytest.mark.slow
def test_beams_and_stop_strings_verify(tmp_path):
    task = writers.task("bart")
    options = {"num_beams": 3, "num_return_sequences": 2, "stop_strings": ("good",)}
    config = DecodingConfig(max_new_tokens=8, no_repeat_ngram_size=3, **options)
    task.decoding = generation.completed(task, config)
    summary = exported(task, tmp_path)
    with Session(summary.folders["savedmodel"]) as session:
        found = session.run("generate", text=["a film"])
    assert found["text"].shape == found["scores"].shape == found["num_tokens"].shape == (1, 2)
    wanted = task.generate(["a film"])[0]
    assert [text.decode() for text in found["text"][0]] == wanted


@pytest.mark.slow
def test_without_a_tokenizer_ids_are_written_and_verified(tmp_path):
    task = writers.task("gpt2")
    bare = type(task)(task.model, None, max_length=writers.LENGTH)
    assert set(bare.signatures) == {"generate_ids", "token_ids"}
    exported(bare, tmp_path)


@pytest.mark.slow
def test_a_loop_that_lets_rows_see_padding_is_refused(tmp_path, monkeypatch):
    task = writers.task("gpt2")
    whole = generation.written

    def unmasked(task, config, token_ids, lengths, requests, model=None):
        everything = None if lengths is None else tf_shape(token_ids, lengths)
        return whole(task, config, token_ids, everything, requests, model)

    monkeypatch.setattr(generation, "written", unmasked)
    with pytest.raises(VerificationError, match=r"texts of .*in batches: .* wrong, such as"):
        exported(task, tmp_path)


def tf_shape(token_ids, lengths):
    import tensorflow as tf

    return tf.zeros_like(lengths) + tf.shape(token_ids)[1]


@pytest.mark.slow
def test_draws_that_ignore_the_temperature_are_refused(tmp_path, monkeypatch):
    task = writers.task("gpt2")
    function = task.signatures["generate"]
    import tensorflow as tf

    place = [*decoding_config.DTYPES].index("temperature")

    def cold(text, *values):
        values = [tf.ones_like(v) if i == place else v for i, v in enumerate(values)]
        return function(text, *values)

    specs = function.input_signature
    task.signatures["generate"] = tf.function(cold, input_signature=specs, autograph=False)
    with pytest.raises(VerificationError, match=r"texts of generate, alone: .* wrong"):
        exported(task, tmp_path)
