"""The loss of a model that predicts tokens, and what is said of it: one way for all such tasks."""

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core import json_file
from tfzoo.core.files import write_aside

Tensors = dict[str, tf.Tensor]


def count(targets: Tensors) -> tf.Tensor:
    """The sum of the tokens' weights, `()` float32."""
    return tf.reduce_sum(targets["label_weights"])


def loss(targets: Tensors, logits_btv: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """The weighted sum of the tokens' cross-entropies in nats, `()` float32.

    Args:
        targets: `labels` `(b, t)` integers and `label_weights` `(b, t)` float32.
        logits_btv: Scores of all tokens.
        smoothing: Share of the probability that goes to all tokens evenly (Szegedy et al. 2015,
            section 7, https://arxiv.org/abs/1512.00567).
    """
    nats_bt = _nats(targets, logits_btv)
    if smoothing:
        logits_btv = tf.cast(logits_btv, tf.float32)
        right_bt = tf.gather(logits_btv, targets["labels"], batch_dims=2)
        # Of (1 - s) times the label's nats and s times the mean of all tokens' nats, as one.
        nats_bt += smoothing * (right_bt - tf.reduce_mean(logits_btv, -1))
    return tf.reduce_sum(nats_bt * targets["label_weights"])


def kept(targets: Tensors, logits_btv: tf.Tensor) -> Tensors:
    """Of each row `(b,)`: `nats`, how many `tokens` they are of, and how many are `right`."""
    weights_bt = targets["label_weights"]
    best_bt = tf.argmax(logits_btv, -1, targets["labels"].dtype)
    right_bt = tf.cast(best_bt == targets["labels"], tf.float32)
    return {
        "nats": tf.reduce_sum(_nats(targets, logits_btv) * weights_bt, 1),
        "tokens": tf.reduce_sum(weights_bt, 1),
        "right": tf.reduce_sum(right_bt * weights_bt, 1),
    }


def scores(kept: dict[str, np.ndarray]) -> dict[str, float]:
    """`loss` in nats a token, `perplexity`, and `accuracy`, the share of tokens ranked first."""
    nats, tokens, right = (kept[name].sum(dtype="float64") for name in ("nats", "tokens", "right"))
    mean = float(nats / tokens)
    return {
        "loss": mean,
        "perplexity": math.exp(min(mean, 700.0)),  # above, it is no float64 any more
        "accuracy": float(right / tokens),
    }


@dataclasses.dataclass(frozen=True)
class Report:
    """The figures of an evaluation.

    Attributes:
        values: What evaluation.json holds.
    """

    values: dict[str, Any]

    def write(self, folder: pathlib.Path) -> None:
        """Writes evaluation.json."""
        with write_aside(folder / "evaluation.json") as aside:
            json_file.write(aside, self.values)


def _nats(targets: Tensors, logits_btv: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        targets["labels"], tf.cast(logits_btv, tf.float32)
    )
