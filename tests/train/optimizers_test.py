"""AdamW: which weights decay, at which rate, and one step beside NumPy's and PyTorch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice
from tfzoo.testing.conformance import fill, near
from tfzoo.train import optimizers

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


def rates(warmup, total, shape="linear"):
    schedule = optimizers.WarmUp(2.0, warmup, total, shape)
    return [float(schedule(step)) for step in range(total)]


def test_the_rate_rises_in_a_line_and_falls_in_a_line():
    near(rates(4, 8), [0.5, 1.0, 1.5, 2.0, 2.0, 1.5, 1.0, 0.5], 1e-7)
    near(rates(0, 4), [2.0, 1.5, 1.0, 0.5], 1e-7)
    near(rates(4, 4), [0.5, 1.0, 1.5, 2.0], 1e-7)
    near(rates(2, 5, "constant"), [1.0, 2.0, 2.0, 2.0, 2.0], 1e-7)


def test_the_rate_is_0_after_the_end_and_never_below():
    schedule = optimizers.WarmUp(2.0, 2, 6)
    assert float(schedule(6)) == float(schedule(100)) == 0


def test_a_warm_up_longer_than_the_training_is_refused():
    choice = TrainChoice(warmup="20 steps")
    with pytest.raises(UserError, match=r"train\.warmup is longer.*20 of 10 steps"):
        optimizers.schedule(choice, 5, 10)


def test_a_warm_up_may_be_a_share_of_the_training():
    made = optimizers.schedule(TrainChoice(warmup="10%", learning_rate=1e-3), 50, 100)
    assert made.get_config() == {
        "peak": 1e-3,
        "warmup_steps": 10,
        "total_steps": 100,
        "shape": "linear",
    }


def test_norms_and_biases_do_not_decay():
    model = tfzoo.build("bert", **TINY, head="pretraining")
    kept = {weight.path for weight in model.trainable_variables if optimizers.decays(weight.path)}
    assert {path.rpartition("/")[2] for path in kept} == {"kernel", "embeddings"}
    left = {w.path.rpartition("/")[2] for w in model.trainable_variables if w.path not in kept}
    assert left == {"bias", "gamma", "beta", "output_bias"}


def test_without_a_gradient_only_kernels_and_embeddings_shrink():
    model = tfzoo.build("bert", **TINY)
    fill(model)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + 1.0)
    before = {w.path: np.array(w) for w in model.trainable_variables}
    optimizer = optimizers.adamw(model.trainable_variables, 0.1, weight_decay=0.5)
    optimizer.apply([tf.zeros(w.shape) for w in model.trainable_variables])
    for weight in model.trainable_variables:
        factor = 0.95 if optimizers.decays(weight.path) else 1.0
        near(weight, before[weight.path] * factor, 1e-6)


def test_keras_still_reduces_gradients_in_the_one_method_that_is_overridden(monkeypatch):
    called = []

    def watched(self, grads_and_vars):
        called.append("keras")
        return list(grads_and_vars)

    monkeypatch.setattr(keras.optimizers.AdamW, "_all_reduce_sum_gradients", watched)
    weight = keras.Variable(np.ones(2, "float32"), name="kernel")
    keras.optimizers.AdamW(0.1).apply([tf.ones(2)], [weight])
    assert called == ["keras"]
    optimizers.adamw([weight], 0.1, 0.0).apply([tf.ones(2)], [weight])
    assert called == ["keras"]
    assert "_all_reduce_sum_gradients" in vars(optimizers.AdamW)


def fit_one_step(optimizer):
    """The weights before and after one step of Keras' own fit, and the gradients of that step."""
    model = tfzoo.build("bert", **TINY, head="classification", num_labels=3)
    fill(model)
    before = {w.path: np.array(w) for w in model.trainable_variables}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(LABELS, model(INPUTS, training=True)["logits"])
    gradients = tape.gradient(value, [w.value for w in model.trainable_variables])
    gradients = {
        w.path: np.array(g) for w, g in zip(model.trainable_variables, gradients, strict=True)
    }
    head = keras.Model(model.inputs, model.output["logits"])
    head.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    rows = tf.data.Dataset.from_tensors((INPUTS, LABELS))
    head.fit(rows, epochs=1, shuffle=False, verbose=0)
    after = {w.path: np.array(w) for w in model.trainable_variables}
    return model, before, after, gradients


def test_one_step_of_fit_is_that_of_the_formula_on_repeated_tokens():
    _, before, after, gradients = fit_one_step(keras.optimizers.Adam(1e-3, epsilon=1e-6))
    for path, weight in before.items():
        gradient = gradients[path].astype("float64")
        first, second = 0.1 * gradient, 0.001 * gradient**2
        rate = 1e-3 * np.sqrt(1 - 0.999) / (1 - 0.9)
        near(after[path], weight - rate * first / (np.sqrt(second) + 1e-6), 1e-6)
    moved = np.abs(after["token_embedding/embeddings"] - before["token_embedding/embeddings"])
    assert moved[7].max() > 5e-4
    assert moved[4].max() == 0  # a token that does not occur


@pytest.mark.parity
def test_one_step_of_fit_equals_pytorch_on_repeated_tokens():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tfzoo.core.renames import find
    from tfzoo.models import bert

    # Keras adds epsilon before it corrects the bias of the second moment, PyTorch after. With a
    # small one, Adam's first step is the gradient's sign, which for a gradient that is rounding
    # noise (a bias on the keys) is chance.
    epsilon = 1e-4
    optimizer = keras.optimizers.Adam(1e-3, epsilon=epsilon * np.sqrt(1 - 0.999))
    model, before, after, _ = fit_one_step(optimizer)
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
