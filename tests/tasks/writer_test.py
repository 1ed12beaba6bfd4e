"""Texts written from Python: many, in pieces, and what is refused."""

import threading

import pytest

from tests.export import writers
from tfzoo.core.errors import UserError
from tfzoo.tasks import folder
from tfzoo.tasks.folder import Loaded

TEXTS = ["a film", "good", "the text was long and so on", "b c"]


@pytest.fixture(scope="module")
def task():
    return writers.task("gpt2")


def test_a_text_does_not_depend_on_those_beside_it(task):
    together = task.generate(TEXTS, batch_size=3, max_new_tokens=6)
    assert [task.generate([text], max_new_tokens=6)[0] for text in TEXTS] == together
    assert len(set(together)) > 1
    assert task.generate([], max_new_tokens=6) == []


def test_equal_configs_are_traced_once_whatever_the_numbers(task):
    options = {"do_sample": True, "temperature": 0.9, "max_new_tokens": 4}
    first = task.generate(TEXTS, seed=1, **options)
    before = task._writer.function.cache_info().misses
    assert task.generate(TEXTS, seed=1, **options) == first
    again = {**options, "max_new_tokens": 8, "temperature": 2.0}
    assert task.generate([*TEXTS, "c"], seed=2, **again) != first
    assert task._writer.function.cache_info().misses == before


@pytest.mark.slow
def test_texts_may_have_options_of_their_own(task):
    seeds = [1, 2, 1, 2]
    found = task.generate(["a film"] * 4, do_sample=True, seed=seeds, temperature=1.5)
    assert found[:2] == found[2:]
    assert found[0] != found[1]
    (two,) = task.generate(["a film"], do_sample=True, num_return_sequences=2, temperature=1.5)
    assert len(two) == 2


@pytest.mark.slow
def test_the_pieces_of_a_stream_are_the_text(task):
    options = {"do_sample": True, "max_new_tokens": 12, "seed": 3}
    pieces = list(task.stream("a film", **options))
    assert len(pieces) > 3
    assert "".join(pieces) == task.generate(["a film"], **options)[0]


def test_stop_strings_end_a_text_and_a_stream(task):
    options = {"do_sample": True, "max_new_tokens": 12, "seed": 3}
    (whole,) = task.generate(["a film"], **options)
    stop = whole[4:6]
    (cut,) = task.generate(["a film"], stop_strings=[stop], **options)
    assert cut == whole[: whole.index(stop)]
    assert "".join(task.stream("a film", stop_strings=[stop], **options)) == cut


def test_who_stops_listening_stops_the_writing(task):
    stream = task.stream("a film", max_new_tokens=30, do_sample=True, seed=3, eos_token_id=None)
    next(stream)
    stream.close()
    assert not task._writer._listeners
    for thread in threading.enumerate():
        if thread.name == "stream":
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["a b"], {"max_new_tokens": 38}, "Received: 3 tokens and max_new_tokens=38"),
        (["a b"], {"max_length": 41}, "has 40 positions"),
        (["a b"], {"temprature": 1.0}, "Did you mean `temperature`?"),
        (["a b"], {"top_p": 1.5}, "top_p must be at most 1"),
        (["a b"], {"top_k": "all"}, "`top_k` must be int"),
        (["a b"], {"seed": [1, 2]}, "one for each of the 1 texts. Received: 2"),
        (["a b"], {"output_scores": True}, "tfzoo.decoding.generate gives scores too"),
        ("a b", {}, "Texts must be a list of strings"),
        ([b"a"], {}, "Texts must be a list of strings"),
    ],
)
def test_what_cannot_be_is_one_line(task, texts, options, words):
    with pytest.raises(UserError) as caught:
        task.generate(texts, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_without_a_token_is_refused(task, monkeypatch):
    monkeypatch.setattr(task.tokenizer, "frame", task.tokenizer.frame._replace(before=()))
    with pytest.raises(UserError, match=r"A text has no tokens.*Received: ' '"):
        task.generate(["a", " "])


def test_a_stream_follows_one_text(task):
    with pytest.raises(UserError, match=r"A stream follows one text.*num_beams=2"):
        task.stream("a", num_beams=2)


def test_what_was_loaded_writes(task, tmp_path):
    loaded = Loaded(task.model, task.tokenizer, task.model.config, task)
    options = {"do_sample": True, "max_new_tokens": 12, "seed": 3}
    assert "".join(loaded.stream("a film", **options)) == loaded.generate(["a film"], **options)[0]


def test_what_writes_nothing_says_so():
    from tests.tasks import tiny
    from tfzoo.tasks.embedding import Embedding

    model, tokenizer = tiny.model(), tiny.tokenizer()
    loaded = folder.Loaded(model, tokenizer, model.config, Embedding(model, tokenizer))
    with pytest.raises(UserError, match="Only language models and encoder-decoders write text"):
        loaded.generate(["a"])
