"""The loss of predicted tokens: sums, counts and figures, against plain arithmetic and PyTorch."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import token_loss
from tfzoo.testing.values import near

LOGITS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32") * 3
TARGETS = {
    "labels": np.array([[1, 4, 0], [2, 2, 3]]),
    "label_weights": np.array([[1, 1, 0], [1, 0, 0.5]], "float32"),
}


def nats():
    """Of each token `(b, t)`, in float64."""
    wide = LOGITS.astype("float64")
    log = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return -np.take_along_axis(log, TARGETS["labels"][..., None], 2)[..., 0]


def test_the_loss_is_the_weighted_sum_and_the_count_the_sum_of_weights():
    near(token_loss.loss(TARGETS, LOGITS), (nats() * TARGETS["label_weights"]).sum(), 1e-5)
    assert float(token_loss.count(TARGETS)) == 3.5


def test_the_loss_is_float32_whatever_the_logits_are():
    for smoothing in (0.0, 0.1):
        assert token_loss.loss(TARGETS, tf.cast(LOGITS, "bfloat16"), smoothing).dtype == tf.float32


def test_smoothing_gives_a_share_to_all_tokens_evenly():
    wide = LOGITS.astype("float64")
    log = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    expected = (0.8 * nats() - 0.2 * log.mean(-1)) * TARGETS["label_weights"]
    near(token_loss.loss(TARGETS, LOGITS, 0.2), expected.sum(), 1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_loss_and_gradient_with_smoothing_are_those_of_torch(smoothing):
    torch = pytest.importorskip("torch")
    logits, tensor = tf.constant(LOGITS), torch.tensor(LOGITS, requires_grad=True)
    ignored = np.where(TARGETS["label_weights"] > 0, TARGETS["labels"], -100)
    targets = {**TARGETS, "label_weights": (ignored >= 0).astype("float32")}
    entropy = torch.nn.CrossEntropyLoss(reduction="sum", label_smoothing=smoothing)
    expected = entropy(tensor.reshape(-1, 5), torch.tensor(ignored.reshape(-1)))
    expected.backward()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = token_loss.loss(targets, logits, smoothing)
    near(found, expected.item(), 1e-5)
    near(tape.gradient(found, logits), tensor.grad.numpy(), 1e-6)


def test_figures_are_of_all_kept_tokens():
    kept = {k: v.numpy() for k, v in token_loss.kept(TARGETS, tf.constant(LOGITS)).items()}
    weights = TARGETS["label_weights"]
    right = (LOGITS.argmax(-1) == TARGETS["labels"]) * weights
    near(kept["nats"], (nats() * weights).sum(1), 1e-5)
    near(kept["tokens"], [2, 1.5], 0)
    near(kept["right"], right.sum(1), 0)
    scores = token_loss.scores(kept)
    mean = (nats() * weights).sum() / 3.5
    assert scores["loss"] == pytest.approx(mean)
    assert scores["perplexity"] == pytest.approx(math.exp(mean))
    assert scores["accuracy"] == pytest.approx(right.sum() / 3.5)


def test_a_loss_beyond_all_floats_still_has_a_perplexity():
    kept = {"nats": np.array([1e9]), "tokens": np.array([1.0]), "right": np.array([0.0])}
    assert math.isfinite(token_loss.scores(kept)["perplexity"])


def test_the_report_is_a_file_of_figures(tmp_path):
    token_loss.Report({"loss": 1.5}).write(tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == {"loss": 1.5}
