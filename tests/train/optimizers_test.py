"""Optimizers on models: repeated tokens, frozen weights, XLA, replicas, and beside PyTorch's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.train import tiny
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import OptimizerChoice, TrainChoice
from tfzoo.testing.conformance import fill, near
from tfzoo.train import optimizers, schedules

NAMES = ("adamw", "lamb", "adafactor", "sgd", "lion")
TINY = {
    "vocab_size": 20,
    "num_layers": 2,
    "num_heads": 2,
    "width": 8,
    "feed_forward_dim": 16,
    "max_length": 10,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "head_dropout": 0.0,
}
# Tokens that occur several times in a row and in the batch.
INPUTS = {
    "token_ids": np.array([[2, 7, 7, 7, 3, 0], [2, 7, 5, 5, 9, 3]], "int32"),
    "segment_ids": np.zeros((2, 6), "int32"),
    "padding_mask": np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], "int32"),
}
LABELS = np.array([0, 2], "int32")
SMALL = {"token_ids": np.array([[2, 1, 1, 1], [2, 1, 0, 0]], "int32"), "labels": LABELS}


def small():
    """A table, two kernels and a bias, under names that the zoo has: a Keras model."""
    token_ids = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(6, 4, name="token_embedding")(token_ids)
    x = keras.layers.GlobalAveragePooling1D(name="pooling")(x)
    x = keras.layers.Dense(4, "tanh", use_bias=False, name="block_0")(x)
    model = keras.Model(token_ids, keras.layers.Dense(3, name="classifier")(x))
    fill(model)
    return model


def gradients_of(model, dense=True):
    with tf.GradientTape() as tape:
        logits = tf.cast(model(SMALL["token_ids"]), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(SMALL["labels"], logits)
        loss = tf.reduce_mean(losses)
    found = tape.gradient(loss, [w.value for w in model.trainable_variables])
    return [tf.convert_to_tensor(g) if dense else g for g in found]


def made(model, rate=0.1, steps=10, weight_decay=0.1, **fields):
    choice = TrainChoice(weight_decay=weight_decay, optimizer=OptimizerChoice(**fields))
    return optimizers.make(choice, model, rate, 1, steps)


def values(model):
    return {w.path: np.array(w) for w in model.trainable_variables}


def learn(model, optimizer, steps, **function):
    """The weights after `steps` steps in a graph."""

    def step():
        optimizer.apply(gradients_of(model), model.trainable_variables)

    step = tf.function(step, **function)
    for _ in range(steps):
        step()
    return values(model)


def ones(model):
    return [tf.ones(w.shape) for w in model.trainable_variables]


def test_without_a_gradient_only_kernels_and_embeddings_shrink():
    model = small()
    before = values(model)
    optimizer = made(model, weight_decay=0.5)
    weights = model.trainable_variables
    optimizer.apply([tf.zeros(w.shape) for w in weights], weights)
    for path, weight in values(model).items():
        near(weight, before[path] * (0.95 if optimizers.decays(path) else 1.0), 1e-6)


def test_keras_still_reduces_gradients_in_the_one_method_that_is_overridden(monkeypatch):
    called = []

    def watched(self, grads_and_vars):
        called.append("keras")
        return list(grads_and_vars)

    monkeypatch.setattr(keras.optimizers.Optimizer, "_all_reduce_sum_gradients", watched)
    weight = keras.Variable(np.ones(2, "float32"), name="kernel")
    keras.optimizers.AdamW(0.1).apply([tf.ones(2)], [weight])
    assert called == ["keras"]
    model = small()
    made(model).apply(ones(model), model.trainable_variables)
    assert called == ["keras"]


@pytest.mark.slow
def test_every_optimizer_takes_the_same_steps_compiled_by_xla():
    def step(models):
        for optimizer, model in models:
            optimizer.apply(ones(model), model.trainable_variables)

    def pairs():
        return [(made(model, name=name), model) for name in NAMES for model in [small()]]

    plain, compiled = pairs(), pairs()
    graph = tf.function(lambda: step(compiled), jit_compile=True)
    for _ in range(2):
        step(plain)
        graph()
    for (_, one), (_, other) in zip(plain, compiled, strict=True):
        for path, weight in values(other).items():
            near(weight, values(one)[path], 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_slots_have_paths_of_their_own_that_begin_with_the_optimizer(name):
    optimizer = made(small(), name=name)
    paths = [slot.path for slot in optimizer.variables]
    assert len(set(paths)) == len(paths) > 4
    assert {path.partition("/")[0] for path in paths} == {name}


def test_in_mixed_precision_weights_and_slots_stay_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    before = values(model)
    optimizer = made(model)
    after = learn(model, optimizer, 1)
    assert {v.dtype for v in optimizer.variables[1:]} == {"float32"}
    assert all(np.abs(after[path] - weight).max() > 1e-3 for path, weight in before.items())


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_left_out_neither_move_nor_decay(name):
    model = small()
    before = values(model)
    optimizer = made(model, name=name)
    kept = model.trainable_variables[1:]
    optimizer.apply([tf.ones(w.shape) for w in kept], kept)
    after = values(model)
    moved = {path for path in after if not np.array_equal(after[path], before[path])}
    assert moved == {weight.path for weight in kept}


@pytest.mark.parametrize("name", NAMES)
def test_frozen_weights_keep_their_bits_and_need_no_memory(name):
    model = small()
    before = values(model)
    optimizer = made(model, name=name, frozen=("embedding",), rates={"block": 0.0})
    gradients = [w * np.nan for w in ones(model)[:2]] + ones(model)[2:]
    optimizer.apply(gradients, model.trainable_variables)
    after = values(model)
    moved = {path for path in after if not np.array_equal(after[path], before[path])}
    assert moved == {"classifier/kernel", "classifier/bias"}
    assert [weight.path for weight in optimizer.learning] == sorted(moved, reverse=True)
    assert not [v.path for v in optimizer.variables if "embedding" in v.path]


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_multiplies_the_whole_update(name):
    whole, part = small(), small()
    before = values(whole)
    made(whole, name=name).apply(gradients_of(whole), whole.trainable_variables)
    optimizer = made(part, name=name, rates={"block": 0.25, "kernel": 0.5})
    optimizer.apply(gradients_of(part), part.trainable_variables)
    factors = {"block_0/kernel": 0.125, "classifier/kernel": 0.5}
    for path, weight in values(part).items():
        expected = before[path] + factors.get(path, 1.0) * (values(whole)[path] - before[path])
        near(weight, expected, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_stays_frozen_until_its_turn_and_then_begins_as_in_a_first_step(name):
    model, fresh = small(), small()
    scales = [0.1, 0.2, 0.3, 0.4, 0.5]
    before = values(model)
    optimizer = made(model, name=name, unfreeze_every="2 steps")
    moved = []
    for scale in scales:
        optimizer.apply([scale * g for g in ones(model)], model.trainable_variables)
        now = values(model)
        moved.append({path for path in now if not np.array_equal(now[path], before[path])})
        if len(moved) == 4:
            block = now["block_0/kernel"]
    classifier = {"classifier/kernel", "classifier/bias"}
    assert moved[:2] == [classifier] * 2
    assert moved[2:4] == [classifier | {"block_0/kernel"}] * 2
    assert moved[4] == set(before)
    optimizer = made(fresh, name=name)
    for scale in scales[2:4]:
        optimizer.apply([scale * g for g in ones(fresh)], fresh.trainable_variables)
    near(block, values(fresh)["block_0/kernel"], 1e-6)


def test_gradients_of_weights_that_do_not_learn_are_masked_for_the_norm():
    model = small()
    optimizer = made(model, unfreeze_every="1 steps", frozen=("classifier/bias",))
    for expected in ([0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]):
        found = optimizer.masked(ones(model), model.trainable_variables)
        assert [float(tf.reduce_max(g)) for g in found] == expected
        optimizer.apply(ones(model), model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "field", "value", "default"),
    [
        ("adamw", "momentum", 0.5, "0.9"),
        ("adamw", "nesterov", True, "false"),
        ("lion", "epsilon", 1e-6, "null"),
        ("sgd", "beta_1", 0.5, "null"),
    ],
)
def test_a_field_that_the_optimizer_has_not_is_refused(name, field, value, default):
    message = rf"{name} has no {field}; leave train\.optimizer\.{field} at {default}\."
    with pytest.raises(UserError, match=message):
        made(small(), name=name, **{field: value})


def test_fields_reach_the_rule():
    model, other = small(), small()
    expected = learn(model, made(model, name="adamw"), 2)
    found = learn(other, made(other, name="adamw", beta_1=0.5), 2)
    assert np.abs(found["block_0/kernel"] - expected["block_0/kernel"]).max() > 1e-3


def encoder_gradients():
    """A BERT classifier, its weights, and the gradients of its loss."""
    model = tfzoo.build("bert", **TINY, head="classification", num_labels=3)
    fill(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(LABELS, model(INPUTS, training=True)["logits"])
    gradients = tape.gradient(value, [w.value for w in model.trainable_variables])
    paths = [w.path for w in model.trainable_variables]
    return model, values(model), dict(zip(paths, gradients, strict=True))


def test_gradients_of_the_zoos_tables_are_dense_already():
    _, _, gradients = encoder_gradients()
    assert not [path for path, g in gradients.items() if isinstance(g, tf.IndexedSlices)]


def torch_small(torch):
    """`small` in PyTorch: its parameters by our paths, and its loss."""
    parameters = {
        path: torch.nn.Parameter(torch.tensor(value)) for path, value in values(small()).items()
    }

    def loss():
        token_ids = torch.tensor(SMALL["token_ids"]).long()
        x = torch.nn.functional.embedding(token_ids, parameters["token_embedding/embeddings"])
        x = torch.tanh(x.mean(1) @ parameters["block_0/kernel"])
        logits = x @ parameters["classifier/kernel"] + parameters["classifier/bias"]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(SMALL["labels"]).long())

    return parameters, loss


@pytest.mark.parity
def test_one_adam_step_on_repeated_tokens_is_pytorchs_and_keras_own_is_not():
    torch = pytest.importorskip("torch")
    parameters, loss = torch_small(torch)
    adam = torch.optim.Adam(parameters.values(), lr=0.01)
    loss().backward()
    adam.step()
    ours, theirs = small(), small()
    found = learn(ours, made(ours, 0.01, weight_decay=0.0), 1)
    kept = keras.optimizers.Adam(0.01, epsilon=1e-8)
    kept.apply(gradients_of(theirs, dense=False), theirs.trainable_variables)
    for path, parameter in parameters.items():
        expected = parameter.detach().numpy()
        np.testing.assert_allclose(found[path], expected, rtol=0, atol=1e-7, err_msg=path)
    path = "token_embedding/embeddings"
    difference = np.abs(values(theirs)[path] - parameters[path].detach().numpy())
    assert difference[1].max() > 1e-3  # token 1 occurs four times
    assert difference[0].max() > 1e-3
    assert difference[3].max() == 0


@pytest.mark.parity
@pytest.mark.parametrize("name", ["adamw", "sgd", "nesterov", "adafactor"])
def test_many_steps_with_decay_and_a_schedule_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    parameters, loss = torch_small(torch)
    steps, decay = 30, 0.1
    groups = [
        {"params": [value], "weight_decay": decay if optimizers.decays(path) else 0.0}
        for path, value in parameters.items()
    ]
    choice = TrainChoice(learning_rate=0.05, warmup="5 steps", schedule="cosine")
    rate = schedules.schedule(choice, steps, steps)
    fixed = {"relative_step": False, "scale_parameter": True, "warmup_init": False}
    optimizer = {
        "adamw": lambda: torch.optim.AdamW(groups, lr=1.0),
        "sgd": lambda: torch.optim.SGD(groups, lr=1.0, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True),
        "adafactor": lambda: transformers.Adafactor(groups, lr=1.0, **fixed),
    }[name]()
    coupled = isinstance(optimizer, torch.optim.SGD)
    for step in range(steps):
        optimizer.zero_grad()
        loss().backward()
        for group in optimizer.param_groups:
            group["lr"] = float(rate(step))
            if coupled:  # PyTorch's decay of SGD is a part of the gradient, ours is not
                share = decay if optimizers.decays(group_path(parameters, group)) else 0.0
                group["weight_decay"] = 0.0
                group["params"][0].data.mul_(1.0 - float(rate(step)) * share)
        optimizer.step()
    model = small()
    fields = {"name": "sgd", "nesterov": True} if name == "nesterov" else {"name": name}
    found = learn(model, made(model, rate, steps, decay, **fields), steps)
    for path, parameter in parameters.items():
        near(found[path], parameter.detach().numpy(), 2e-6)


def group_path(parameters, group):
    """The path of a group's one parameter."""
    return next(path for path, value in parameters.items() if value is group["params"][0])


@pytest.mark.parity
def test_one_step_of_a_whole_model_is_pytorchs():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tfzoo.core.renames import find
    from tfzoo.models import bert

    # With a small one, Adam's first step is the gradient's sign, which for a gradient that is
    # rounding noise (a bias on the keys) is chance.
    epsilon = 1e-4
    model, before, gradients = encoder_gradients()
    optimizer = made(model, 1e-3, weight_decay=0.0, epsilon=epsilon)
    optimizer.apply(list(gradients.values()), model.trainable_variables)
    after = values(model)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=10,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
        layer_norm_eps=model.config.norm_epsilon,
    )
    theirs = transformers.BertForSequenceClassification(config)
    state = theirs.state_dict()

    def parts(path):
        rule, names = find(bert.RENAMES, path)
        return rule, names

    for path, value in before.items():
        rule, names = parts(path)
        pieces = np.split(value, len(names), axis=-1)
        for name, piece in zip(names, pieces, strict=True):
            state[name] = torch.tensor(np.ascontiguousarray(piece.T if rule.transpose else piece))
    theirs.load_state_dict(state)
    theirs.train()
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-3, eps=epsilon)
    outputs = theirs(
        input_ids=torch.tensor(INPUTS["token_ids"]).long(),
        attention_mask=torch.tensor(INPUTS["padding_mask"]).long(),
        labels=torch.tensor(LABELS).long(),
    )
    outputs.loss.backward()
    adam.step()
    state = theirs.state_dict()
    for path, value in after.items():
        rule, names = parts(path)
        pieces = [state[n].numpy().T if rule.transpose else state[n].numpy() for n in names]
        np.testing.assert_allclose(
            value, np.concatenate(pieces, -1), rtol=1e-6, atol=1e-7, err_msg=path
        )


# Devices are set once in a process, so this runs in a child, which prints JSON.
_TWO_REPLICAS = """
import json
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.train.optimizers_test import NAMES, gradients_of, made, small, values
strategies = {"one": tf.distribute.get_strategy(), "two": tf.distribute.MirroredStrategy()}
found = {}
for kind, strategy in strategies.items():
    for name in NAMES:
        with strategy.scope():
            model = small()
            optimizer = made(
                model, name=name, frozen=("bias",), rates={"block": 0.5}, unfreeze_every="1 steps"
            )

        def step():
            optimizer.apply(gradients_of(model), model.trainable_variables)

        run = tf.function(lambda: strategy.run(step))
        for _ in range(4):
            run()
        copies = [getattr(w.value, "values", (w.value,)) for w in model.trainable_variables]
        between = max(float(tf.reduce_max(tf.abs(c[0] - c[-1]))) for c in copies)
        weights = {path: value.tolist() for path, value in values(model).items()}
        found[f"{kind} {name}"] = {
            "replicas": strategy.num_replicas_in_sync,
            "between": between,
            "steps": int(optimizer.iterations.numpy()),
            "weights": weights,
        }
print(json.dumps(found))
"""


@pytest.mark.slow
def test_replicas_take_the_steps_of_one_device():
    found = json.loads(tiny.child(_TWO_REPLICAS).stdout)
    start = values(small())
    for name in NAMES:
        one, two = found[f"one {name}"], found[f"two {name}"]
        assert (one["replicas"], two["replicas"]) == (1, 2)
        assert (one["steps"], two["steps"], two["between"]) == (4, 4, 0)
        for path, weight in one["weights"].items():
            near(two["weights"][path], np.array(weight), 1e-6)
            assert np.array_equal(weight, start[path]) == ("bias" in path)
