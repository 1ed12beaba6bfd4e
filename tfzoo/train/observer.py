"""Everything that TensorBoard shows beside the loss: what a run calls while it trains."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tfzoo.core.experiment import TrainChoice
from tfzoo.data.batches import Source, first
from tfzoo.train import machine, step_graph
from tfzoo.train.loop import Loop, Taken
from tfzoo.train.meter import Meter
from tfzoo.train.profiler import Profiler
from tfzoo.train.tensorboard import Curves
from tfzoo.train.views import Samples, Views

_MEASURED_ROWS = 64  # whose lengths say how many operations a token takes


class Observer:
    """Watches a training; nothing that it does changes one bit of it.

    Args:
        choice: The training's; `choice.tensorboard` says what is wanted.
        loop: The loop.
        source: The evaluation's rows.
        curves: What TensorBoard shows, `train` and `evaluation`.
        start: The step at which the training goes on.
        samples: As in `Views`.
    """

    def __init__(
        self,
        choice: TrainChoice,
        loop: Loop,
        source: Source,
        curves: Mapping[str, Curves],
        start: int,
        samples: Samples | None = None,
    ):
        wanted = choice.tensorboard
        self._loop = loop
        self._curves = curves
        self._draws_graph = wanted.graph
        self._views = Views(wanted, loop.task, source, curves["evaluation"], samples)
        window = None if wanted.profile is None else wanted.profiled()
        self._profiler = Profiler(curves["train"].folder, window, start)
        peak = machine.peak_of_all(choice.precision, loop.strategy.num_replicas_in_sync)
        operations = 0.0
        if peak is not None:
            inputs, _ = first(source, _MEASURED_ROWS)
            operations = machine.operations_per_token(loop.task.model, inputs)
        self._meter = Meter(loop, wanted.layers, operations, peak)

    def begin(self, batches: Any) -> None:
        """Before the first step: shows its graph, which is then the one that runs."""
        if self._draws_graph:
            self._curves["train"].graph(step_graph.of_loop(self._loop.drawn(batches)))

    def steps(self, step: int, wanted: int) -> int:
        """How many of the `wanted` steps after `step` one call may take."""
        return self._profiler.steps(step, wanted)

    def trace(self, step: int) -> AbstractContextManager[None]:
        """Around the call that takes the steps after `step`."""
        return self._profiler.trace(step)

    def add(self, taken: Taken, seconds: float) -> None:
        """Adds the steps of one call, which took so long."""
        self._meter.add(taken, seconds)

    def figures(self) -> dict[str, float]:
        """What was measured since the last time."""
        return self._meter.figures()

    def show(self, step: int, kept: dict[str, np.ndarray]) -> None:
        """Shows the model as it was evaluated; see `Views`."""
        self._views.show(step, kept)

    def close(self) -> None:
        """Writes a trace that is not at its end."""
        self._profiler.close()
