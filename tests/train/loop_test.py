"""The loop's mathematics on one device, and that two replicas are one device."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.train import tiny
from tfzoo.data import batches
from tfzoo.tasks import classification
from tfzoo.testing.conformance import near
from tfzoo.train.loop import Loop
from tfzoo.train.start import build_task


class Toy:
    """A small task: rows of 6 numbers, one of 3 classes."""

    def __init__(self, dropout=0.0):
        keras.utils.set_random_seed(7)
        x = keras.Input((6,))
        hidden = keras.layers.Dense(5, "tanh", name="hidden")(x)
        dropped = keras.layers.Dropout(dropout, name="dropout")(hidden)
        self.model = keras.Model(x, {"logits": keras.layers.Dense(3, name="logits")(dropped)})

    def run(self, model, inputs, training=False):
        return model(inputs, training=training)

    def loss(self, targets, outputs):
        return classification.Classification.loss(self, targets, outputs)


def batch(real=8, size=8):
    chance = np.random.default_rng(3)
    targets = {
        "label": chance.integers(0, 3, size),
        "weight": (np.arange(size) < real).astype("float32"),
    }
    return chance.normal(size=(size, 6)).astype("float32"), targets


def made(task, clip_norm=None, jit=False, rate=1.0):
    """A loop with plain gradient descent at rate 1: a step is the gradient."""
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build(task.model.trainable_variables)
    return Loop(task, optimizer, tf.distribute.get_strategy(), clip_norm, jit)


def real(folder):
    """A loop of a real task, and its rows."""
    keras.utils.set_random_seed(7)
    experiment = tiny.make(folder, tiny.NO_DROPOUT)
    corpus = classification.read(experiment.data)
    return made(build_task(experiment, corpus, folder / "trained")), corpus.rows()[0]


def weights(loop):
    return {w.path: np.array(w) for w in loop.task.model.trainable_variables}


def by_hand(task, batch):
    """Mean loss over the real rows, and its gradient by path."""
    inputs, targets = batch
    weights = task.model.trainable_variables
    with tf.GradientTape() as tape:
        logits = task.model(inputs, training=False)["logits"]
        nats = keras.losses.sparse_categorical_crossentropy(targets["label"], logits, True)
        loss = tf.reduce_sum(nats * targets["weight"]) / tf.reduce_sum(targets["weight"])
    found = tape.gradient(loss, [w.value for w in weights])
    return float(loss), {w.path: np.array(g) for w, g in zip(weights, found, strict=True)}


def feed(*found):
    return iter(tf.data.Dataset.from_tensors(found).repeat())


@pytest.mark.parametrize("rows", [8, 5, 1])
def test_a_step_is_the_gradient_of_the_mean_over_the_real_rows(rows):
    loop = made(Toy())
    loss, gradients = by_hand(loop.task, batch(rows))
    before = weights(loop)
    ((seen, norm),) = loop.train(feed(*batch(rows)), 1)
    near(seen, loss, 1e-6)
    near(norm, np.sqrt(sum((g.astype("f8") ** 2).sum() for g in gradients.values())), 1e-6)
    for path, weight in weights(loop).items():
        near(weight, before[path] - gradients[path], 1e-6)


def test_so_it_is_of_a_transformer_whose_rows_differ_in_length_and_weight(tmp_path):
    loop, rows = real(tmp_path)
    rows["weight"] = tf.constant(np.linspace(0.5, 3, len(rows["weight"])), tf.float32)
    first = {name: column[:6] for name, column in rows.items()}
    found = next(iter(batches.evaluation(first, loop.task.encode, 8)))
    loss, gradients = by_hand(loop.task, found)
    before = weights(loop)
    near(loop.train(feed(*found), 1)[0, 0], loss, 1e-6)
    for path, weight in weights(loop).items():
        near(weight, before[path] - gradients[path], 1e-5)

    # The same loop evaluates every row, in order, and drops nothing out.
    kept = loop.evaluate(batches.evaluation(rows, loop.task.encode, 8))
    is_real = kept["weight"] > 0
    assert kept["label"][is_real].tolist() == rows["label"].numpy().tolist()
    texts = [text.decode() for text in rows["text"].numpy()]
    near(kept["logits"][is_real], loop.task.predict(texts)["logits"], 1e-5)


def test_a_gradient_above_the_norm_is_scaled_down_and_below_left_alone():
    free = made(Toy())
    before = weights(free)
    norm = free.train(feed(*batch()), 1)[0, 1]
    step = {path: before[path] - w for path, w in weights(free).items()}
    for clip, factor in ((float(norm) / 4, 0.25), (float(norm) * 2, 1.0)):
        clipped = made(Toy(), clip_norm=clip)
        assert clipped.train(feed(*batch()), 1)[0, 1] == norm  # as it was before clipping
        for path, weight in weights(clipped).items():
            near(before[path] - weight, factor * step[path], 1e-6)


def test_many_steps_in_one_call_are_the_steps_one_by_one():
    one, many = made(Toy(dropout=0.3)), made(Toy(dropout=0.3))
    iterator = feed(*batch())
    singly = np.concatenate([one.train(iterator, 1) for _ in range(5)])
    np.testing.assert_array_equal(many.train(feed(*batch()), 5), singly)
    assert int(one.step.numpy()) == int(many.step.numpy()) == 5
    for path, weight in weights(one).items():
        np.testing.assert_array_equal(weight, weights(many)[path])


def test_dropout_is_drawn_anew_in_every_step():
    loop = made(Toy(dropout=0.5), rate=0.0)
    losses = loop.train(feed(*batch()), 4)[:, 0]
    assert len(set(losses.tolist())) == 4


@pytest.mark.slow
def test_xla_takes_the_same_steps():
    plain, compiled = made(Toy()), made(Toy(), jit=True)
    near(compiled.train(feed(*batch()), 4), plain.train(feed(*batch()), 4), 1e-5)
    for path, weight in weights(plain).items():
        near(weights(compiled)[path], weight, 1e-5)


class Unused:
    """A task whose loss leaves a weight out, as a pooler that no head reads is."""

    def __init__(self):
        used = keras.layers.Dense(2, name="used")
        unused = keras.layers.Dense(2, name="unused")
        x = keras.Input((3,))
        self.model = keras.Model(x, {"logits": used(x), "more": unused(x)})

    run = Toy.run

    def loss(self, targets, outputs):
        return tf.reduce_sum(outputs["logits"] ** 2), tf.constant(1.0)


def test_a_weight_that_the_loss_does_not_read_is_left_alone():
    task = Unused()
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.build(task.model.trainable_variables)
    before = {w.path: np.array(w) for w in task.model.trainable_variables}
    loop = Loop(task, optimizer, tf.distribute.get_strategy())
    loop.train(feed(tf.ones([2, 3]), {}), 1)
    np.testing.assert_array_equal(task.model.get_layer("unused").kernel, before["unused/kernel"])
    assert np.abs(weights(loop)["used/kernel"] - before["used/kernel"]).max() > 0.05


# Two replicas. Devices are set once in a process, so these run in one child, which prints JSON.
CHILD = """
import dataclasses, json, pathlib, sys
import keras, numpy as np, tensorflow as tf
from tests.train import tiny
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice
from tfzoo.data import batches
from tfzoo.tasks import classification
from tfzoo.train import loop as loops, optimizers, strategies
from tfzoo.train.start import build_task

folder = pathlib.Path(sys.argv[1])
found = {}
choice = TrainChoice(strategy="mirrored", replicas=2, batch_size=8)
try:
    strategies.choose(TrainChoice(strategy="mirrored", replicas=2, batch_size=5))
except UserError as error:
    found["refused"] = str(error)
mirrored = strategies.choose(choice)
found["replicas"] = mirrored.num_replicas_in_sync


def run(strategy):
    keras.utils.set_random_seed(7)
    experiment = tiny.make(folder, tiny.NO_DROPOUT)
    data = dataclasses.replace(experiment.data, class_weights={"animal": 4.0, "metal": 0.5})
    corpus = classification.read(data)
    with strategy.scope():
        task = build_task(experiment, corpus, folder / "trained")
        weights = task.model.trainable_variables
        optimizer = optimizers.adamw(weights, optimizers.WarmUp(1e-2, 3, 20), 0.1)
    loop = loops.Loop(task, optimizer, strategy, clip_norm=0.5)
    rows, evaluation_rows = corpus.rows()
    # 8 of 9 rows a batch: in the second batch of each epoch, one replica has no real row at all.
    rows = {name: column[:9] for name, column in rows.items()}
    training = loop.distribute(batches.training(rows, task.encode, 8, seed=1))
    points = loop.train(iter(training), 10)
    copies = [[c.numpy() for c in strategies.components(v)] for v in weights]
    kept = loop.evaluate(loop.distribute(batches.evaluation(evaluation_rows, task.encode, 8)))
    return {
        "points": points.tolist(),
        "weights": {w.path: c[0].tolist() for w, c in zip(weights, copies)},
        "between": max(float(np.abs(c[0] - c[-1]).max()) for c in copies),
        "logits": kept["logits"].tolist(),
        "decay": [bool(optimizer._use_weight_decay(v.value)) for v in weights],
    }


def masks(spread):
    with mirrored.scope():
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5, name="dropout")])
    if spread:
        loops.spread_seeds(model)
    drop = tf.function(lambda: model(tf.ones([1, 64]), training=True))
    drawn = [mirrored.experimental_local_results(mirrored.run(drop)) for _ in range(3)]
    return [[np.array(mask).ravel().tolist() for mask in step] for step in drawn]


found["one"] = run(tf.distribute.get_strategy())
found["two"] = run(mirrored)
found["masks"], found["same_masks"] = masks(True), masks(False)
print("RESULT" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    tiny.values(folder)
    output = tiny.child(CHILD, folder).stdout
    return json.loads(output.partition("RESULT")[2])


def test_two_replicas_see_the_losses_and_norms_of_one_device(replicas):
    one, two = (np.array(replicas[name]["points"]) for name in ("one", "two"))
    near(two[:, 0], one[:, 0], 1e-6)
    near(two[:, 1], one[:, 1], 1e-5)
    assert (one[:, 1] > 0.5).any()  # so that clipping did something


def test_two_replicas_come_to_the_weights_of_one_device(replicas):
    for path, weight in replicas["one"]["weights"].items():
        one, two = np.array(weight), np.array(replicas["two"]["weights"][path])
        if path.endswith("qkv/bias"):
            # The softmax does not see a bias on the keys. Its gradient is rounding noise, which
            # Adam makes as large as any other.
            one, two = (np.delete(bias, slice(16, 32)) for bias in (one, two))
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-5, err_msg=path)
    assert replicas["two"]["between"] == 0
    assert replicas["two"]["decay"] == replicas["one"]["decay"]
    assert {True, False} == set(replicas["two"]["decay"])


def test_two_replicas_evaluate_every_row_in_order(replicas):
    near(replicas["two"]["logits"], replicas["one"]["logits"], 1e-4)


def test_every_replica_drops_other_elements(replicas):
    drawn = [tuple(mask) for step in replicas["masks"] for mask in step]
    assert len(drawn) == len(set(drawn)) == 6


def test_keras_drops_the_same_elements_on_every_replica(replicas):
    """When this fails, Keras has mended it, and `spread_seeds` can go."""
    assert all(first == second for first, second in replicas["same_masks"])


def test_the_cpu_is_split_and_the_batch_must_be_divisible(replicas):
    assert replicas["replicas"] == 2
    assert "train.batch_size=5, 2 replicas" in replicas["refused"]
