"""The loop's mathematics on one device, and that two replicas are one device."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.train import distribute, tiny
from tests.train.distribute import Case
from tfzoo.core.experiment import OptimizerChoice, TrainChoice
from tfzoo.data import batches
from tfzoo.tasks import classification
from tfzoo.testing.conformance import near
from tfzoo.train import loop as loops
from tfzoo.train import optimizers
from tfzoo.train.loop import Loop
from tfzoo.train.start import build_task

OPTIMIZERS = ("adamw", "lamb", "adafactor", "sgd", "lion")


class Toy:
    """A small task: rows of 6 numbers, one of 3 classes. A weight is left out of the loss."""

    def __init__(self, dropout=0.0):
        keras.utils.set_random_seed(7)
        x = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(5, "tanh", name="hidden")(x)
        dropped = keras.layers.Dropout(dropout, name="dropout")(hidden)
        outputs = {name: keras.layers.Dense(3, name=name)(dropped) for name in ("logits", "unread")}
        self.model = keras.Model({"x": x}, outputs)

    def forward(self, inputs, training):
        return self.model({"x": inputs["x"]}, training=training)

    def count(self, targets):
        return tf.reduce_sum(targets["weight"])

    def loss(self, targets, outputs):
        nats = keras.losses.sparse_categorical_crossentropy(
            targets["label"], outputs["logits"], from_logits=True
        )
        return tf.reduce_sum(nats * targets["weight"])


class Two(Toy):
    """Two means, over different counts: of the losses, and of the squares of the first logits."""

    def count(self, targets):
        return tf.stack([tf.reduce_sum(targets["weight"]), tf.reduce_sum(targets["few"])])

    def loss(self, targets, outputs):
        squares = outputs["logits"][:, 0] ** 2
        return tf.stack([super().loss(targets, outputs), tf.reduce_sum(squares * targets["few"])])


def batch(real=8, size=8):
    chance = np.random.default_rng(3)
    mask = np.arange(6) < chance.integers(1, 7, (size, 1))
    inputs = {"x": chance.normal(size=(size, 6)).astype("float32"), "padding_mask": mask}
    targets = {
        "label": chance.integers(0, 3, size),
        "weight": (np.arange(size) < real).astype("float32"),
        "few": (np.arange(size) < 2).astype("float32"),
    }
    return inputs, targets


def made(task, rate=1.0, name="sgd", decay=0.0, **options):
    """A loop, of plain gradient descent at rate 1 unless said otherwise: a step is the gradient."""
    momentum = {"momentum": 0.0} if name == "sgd" else {}
    choice = TrainChoice(weight_decay=decay, optimizer=OptimizerChoice(name=name, **momentum))
    optimizer = optimizers.make(choice, task.model, rate, 1, 10)
    return Loop(task, optimizer, tf.distribute.get_strategy(), **options)


def weights(loop):
    return {w.path: np.array(w) for w in loop.task.model.trainable_variables}


def by_hand(task, batch):
    """The loss, a sum of means over all rows of weight above 0, and its gradient by path."""
    inputs, targets = batch
    read = [w for w in task.model.trainable_variables if "unread" not in w.path]
    with tf.GradientTape() as tape:
        sums = task.loss(targets, task.forward(inputs, training=False))
        loss = tf.reduce_sum(sums / task.count(targets))
    found = tape.gradient(loss, [w.value for w in read])
    return float(loss), {w.path: np.array(g) for w, g in zip(read, found, strict=True)}


def feed(*found):
    return iter(tf.data.Dataset.from_tensors(found).repeat())


def varied():
    """Batches that differ."""
    chance = np.random.default_rng(5)
    inputs, targets = batch()
    xs = chance.normal(size=(20, 8, 6)).astype("float32")
    return iter(tf.data.Dataset.from_tensor_slices(xs).map(lambda x: ({**inputs, "x": x}, targets)))


@pytest.mark.parametrize("task", [Toy, Two])
@pytest.mark.parametrize("rows", [8, 3])
def test_a_step_is_the_gradient_of_the_mean_over_the_real_rows(task, rows):
    loop = made(task())
    loss, gradients = by_hand(loop.task, batch(rows))
    before = weights(loop)
    taken = loop.train(feed(*batch(rows)), 1)
    assert len(taken) == 1
    near(taken.loss[0], loss, 1e-6)
    norms = {path: (g.astype("f8") ** 2).sum() for path, g in gradients.items()}
    near(taken.gradient_norm[0], np.sqrt(sum(norms.values())), 1e-6)
    near(taken.squares[0], [norms.get(w.path, 0.0) for w in loop.weights], 1e-6)
    for path, weight in weights(loop).items():
        near(weight, before[path] - gradients.get(path, 0.0), 1e-6)
    assert taken.examples == [rows]
    assert taken.tokens == [batch()[0]["padding_mask"][:rows].sum()]
    assert taken.applied == [1]


def test_so_it_is_of_a_transformer_whose_rows_differ_in_length_and_weight(tmp_path):
    keras.utils.set_random_seed(7)
    experiment = tiny.make(tmp_path, tiny.NO_DROPOUT)
    corpus = classification.read(experiment.data)
    loop = made(build_task(experiment, corpus, tmp_path / "trained"))
    rows = classification.rows(corpus.train, corpus.labels)
    rows["weight"] = tf.constant(np.linspace(0.5, 3, len(rows["weight"])), tf.float32)
    first = batches.of_rows({k: column[:6] for k, column in rows.items()}, loop.task.encode)
    found = next(iter(batches.evaluation(first, 8)))
    loss, gradients = by_hand(loop.task, found)
    before = weights(loop)
    near(loop.train(feed(*found), 1).loss[0], loss, 1e-6)
    for path, weight in weights(loop).items():
        near(weight, before[path] - gradients[path], 1e-5)

    # The same loop evaluates every row, in order, and drops nothing out.
    source = batches.of_rows(rows, loop.task.encode)
    kept = loop.evaluate(batches.evaluation(source, 8))
    is_real = kept["weight"] > 0
    assert kept["label"][is_real].tolist() == rows["label"].numpy().tolist()
    texts = [text.decode() for text in rows["text"].numpy()]
    near(kept["logits"][is_real], loop.task.predict(texts)["logits"], 1e-5)


def test_a_gradient_above_the_norm_is_scaled_down_and_below_left_alone():
    free = made(Toy())
    before = weights(free)
    norm = free.train(feed(*batch()), 1).gradient_norm
    step = {path: before[path] - w for path, w in weights(free).items()}
    for clip, factor in ((float(norm[0]) / 4, 0.25), (float(norm[0]) * 2, 1.0)):
        clipped = made(Toy(), clip_norm=clip)
        # What is shown is the norm before clipping.
        assert clipped.train(feed(*batch()), 1).gradient_norm == norm
        for path, weight in weights(clipped).items():
            near(before[path] - weight, factor * step[path], 1e-6)


@pytest.mark.parametrize("task", [Toy, Two])
def test_a_batch_in_parts_is_the_whole_batch(task):
    whole, parts = made(task(), rate=0.1), made(task(), rate=0.1, accumulate=4)
    one, other = whole.train(feed(*batch(5)), 3), parts.train(feed(*batch(5)), 3)
    for field in ("loss", "gradient_norm", "examples", "tokens", "squares"):
        near(getattr(other, field), getattr(one, field), 1e-6)
    for path, weight in weights(whole).items():
        near(weights(parts)[path], weight, 1e-6)


def test_many_steps_in_one_call_are_the_steps_one_by_one():
    one, many = made(Toy(dropout=0.3)), made(Toy(dropout=0.3))
    iterator = varied()
    singly = [one.train(iterator, 1).loss[0] for _ in range(5)]
    np.testing.assert_array_equal(many.train(varied(), 5).loss, singly)
    assert int(one.step.numpy()) == int(many.step.numpy()) == 5
    for path, weight in weights(one).items():
        np.testing.assert_array_equal(weight, weights(many)[path])


def test_dropout_is_drawn_anew_in_every_step():
    losses = made(Toy(dropout=0.5), rate=0.0).train(feed(*batch()), 4).loss
    assert len(set(losses.tolist())) == 4


def test_a_weight_that_the_loss_does_not_read_is_left_alone():
    loop = made(Toy(), rate=0.1, name="adamw", decay=0.5)
    before = weights(loop)
    loop.train(feed(*batch()), 1)
    after = weights(loop)
    np.testing.assert_array_equal(after["unread/kernel"], before["unread/kernel"])
    assert np.abs(after["hidden/kernel"] - before["hidden/kernel"]).max() > 0.05


def test_the_average_of_the_weights_is_that_of_its_formula():
    loop = made(Toy(), rate=0.1, ema=0.8)
    averages = weights(loop)
    iterator = varied()
    for _ in range(4):
        loop.train(iterator, 1)
        now = weights(loop)
        averages = {path: 0.8 * averages[path] + 0.2 * now[path] for path in now}
    with loop.averaged():
        for path, weight in weights(loop).items():
            near(weight, averages[path], 1e-6)
    for path, weight in weights(loop).items():
        np.testing.assert_array_equal(weight, now[path])


def test_the_weights_come_back_when_what_uses_the_averages_fails():
    loop = made(Toy(), rate=0.1, ema=0.8)
    loop.train(varied(), 2)
    before = weights(loop)
    with pytest.raises(KeyError), loop.averaged():
        assert np.abs(weights(loop)["hidden/kernel"] - before["hidden/kernel"]).max() > 1e-3
        raise KeyError
    np.testing.assert_array_equal(weights(loop)["hidden/kernel"], before["hidden/kernel"])


def with_bad(bad, count=8, value=np.nan):
    """Batches of which some hold a number that is none."""
    inputs, targets = batch()
    xs = np.stack([inputs["x"]] * count)
    xs[bad, 1, 2] = value
    return iter(tf.data.Dataset.from_tensor_slices(xs).map(lambda x: ({**inputs, "x": x}, targets)))


def test_a_step_whose_gradient_is_no_number_is_skipped_on_demand():
    loop = made(Toy(), rate=0.1, name="adamw", skip=True, ema=0.9)
    other = made(Toy(), rate=0.1, name="adamw", skip=True, ema=0.9)
    taken = loop.train(with_bad([1, 2], count=5), 5)
    assert taken.applied.tolist() == [1, 0, 0, 1, 1]
    assert np.isfinite(taken.loss).tolist() == [True, False, False, True, True]
    assert int(loop.step.numpy()) == 5
    # All is as if the bad batches had not been: weights, slots, averages and the optimizer's count.
    other.train(with_bad([], count=3), 3)
    for one, two in zip(loop.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(two))
    for path, weight in weights(other).items():
        np.testing.assert_array_equal(weights(loop)[path], weight)
    for name, average in other.state.items():
        np.testing.assert_array_equal(loop.state[name].numpy(), average.numpy())


def test_else_it_is_taken_and_shown():
    taken = made(Toy()).train(with_bad([1], count=2), 2)
    assert taken.applied.tolist() == [1, 1]
    assert np.isfinite(taken.gradient_norm).tolist() == [True, False]


def test_the_loss_scale_is_halved_at_an_overflow_and_doubled_after_a_while(monkeypatch):
    monkeypatch.setattr(loops, "_STEPS_TO_GROW", 3)
    loop, plain = made(Toy(), rate=0.1, scale_loss=True), made(Toy(), rate=0.1)
    iterator, scales, counts = with_bad([1, 2]), [], []
    for _ in range(8):
        loop.train(iterator, 1)
        scales.append(float(loop.state["scale"].numpy()) / 2**15)
        counts.append(int(loop.state["good_steps"].numpy()))
    assert scales == [1, 0.5, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5]
    assert counts == [1, 0, 0, 1, 2, 0, 1, 2]
    # The scale is taken out of the gradients again.
    taken = plain.train(with_bad([], count=6), 6)
    assert np.isfinite(taken.loss).all()
    for path, weight in weights(plain).items():
        near(weights(loop)[path], weight, 1e-6)


def test_the_seconds_of_waiting_are_those_of_the_input_and_not_those_of_the_step():
    def slow(tensor, seconds):
        def wait(value):
            time.sleep(seconds)
            return value

        return tf.ensure_shape(tf.numpy_function(wait, [tensor], tf.float32), tensor.shape)

    def slow_input(inputs, targets):
        return {**inputs, "x": slow(inputs["x"], 0.05)}, targets

    class SlowStep(Toy):
        def count(self, targets):
            return slow(super().count(targets), 0.15)

    data = tf.data.Dataset.from_tensors(batch()).repeat().map(slow_input).prefetch(2)
    assert np.median(made(Toy()).train(iter(data), 6).input_seconds) > 0.04
    assert np.median(made(SlowStep()).train(iter(data), 6).input_seconds) < 0.02


@pytest.mark.slow
def test_xla_takes_the_same_steps():
    plain, compiled = made(Toy(), rate=0.1), made(Toy(), rate=0.1, jit=True)
    near(compiled.train(varied(), 4).loss, plain.train(varied(), 4).loss, 1e-5)
    for path, weight in weights(plain).items():
        near(weights(compiled)[path], weight, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dropout"), [*((name, 0.0) for name in OPTIMIZERS), ("adamw", 0.1)]
)
def test_a_whole_step_is_one_program_of_xla_as_a_tpu_wants_it(name, dropout):
    """Forward, backward, accumulation, clipping, the optimizer and the averages."""
    case, losses = Case(name, dropout=dropout), []
    for is_compiled in (False, True):
        keras.utils.set_random_seed(7)
        task = distribute.Sentences(distribute.model(case))
        loop = made(task, 1e-3, name, 0.1, clip_norm=1.0, accumulate=2, ema=0.9)
        step = tf.function(loop._step, jit_compile=is_compiled)  # XLA takes all of it, or refuses
        iterator = distribute.feed(loop, case)
        losses.append([step(next(iterator))[0][0].numpy() for _ in range(3)])
    # XLA draws other numbers.
    near(losses[1], losses[0], 0.1 if dropout else 1e-5)
    assert losses[0][2] != losses[0][0]


def test_fixed_batches_have_static_shapes_and_no_strings(tmp_path):
    """As a TPU, which has neither strings nor shapes that change, wants them."""
    experiment = tiny.make(tmp_path)
    corpus = classification.read(experiment.data)
    task = build_task(experiment, corpus, tmp_path / "trained")
    train, evaluate = corpus.sources(task, 0, fixed=True)
    for made_of in (batches.training(train, 8, 0), batches.evaluation(evaluate, 8)):
        for spec in tf.nest.flatten(made_of.element_spec):
            assert spec.shape.is_fully_defined()
            assert spec.dtype != tf.string


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What all cases come to, by strategy and worker; each strategy in processes of its own."""
    folder = tmp_path_factory.mktemp("measured")
    for name in distribute.STRATEGIES:
        distribute.measure(name, folder / "ours" / name)
    return lambda name, case, worker=0: distribute.found(folder / "ours" / name, case, worker)


def distributed(test):
    """Marks a test of what was measured, which takes minutes and is done once."""
    once = pytest.mark.xdist_group("distribute")
    return pytest.mark.distribute(pytest.mark.timeout(1800)(once(test)))


TWO = pytest.mark.parametrize("name", ["mirrored", "workers"])
SAME = tuple(name for name in distribute.CASES if name not in ("bf16", "fp16", "dropout"))


@distributed
@TWO
@pytest.mark.parametrize("case", [*SAME, "resume"])
def test_two_replicas_come_to_the_losses_and_weights_of_one_device(measured, name, case):
    one, two = measured("one", case), measured(name, case)
    assert distribute.difference(one, two) < 1e-5
    for field in ("loss", "gradient_norm", "squares", "nats", "examples", "tokens", "applied"):
        if case != "resume" or field == "loss":
            near(two[field], one[field], 1e-5)
    if case == "clip":
        assert (one["gradient_norm"] > distribute.CASES["clip"].loop["clip_norm"]).all()


@distributed
@TWO
@pytest.mark.parametrize("case", ["bf16", "fp16"])
def test_half_precision_is_that_of_one_device_which_takes_the_same_parts(measured, name, case):
    one, two = measured("one", f"{case}_parts"), measured(name, case)
    assert distribute.difference(one, two) < 1e-5
    np.testing.assert_array_equal(two["applied"], one["applied"])
    # Taken whole, the batch is rounded otherwise, and Adam divides by the gradient's own size.
    assert distribute.difference(measured("one", case), two) < 2 * distribute.RATE


@distributed
@TWO
def test_an_overflow_on_one_replica_skips_the_step_on_both(measured, name):
    two = measured(name, "fp16")
    assert sorted(two["applied"]) == [0.0] * 3 + [1.0] * 6
    assert two["scale"] == 2.0**12
    assert two["good_steps"] == measured("one", "fp16")["good_steps"]
    assert all(np.isfinite(value).all() for key, value in two.items() if "weight:" in key)


@distributed
@pytest.mark.parametrize("case", [name for name in distribute.CASES if name != "dropout"])
def test_all_replicas_have_the_same_weights(measured, case):
    first, second = (measured("workers", case, worker) for worker in (0, 1))
    assert distribute.difference(first, second, noise=True) == 0
    assert measured("mirrored", case)["apart"] == 0


@distributed
@TWO
def test_two_replicas_evaluate_every_row_in_order(measured, name):
    rows = distribute.CASES["uneven"].rows
    for numbers in (measured(n, "uneven")["numbers"] for n in ("one", name)):
        assert numbers[:rows].tolist() == list(range(rows))


@distributed
@TWO
def test_every_replica_drops_other_elements_and_a_run_can_be_repeated(measured, name):
    one, two = measured("one", "dropout"), measured(name, "dropout")
    drawn = {mask.tobytes() for step in two["masks"] for mask in step}
    assert len(drawn) == 6
    np.testing.assert_array_equal(two["again"], two["loss"])
    # The model stays as it is, so that only chance differs: 32 epochs of the same rows.
    apart, error = distribute.dropout_apart(one, two)
    assert 0 < apart < 4 * error


@distributed
@TWO
def test_nobody_is_asked_whether_there_is_a_batch(measured, name):
    assert measured(name, "plain")["asks"] == 0
