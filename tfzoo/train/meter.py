"""What is measured between two points of the curves and is no part of metrics.jsonl."""

import numpy as np

from tfzoo.train import machine
from tfzoo.train.loop import Loop, Taken
from tfzoo.train.norms import Norms


class Meter:
    """Speeds, norms by layer, memory.

    Args:
        loop: What is measured.
        layers: Whether the norms of layers are wanted.
        operations_per_token: Floating-point operations of a training step for each token.
        peak: Operations a second that all devices together can do. None: not known.
    """

    def __init__(
        self, loop: Loop, layers: bool, operations_per_token: float = 0.0, peak: float | None = None
    ):
        self._norms = Norms(loop.weights) if layers else None
        self._operations = operations_per_token
        self._peak = peak
        self._taken: list[Taken] = []
        self._seconds = 0.0

    def add(self, taken: Taken, seconds: float) -> None:
        """Adds the steps of one call, which took so long."""
        self._taken.append(taken)
        self._seconds += seconds

    def figures(self) -> dict[str, float]:
        """The figures since the last time they were asked for."""
        taken, seconds = self._taken, self._seconds
        self._taken, self._seconds = [], 0.0
        tokens = sum(float(t.tokens.sum()) for t in taken)
        waits = np.concatenate([t.input_seconds for t in taken])
        found = {
            "speed/examples_per_second": sum(float(t.examples.sum()) for t in taken) / seconds,
            "speed/tokens_per_second": tokens / seconds,
            "speed/input_seconds_per_step": float(waits.mean()),
            **machine.memory(),
        }
        if self._peak is not None:
            of_peak = self._operations * tokens / seconds / self._peak
            found["speed/model_flops_utilization"] = of_peak
        if self._norms is not None:
            squares = np.concatenate([t.squares[t.applied > 0] for t in taken])
            if len(squares):
                found |= self._norms.gradients(squares)
            found |= self._norms.weights()
        return found
