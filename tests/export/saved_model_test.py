"""The SavedModel: signatures, methods, one copy of the weights, and what stays out of it."""

import pytest
import tensorflow as tf

from tests.export import tiny_tasks
from tfzoo.export import meta_graph, saved_model, warm_up
from tfzoo.export.session import Session


@pytest.fixture(scope="module")
def contents(exported):
    return meta_graph.read(exported.folders["savedmodel"])


def test_the_signatures_are_those_of_the_task_and_classify(contents):
    inputs = {name: sorted(found.inputs) for name, found in contents.signatures.items()}
    assert inputs == {
        "classify": ["inputs"],
        "embed": ["text"],
        "serving_default": ["text"],
        "token_ids": ["lengths", "token_ids"],
    }
    assert contents.signatures["classify"].method == "tensorflow/serving/classify"
    assert contents.signatures["serving_default"].method == "tensorflow/serving/predict"
    assert sorted(contents.signatures["classify"].outputs) == ["classes", "scores"]


def test_pairs_have_a_second_text_and_the_length_of_the_first():
    functions = saved_model.signatures(tiny_tasks.classification(pairs=True))
    inputs = {n: [s.name for s in f.input_signature] for n, f in functions.items()}
    assert inputs == {
        "classify": ["inputs"],
        "embed": ["text"],
        "serving_default": ["text", "pair"],
        "token_ids": ["token_ids", "lengths", "first_lengths"],
    }


def test_only_classifiers_classify():
    assert "classify" not in saved_model.signatures(tiny_tasks.embedding())
    assert sorted(saved_model.signatures(tiny_tasks.token_classification(tokenizer=False))) == [
        "token_ids"
    ]


def test_every_weight_is_stored_once_under_its_path(exported, tiny_task):
    prefix = exported.folders["savedmodel"] / "variables" / "variables"
    names = {name for name, _ in tf.train.list_variables(str(prefix))}
    assert len(names) == len(tiny_task.model.weights) + 1  # and the graph of objects
    assert "weights/block_0.Sattention.Sqkv.Skernel/.ATTRIBUTES/VARIABLE_VALUE" in names


def test_the_vocabulary_is_in_the_graph(exported):
    folder = exported.folders["savedmodel"]
    assert not list((folder / "assets").iterdir())


def test_every_signature_is_warmed_up_short_long_and_in_a_batch(exported):
    requests = warm_up.read(exported.folders["savedmodel"])
    shapes = [r.inputs["token_ids"].shape for r in requests if r.signature == "token_ids"]
    assert shapes == [(1, 8), (1, 24), (8, 24)]
    assert len(requests) == 12


def test_classify_takes_examples_of_pairs(tmp_path):
    task = tiny_tasks.classification(pairs=True)
    saved_model.write(task, tmp_path, "tiny")
    answer = task.predict(["a film"], ["good"])
    with Session(tmp_path) as session:
        example = warm_up.example(text="a film", pair="good")
        found = session.run("classify", inputs=[example])
    assert found["classes"].tolist() == [[b"bad", b"good", b"odd"]]
    assert found["scores"][0] == pytest.approx(answer["scores"][0], abs=1e-6)
