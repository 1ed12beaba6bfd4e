"""The golden requests: the truth never sees padding, the requests do."""

import numpy as np
import pytest

from tests.export import tiny_tasks
from tfzoo.export import golden


@pytest.fixture(scope="module")
def goldens(tiny_task):
    return golden.Goldens(tiny_task, ["one more"])()


def test_the_texts_hold_what_breaks_tokenizers():
    texts = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in golden.TEXTS]
    everything = "".join(texts)
    assert "" in texts
    assert any(len(text) > 5000 for text in texts)
    for sample in "中日Ηとه화аह🎬é\x00\u202e\ufeff\u0301":
        assert sample in everything
    assert "[SEP]" in everything
    assert any(isinstance(t, bytes) for t in golden.TEXTS)


def test_answers_equal_those_of_predict(tiny_task, goldens):
    found = tiny_task.predict(["I want my two hours back."])
    truth = goldens[1].answers["serving_default"]
    np.testing.assert_allclose(truth["scores"], found["scores"][0], atol=1e-6)
    assert truth["label"] == found["label"][0]
    embedding = tiny_task.predict(["I want my two hours back."], signature="embed")["embedding"]
    np.testing.assert_allclose(goldens[1].answers["embed"]["embedding"], embedding[0], atol=1e-6)


def test_texts_of_the_user_are_asked_too(goldens):
    assert len(goldens) == len(golden.TEXTS) + 1
    assert goldens[-1].columns == {"text": b"one more"}


def test_every_text_is_asked_alone_and_in_a_batch_with_others(tiny_task, goldens):
    cases = list(golden.cases(tiny_task, goldens, ["serving_default"], 8))
    alone = [case.goldens[0] for case in cases if len(case.goldens) == 1]
    batched = [one for case in cases if len(case.goldens) > 1 for one in case.goldens]
    assert alone == goldens
    assert sorted(map(id, batched)) == sorted(map(id, goldens))
    lengths = [{len(one.token_ids) for one in case.goldens} for case in cases[len(alone) :]]
    assert all(len(found) > 1 for found in lengths)


def test_ids_are_padded_with_a_token_as_tensorflow_serving_does(goldens):
    short = min(goldens, key=lambda one: len(one.token_ids))
    (row,) = golden.padded_ids([short], 24)
    assert len(row) == len(short.token_ids) + 3
    assert set(row[len(short.token_ids) :]) == {short.token_ids[0]} != {0}
    long = max(goldens, key=lambda one: len(one.token_ids))
    assert golden.padded_ids([long], 24).shape == (1, 24)


def test_pairs_know_where_the_second_text_begins():
    task = tiny_tasks.classification(pairs=True)
    one = golden.Goldens(task)()[0]
    separator = task.tokenizer.sep_id
    assert one.token_ids[one.first_length - 1] == separator
    assert one.columns["pair"] != one.columns["text"]
    (case, *_) = golden.cases(task, [one], ["token_ids"], 1)
    assert case.request.inputs["first_lengths"].tolist() == [one.first_length]


def test_a_model_without_tokenizer_is_asked_with_ids():
    task = tiny_tasks.token_classification(tokenizer=False)
    goldens = golden.Goldens(task)()
    assert {len(one.token_ids) for one in goldens} >= {1, 24}
    assert all(set(one.answers) == {"token_ids"} for one in goldens)
