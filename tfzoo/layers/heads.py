"""The last layers of a model: vectors to float32 scores."""

from typing import Any

import keras


def scores(
    units: int, initializer_range: float, name: str, use_bias: bool = True
) -> keras.layers.Dense:
    """A dense layer whose outputs are float32 whatever the policy, as losses need them."""
    initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
    return keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=initializer, dtype="float32", name=name
    )


def spans(x_btd: Any, initializer_range: float) -> dict[str, Any]:
    """Extractive question answering: `start_logits` and `end_logits`, `(b, t)` each.

    Source: Devlin et al. 2018, section 4.2, https://arxiv.org/abs/1810.04805.
    """
    logits_bt2 = scores(2, initializer_range, "span")(x_btd)
    return {"start_logits": logits_bt2[:, :, 0], "end_logits": logits_bt2[:, :, 1]}
