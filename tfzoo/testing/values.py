"""Weights from a closed formula, and comparisons that fail loudly."""

from typing import Any

import keras
import numpy as np


def fill(model: keras.Model) -> None:
    """Sets each weight by a formula of its path and indices: the same on every machine."""
    for weight in model.weights:
        if "seed_generator" in weight.path:
            continue
        phase = sum(weight.path.encode()) % 97
        values = np.sin(np.arange(int(np.prod(weight.shape))) * 0.37 + phase)
        base = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign(np.reshape(base + 0.5 * values, weight.shape))


def near(found: Any, expected: Any, tolerance: float) -> None:
    """Fails when two arrays differ anywhere by more than `tolerance`, or hold a NaN.

    Raises:
        AssertionError: saying by how much, or that their shapes differ.
    """
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    if np.ndim(expected):
        check(found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}")
    worst = float(np.max(np.abs(found - expected)))
    check(worst <= tolerance, f"largest difference {worst:.3g}, tolerance {tolerance:.3g}")


def check(fact: bool, message: str) -> None:
    """Fails a test with `message` unless `fact` holds.

    Raises:
        AssertionError: with the message.
    """
    if not fact:
        raise AssertionError(message)
