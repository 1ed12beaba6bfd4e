"""Classification: its data, its loss, its scores. What it answers is in task_test.py too."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks import tiny
from tfzoo.core import experiment
from tfzoo.core.config import ConfigError
from tfzoo.core.errors import UserError
from tfzoo.tasks import classification
from tfzoo.tasks.classification import Classification, Corpus, Data
from tfzoo.testing.conformance import near


@pytest.fixture
def file(tmp_path):
    def write(rows, name="train.tsv"):
        path = tmp_path / name
        path.write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in rows))
        return str(path)

    return write


@pytest.fixture(scope="module")
def task():
    model = tiny.model(head="classification", num_labels=3)
    return Classification(model, tiny.tokenizer(), labels=("x", "y", "z"), max_length=12)


ROWS = [(f"a b {i}", "xyz"[i % 3]) for i in range(60)]


def test_a_part_of_the_training_file_is_kept_for_evaluation(file):
    corpus = classification.read(Data(train=file(ROWS), evaluate_share=0.3))
    assert corpus.labels == ("x", "y", "z")
    assert len(corpus.train) + len(corpus.evaluate) == 60
    assert 5 < len(corpus.evaluate) < 30
    assert corpus.model_fields() == {"head": "classification", "num_labels": 3}


def test_an_evaluation_file_is_used_whole(file):
    data = Data(train=file(ROWS), evaluate=file(ROWS[:5], "dev.tsv"), max_rows=10)
    corpus = classification.read(data)
    assert (len(corpus.train), len(corpus.evaluate)) == (10, 5)


def test_an_unknown_label_in_the_evaluation_file_is_named_with_its_line(file):
    data = Data(train=file(ROWS), evaluate=file([("a", "x"), ("b", "q")], "dev.tsv"))
    with pytest.raises(UserError, match=r"dev\.tsv:3 .*'x', 'y', 'z'\. Received: label='q'"):
        classification.read(data)


def test_changed_data_have_another_fingerprint(file):
    def fingerprint(rows):
        return classification.read(Data(train=file(rows))).fingerprint()

    assert fingerprint(ROWS) == fingerprint(ROWS)
    assert fingerprint(ROWS) != fingerprint([*ROWS[:-1], ("other", "x")])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"evaluate_share": 0.0}, "evaluate_share must be between 0 and 1"),
        ({"evaluate_share": 1.0}, "evaluate_share must be between 0 and 1"),
        ({"max_rows": 1}, "max_rows must be at least 2"),
        ({"class_weights": {"x": 0.0}}, "class_weights.x=0.0"),
        ({"text": -1}, "counted from 0"),
        ({"label": "text"}, "cannot be two things"),
    ],
)
def test_data_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Data(train="a.tsv", **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_weights": "balancd"}, "Did you mean `balanced`"),
        ({"header": "maybe"}, "`maybe` is not a value of `data.header`"),
        ({"text": 1.5}, "`data.text` must be str or int"),
        ({"trian": "b"}, "Did you mean `train`"),
    ],
)
def test_a_wrong_value_in_yaml_is_named_by_its_path(fields, message):
    values = {"task": "classification", "data": {"train": "a.tsv", **fields}}
    with pytest.raises(ConfigError, match=message):
        experiment.check(values, Data)


def test_every_way_to_say_the_data_comes_through_yaml():
    data = {"train": "a", "text": 0, "label": 2, "pair": 1, "header": True}
    data["class_weights"] = {"x": 2}
    found = experiment.check({"task": "classification", "data": data}, Data).data
    assert (found.text, found.header, found.class_weights) == (0, True, {"x": 2.0})


def test_balanced_weights_are_those_of_scikit_learn(file):
    from sklearn.utils.class_weight import compute_class_weight

    rows = [(f"t {i}", "aabbbbbbc"[i % 9]) for i in range(90)]
    corpus = classification.read(Data(train=file(rows), class_weights="balanced"))
    labels = np.array(corpus.train.labels)
    expected = compute_class_weight("balanced", classes=np.array(corpus.labels), y=labels)
    near(corpus.class_weights, expected, 1e-12)


def test_named_weights_leave_the_other_classes_at_one(file):
    path = file(ROWS)
    corpus = classification.read(Data(train=path, class_weights={"y": 2.5}))
    assert corpus.class_weights == (1.0, 2.5, 1.0)
    with pytest.raises(UserError, match="`w` is not a class of the training data"):
        classification.read(Data(train=path, class_weights={"w": 2.5}))


def test_rows_carry_the_weight_of_their_class(file):
    data = Data(train=file(ROWS[:6]), evaluate=file(ROWS[:3], "dev.tsv"), class_weights={"y": 3})
    corpus = classification.read(data)
    weights = np.asarray(corpus.class_weights, "float32")
    train = classification.rows(corpus.train, corpus.labels, weights)
    evaluate = classification.rows(corpus.evaluate, corpus.labels)
    assert train["weight"].numpy().tolist() == [1, 3, 1, 1, 3, 1]
    assert evaluate["weight"].numpy().tolist() == [1, 1, 1]
    assert train["label"].numpy().tolist() == [0, 1, 2, 0, 1, 2]


def test_the_loss_is_the_weighted_sum_and_the_sum_of_weights(task):
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 5.0, -5.0], [1.0, 1.0, 1.0]], "float32")
    targets = {"label": np.array([0, 2, 1]), "weight": np.array([1.0, 3.0, 0.0], "float32")}
    total, count = task.loss(targets, {"logits": tf.constant(logits)}), task.count(targets)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(probability[0, 0]) - 3 * np.log(probability[1, 2])
    near(total, expected, 1e-5)
    assert float(count) == 4


def test_the_loss_is_float32_whatever_the_logits_are(task):
    targets = {"label": np.array([0]), "weight": np.ones(1, "float32")}
    logits = tf.constant([[3.0, 1.0, 0.0]], tf.bfloat16)
    assert task.loss(targets, {"logits": logits}).dtype == tf.float32


def test_sources_are_the_weighted_rows_of_both_sides(task, file):
    path = file(ROWS[:6])
    corpus = classification.read(
        Data(path, evaluate=file(ROWS[:3], "d.tsv"), class_weights={"y": 3})
    )
    train, evaluate = corpus.sources(task, 0, fixed=True)
    assert (train.num_rows, evaluate.num_rows) == (6, 3)
    numbers, epoch = tf.constant([1, 0], tf.int64), tf.constant(0, tf.int64)
    inputs, targets = train.examples(numbers, epoch, tf.constant([True, False]))
    assert inputs["token_ids"].shape == (2, 12)
    assert targets["label"].numpy().tolist() == [1, 0]
    assert targets["weight"].numpy().tolist() == [3, 0]
    assert corpus.facts() == {"labels": ["x", "y", "z"]}
    assert corpus.describe() == "3 classes: x, y, z."


def test_encoding_gives_inputs_of_a_multiple_and_targets(task):
    rows = {
        "text": tf.constant(["a b", "a b c a b c"]),
        "label": tf.constant([0, 1]),
        "weight": tf.ones([2]),
    }
    inputs, targets = task.encode(rows)
    assert {v.shape for v in inputs.values()} == {(2, 8)}
    assert set(inputs) == {"token_ids", "segment_ids", "padding_mask"}
    assert set(targets) == {"label", "weight"}
    assert task.encode(rows, 12)[0]["token_ids"].shape == (2, 12)


def test_scores_leave_out_the_rows_that_fill_up(task):
    kept = {
        "label": np.array([0, 1, 1]),
        "weight": np.array([1.0, 1.0, 0.0], "float32"),
        "logits": np.array([[9, 0, 0], [0, 9, 0], [9, 0, 0]], "float32"),
    }
    scores = task.scores(kept)
    assert (scores["accuracy"], scores["macro_f1"]) == (1.0, 1.0)
    assert scores["loss"] < 1e-3
    assert sum(map(sum, task.report(kept).confusion)) == 2


def test_evaluating_a_table_agrees_with_predicting_it(task, file):
    corpus = classification.read(Data(train=file(ROWS), evaluate_share=0.5))
    report = task.evaluate(corpus.evaluate)
    answer = task.predict(corpus.evaluate.texts)["label"]
    right = sum(a.decode() == b for a, b in zip(answer, corpus.evaluate.labels, strict=True))
    assert report.accuracy == pytest.approx(right / len(corpus.evaluate))


def test_the_number_of_labels_must_be_that_of_the_head():
    model = tiny.model(head="classification", num_labels=3)
    with pytest.raises(UserError, match=r"3 classes\. Received: 2 labels"):
        Classification(model, tiny.tokenizer(), labels=("a", "b"))


def test_another_head_is_refused():
    with pytest.raises(UserError, match="needs a model with head classification"):
        Classification(tiny.model(), tiny.tokenizer(), labels=("a", "b"))


def test_pairs_make_a_task_of_pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"text": f"a {i}", "b": "c", "label": "xy"[i % 2]} for i in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Data(train=str(path), pair="b", evaluate=str(path), max_length=12)
    corpus = classification.read(data)
    assert corpus.texts() == [*corpus.train.texts, *("c",) * 9]
    made = corpus.task(tiny.model(head="classification"), tiny.tokenizer(), data)
    assert made.pairs
    assert made.options()["labels"] == ["x", "y"]
    rows = classification.rows(corpus.train, corpus.labels)
    assert made.encode(rows)[0]["segment_ids"].numpy().sum() == 18


def test_only_frozen_dataclasses_describe_data():
    assert Data.__dataclass_params__.frozen
    assert Corpus.__dataclass_params__.frozen
    assert "train" in {f.name for f in dataclasses.fields(Data)}


def test_samples_are_a_table_with_the_answers(task, file):
    path = file([("a | b", "x"), ("c a", "y"), ("b b", "x")])
    corpus = classification.read(Data(path, evaluate=path))
    ((title, text),) = corpus.samples(task, 3)
    answer = task.predict(["a | b", "c a", "b b"])
    predicted = [label.decode() for label in answer["label"]]
    scores = [f"{score:.3f}" for score in answer["score"]]
    assert title == "predictions"
    assert text.splitlines() == [
        "| text | label | predicted | score |",
        "| --- | --- | --- | --- |",
        rf"| a \| b | x | {predicted[0]} | {scores[0]} |",
        f"| c a | y | {predicted[1]} | {scores[1]} |",
        f"| b b | x | {predicted[2]} | {scores[2]} |",
    ]
    assert len(corpus.samples(task, 2)[0][1].splitlines()) == 4


def test_samples_of_pairs_show_both_texts(file, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("text\tother\tlabel\na\tb\tx\nc\ta\ty\n")
    corpus = classification.read(Data(str(path), evaluate=str(path), pair="other"))
    model = tiny.model(head="classification", num_labels=2)
    task = corpus.task(model, tiny.tokenizer(), Data(str(path), pair="other", max_length=12))
    lines = corpus.samples(task, 2)[0][1].splitlines()
    assert lines[0] == "| text | pair | label | predicted | score |"
    assert lines[2].startswith("| a | b | x | ")


def test_curves_of_precision_and_recall_leave_out_the_rows_that_fill_up(task):
    shares = [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.5, 0.25, 0.25]]
    kept = {
        "label": np.array([0, 2, 0]),
        "logits": np.log(np.array(shares, "float32")),
        "weight": np.array([1, 1, 0], "float32"),
    }
    curves = task.precision_recall(kept)
    assert {name: is_it.tolist() for name, (is_it, _) in curves.items()} == {
        "x": [True, False],
        "y": [False, False],
        "z": [False, True],
    }
    np.testing.assert_allclose(curves["z"][1], [0.25, 0.6], rtol=1e-6)
