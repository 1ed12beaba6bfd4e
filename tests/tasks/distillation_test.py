"""Distillation: its losses, what a student begins with, and a teacher that stays as it is."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import pretraining
from tfzoo.core.errors import UserError
from tfzoo.tasks import distillation, folder
from tfzoo.tasks.distillation import Data, Distillation, divergences, initialize, layers
from tfzoo.tasks.masked_language_model import MaskedLanguageModel
from tfzoo.tasks.texts import TextChoice
from tfzoo.testing.values import fill, near
from tfzoo.text.wordpiece import WordPiece
from tfzoo.train.start import build_task

SIZE = len(pretraining.VOCABULARY)
FIELDS = {**pretraining.ENCODER, **pretraining.NO_DROPOUT, "vocab_size": SIZE}
DATA = Data(TextChoice("texts"), "teacher")
GENERATOR = np.random.default_rng(0)
ROWS, TOKENS, HIDDEN = 2, 6, 2


def make_teacher(**fields):
    model = tfzoo.build("bert", **{**FIELDS, "num_layers": 4, "head": "pretraining", **fields})
    fill(model)
    return model


def make_student(**fields):
    return tfzoo.build("distilbert", **{**FIELDS, "head": "masked_lm", **fields})


@pytest.fixture(scope="module")
def teacher():
    return make_teacher()


@pytest.fixture(scope="module")
def saved(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "model"
    folder.save(MaskedLanguageModel(teacher, pretraining.tokenizer()), path)
    return str(path)


@pytest.fixture(scope="module")
def batch():
    padding_mask = np.array([[1] * 6, [1] * 4 + [0] * 2], "int32")
    ids = GENERATOR.integers(8, SIZE, (ROWS, TOKENS)).astype("int32") * padding_mask
    inputs = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": padding_mask,
        "masked_positions": np.array([[1, 3], [2, 0]], "int32"),
    }
    targets = {
        "labels": GENERATOR.integers(8, SIZE, (ROWS, HIDDEN)).astype("int32"),
        "label_weights": np.array([[1, 1], [1, 0]], "float32"),
        "token_weights": padding_mask.astype("float32"),
        "weight": np.ones(ROWS, "float32"),
    }
    return inputs, targets


def make_task(student, teacher, **fields):
    return Distillation(
        student, pretraining.tokenizer(), teacher, dataclasses.replace(DATA, **fields)
    )


@pytest.mark.parametrize(("student", "teacher", "expected"), [
    (6, 12, [0, 2, 4, 7, 9, 11]),  # those of extract_distilbert.py
    (12, 12, list(range(12))),
    (2, 4, [0, 3]),
    (1, 5, [0]),
    (0, 3, []),
])  # fmt: skip
def test_layers_are_evenly_spread(student, teacher, expected):
    assert layers(student, teacher) == expected


def test_a_student_begins_as_every_second_layer_of_its_teacher(teacher):
    student = make_student()
    initialize(student, teacher)
    theirs = {weight.path: np.asarray(weight) for weight in teacher.weights}
    paths = [weight.path for weight in student.weights]
    assert {"token_embedding/output_bias", "mlm_transform/kernel", "position_embedding/embeddings",
            "embedding_norm/gamma"} <= set(paths)  # fmt: skip
    for weight in student.weights:
        np.testing.assert_array_equal(
            weight, theirs[weight.path.replace("block_1/", "block_3/")], weight.path
        )


@pytest.mark.parametrize(
    "fields",
    [{"num_layers": 5}, {"num_heads": 4}, {"activation": "relu"}, {"feed_forward_dim": 16},
     {"max_length": 8}],
)  # fmt: skip
def test_another_kind_of_student_begins_with_nothing(teacher, fields):
    student = make_student(**fields)
    before = [np.asarray(weight) for weight in student.weights]
    with pytest.raises(UserError, match=r"data\.initialize=none\. Received: ") as error:
        initialize(student, teacher)
    assert "\n" not in str(error.value)
    for weight, old in zip(student.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_equal_models_have_nothing_to_learn_from_each_other(batch):
    teacher = make_teacher(head="masked_lm")
    task = make_task(teacher, make_teacher(head="masked_lm"))
    inputs, targets = batch
    divergence, masked, cosine = task.loss(targets, task.forward(inputs, training=True)).numpy()
    near([divergence, cosine], [0, 0], 1e-4)
    assert masked > 1


@pytest.mark.parametrize("where", ["all", "masked"])
def test_counts_are_those_of_the_places_that_are_compared(teacher, batch, where):
    task = make_task(make_student(), teacher, soft_targets=where)
    assert task.count(batch[1]).numpy().tolist() == [10 if where == "all" else 3, 3, 10]


def test_soft_targets_at_hidden_tokens_are_those_of_the_whole_rows(teacher, batch):
    student = make_student()
    fill(student)
    inputs, targets = batch
    whole = make_task(student, teacher).forward(inputs, training=True)
    task = make_task(student, teacher, soft_targets="masked")
    found = task.forward(inputs, training=True)
    for name in ("soft_logits", "teacher_logits"):
        chosen = np.take_along_axis(whole[name].numpy(), inputs["masked_positions"][..., None], 1)
        near(found[name], chosen, 1e-5)
    divergence_bm = divergences(found["soft_logits"], found["teacher_logits"], 2.0)
    expected = 5 * (divergence_bm.numpy() * targets["label_weights"]).sum()
    near(task.loss(targets, found)[0], expected, 1e-4)


@pytest.mark.parity
def test_losses_and_gradients_are_those_of_the_published_code(teacher, batch):
    torch = pytest.importorskip("torch")
    student = make_student()
    fill(student)
    task = make_task(student, teacher, temperature=3.0)
    inputs, targets = batch
    outputs = task.forward(inputs, training=True)
    names = ("soft_logits", "sequence")
    with tf.GradientTape() as tape:
        watched = {name: tf.identity(outputs[name]) for name in names}
        tape.watch(list(watched.values()))
        hidden = tf.gather(watched["soft_logits"], inputs["masked_positions"], batch_dims=1)
        sums = task.loss(targets, {**outputs, **watched, "logits": hidden})
        total = tf.reduce_sum(sums / task.count(targets))
    found = tape.gradient(total, list(watched.values()))

    ours = {k: torch.tensor(v.numpy(), requires_grad=k in names) for k, v in outputs.items()}
    real = torch.tensor(inputs["padding_mask"]).bool()
    of_student, of_teacher = (ours[k][real] for k in ("soft_logits", "teacher_logits"))
    functional = torch.nn.functional
    divergence = torch.nn.KLDivLoss(reduction="batchmean")(
        functional.log_softmax(of_student / 3, -1), functional.softmax(of_teacher / 3, -1)
    ) * 9  # fmt: skip
    labels = torch.full((ROWS, TOKENS), -100)
    for row, place, label in ((0, 1, 0), (0, 3, 1), (1, 2, 0)):
        labels[row, place] = int(targets["labels"][row, label])
    masked = functional.cross_entropy(ours["soft_logits"].reshape(-1, SIZE), labels.reshape(-1))
    one, two = (ours[name][real] for name in ("sequence", "teacher_sequence"))
    same = torch.ones(len(one))
    cosine = torch.nn.CosineEmbeddingLoss(reduction="mean")(one, two, same)
    for found_sum, count, weight, expected in zip(
        sums, task.count(targets), (5, 2, 1), (divergence, masked, cosine), strict=True
    ):
        near(found_sum / count, weight * expected.item(), 1e-4)
    (5 * divergence + 2 * masked + cosine).backward()
    for name, gradient in zip(names, found, strict=True):
        near(gradient, ours[name].grad.numpy(), 1e-5)


def experiment(tmp_path, saved, data=None, **model):
    sizes = {k: v for k, v in FIELDS.items() if k != "vocab_size"}
    student = {"name": "distilbert", "tokenizer": None, "fields": sizes, **model}
    given = {"teacher": saved, "initialize": "every_second_layer", **(data or {})}
    return pretraining.make(tmp_path, "distillation", given, student, learning_rate=2e-3)


def test_the_student_takes_tokenizer_and_weights_of_the_teacher(tmp_path, saved, teacher):
    made = experiment(tmp_path, saved)
    corpus = distillation.read(made.data)
    task = build_task(made, corpus, tmp_path / "none")
    assert task.tokenizer.vocabulary == pretraining.VOCABULARY
    table = next(w for w in teacher.weights if w.path == "token_embedding/embeddings")
    own = {w.path: w for w in task.model.weights}
    np.testing.assert_array_equal(own["token_embedding/embeddings"], table)
    assert not any("teacher" in path or "segment" in path for path in own)
    source, _ = corpus.sources(task, 0, fixed=True)
    real = tf.constant([True, False])
    inputs, targets = source.examples(tf.constant([0, 1], tf.int64), tf.constant(0, tf.int64), real)
    expected = inputs["padding_mask"].numpy() * np.array([[1], [0]])
    np.testing.assert_array_equal(targets["token_weights"], expected)
    plain = experiment(tmp_path, saved, {"initialize": "none"})
    fresh = build_task(plain, distillation.read(plain.data), tmp_path / "none")
    other = next(w for w in fresh.model.weights if w.path == "token_embedding/embeddings")
    assert np.abs(np.asarray(other) - np.asarray(table)).max() > 0.1


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        ({}, {"width": 8}, "same width: set model.fields.width, or data.cosine_weight=0"),
        ({}, {"vocab_size": SIZE + 3}, "same vocab_size"),
        ({"length": 32}, {"max_length": 32}, "exceeds the positions of the teacher, 24"),
    ],
)
def test_a_student_that_cannot_learn_from_the_teacher_is_refused(
    tmp_path, saved, data, fields, message
):
    sizes = {k: v for k, v in FIELDS.items() if k != "vocab_size"}
    made = experiment(tmp_path, saved, {**data, "initialize": "none"}, fields={**sizes, **fields})
    with pytest.raises(UserError, match=message):
        build_task(made, distillation.read(made.data), tmp_path / "none")


def test_another_tokenizer_and_a_teacher_without_the_head_are_refused(tmp_path, saved):
    WordPiece([*pretraining.VOCABULARY[:-1], "!"]).save(tmp_path / "other")
    made = experiment(tmp_path, saved, tokenizer=str(tmp_path / "other"))
    with pytest.raises(UserError, match="need the same tokenizer"):
        build_task(made, distillation.read(made.data), tmp_path / "none")
    encoder = tfzoo.load(saved, head="none").task
    folder.save(encoder, tmp_path / "encoder")
    made = experiment(tmp_path, str(tmp_path / "encoder"))
    with pytest.raises(UserError, match=r"must have a masked language model's head.*head=none"):
        build_task(made, distillation.read(made.data), tmp_path / "none")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"soft_weight": -1.0}, "soft_weight"),
        ({"mask_share": 2.0}, "mask_share must be"),
        ({"length": 4}, "length"),
    ],
)
def test_data_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(DATA, **fields)


@pytest.mark.slow
def test_a_run_learns_and_the_student_alone_is_saved(tmp_path):
    # Weights of a formula are far from all that can be learned in a few steps.
    teacher = tfzoo.build("bert", **{**FIELDS, "num_layers": 4, "head": "pretraining"})
    folder.save(MaskedLanguageModel(teacher, pretraining.tokenizer()), tmp_path / "teacher")
    sizes = {k: v for k, v in FIELDS.items() if k != "vocab_size"}
    model = {"name": "distilbert", "tokenizer": None, "fields": sizes}
    data = {"teacher": str(tmp_path / "teacher"), "initialize": "every_second_layer"}
    data["soft_weight"] = 1.0
    steps = {"duration": "20 steps", "evaluate_every": "10 steps"}
    summary = pretraining.check_learns(tmp_path, "distillation", data, model, **steps)
    after = tfzoo.load(tmp_path / "teacher").model
    for one, two in zip(after.weights, teacher.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    loaded = tfzoo.load(summary["model"])
    assert isinstance(loaded.task, MaskedLanguageModel)
    assert loaded.task.predict(["the cat"])["logits"].shape[2] == SIZE
    checkpoint = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    names = [name for name, _ in tf.train.list_variables(checkpoint)]
    assert names and not any("next_sentence" in name or "segment" in name for name in names)


@pytest.mark.slow
def test_the_teacher_does_not_change_while_the_student_does(tmp_path, saved):
    made = experiment(tmp_path, saved)
    corpus = distillation.read(made.data)
    task = build_task(made, corpus, tmp_path / "none")
    teacher = task._teacher
    assert not teacher.trainable_variables
    before = [np.asarray(weight) for weight in teacher.weights]
    inputs, targets = next(iter(_batches(corpus, task)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([weight.value for weight in teacher.weights])
        outputs = task.forward(inputs, training=True)
        total = tf.reduce_sum(task.loss(targets, outputs))
    student = tape.gradient(total, [w.value for w in task.model.trainable_variables])
    assert all(gradient is not None for gradient in student)
    of_teacher = tape.gradient(total, [weight.value for weight in teacher.weights])
    assert all(gradient is None for gradient in of_teacher)
    for weight, old in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def _batches(corpus, task):
    from tfzoo.data import batches

    return batches.training(corpus.sources(task, 0, fixed=True)[0], 4, 0)
