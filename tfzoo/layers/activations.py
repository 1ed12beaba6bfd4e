"""The activations that checkpoints name, by the names used in this library."""

from collections.abc import Callable
from typing import Any

from keras import ops


def gelu(x: Any) -> Any:
    """The exact Gaussian error linear unit, x * Phi(x) (Hendrycks and Gimpel 2016)."""
    return ops.gelu(x, approximate=False)


def gelu_tanh(x: Any) -> Any:
    """The tanh form of gelu: what Google's BERT and OpenAI's GPT-2 computed (4.7e-4 apart)."""
    return ops.gelu(x, approximate=True)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": ops.relu,
    "silu": ops.silu,
    "tanh": ops.tanh,
}


def activation(name: str) -> Callable[[Any], Any]:
    """The function called `name`.

    Raises:
        ValueError: for a name that is not in `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"Unknown activation. Expected one of {', '.join(ACTIVATIONS)}. "
            f"Received: activation={name!r}."
        )
    return ACTIVATIONS[name]
