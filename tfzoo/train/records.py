"""What a run shows and writes down while it trains: progress, metrics.jsonl, TensorBoard."""

import json
import math
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from absl import logging
from tqdm import tqdm

from tfzoo.core.files import write_aside
from tfzoo.train.plan import Plan
from tfzoo.train.tensorboard import Curves, flat

_SECONDS_A_LINE = 10.0


class Records:
    """The points of a run, on the screen and on disk.

    A terminal gets progress bars; anything else a log line from time to time.

    Args:
        metrics: The file metrics.jsonl. Points after `start` are dropped from it.
        logs: TensorBoard's folder, likewise.
        plan: Says how many steps there are.
        start: The step at which the training goes on.

    Attributes:
        curves: What TensorBoard shows, `train` and `evaluation`. The hyperparameters stand with the
            evaluation, because TensorBoard compares runs by all curves that are beside them.
    """

    def __init__(self, metrics: pathlib.Path, logs: pathlib.Path, plan: Plan, start: int):
        self._metrics = metrics
        self._plan = plan
        self._said = -math.inf
        kept = [point for point in points(metrics) if point["step"] <= start]
        with write_aside(metrics) as aside:
            aside.write_text("".join(json.dumps(point) + "\n" for point in kept), "utf-8")
        self.curves = {name: Curves(logs / name, start) for name in ("train", "evaluation")}
        self._quiet = not sys.stderr.isatty()
        self._bar = tqdm(
            desc="train", total=plan.total, initial=start, unit="step", disable=self._quiet
        )

    def settings(self, values: Mapping[str, Any]) -> None:
        """Shows the experiment in TensorBoard, and by what it differs from others."""
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
        self.curves["train"].text("experiment", f"```\n{text}```")
        shown = flat(values)
        of_training = {k: v for k, v in shown.items() if not k.startswith("train.tensorboard.")}
        self.curves["evaluation"].hyperparameters(of_training)

    def advance(self, steps: int) -> None:
        """Moves the progress bar."""
        self._bar.update(steps)

    def train_point(
        self, step: int, point: Mapping[str, float], measured: Mapping[str, float]
    ) -> None:
        """Adds a point of the training.

        What was measured, such as speeds, is left out of metrics.jsonl: there, two runs of one
        experiment are the same to the byte.
        """
        self._write("train", step, point)
        self.curves["train"].scalars(step, {**point, **measured})
        tokens = measured.get("speed/tokens_per_second", math.nan)
        self._bar.set_postfix(
            loss=f"{point['loss']:.4f}",
            rate=f"{point['learning_rate']:.1e}",
            speed=f"{tokens:.0f} tokens/s",
        )
        if self._quiet and time.monotonic() - self._said > _SECONDS_A_LINE:
            self._said = time.monotonic()
            logging.info(
                "Step %d of %d: loss %.4f, learning rate %.2e, %.1f examples/s, %.0f tokens/s.",
                step,
                self._plan.total,
                point["loss"],
                point["learning_rate"],
                measured.get("speed/examples_per_second", math.nan),
                tokens,
            )

    def evaluation_point(self, step: int, scores: Mapping[str, float]) -> None:
        """Adds a point of the evaluation."""
        self._write("evaluation", step, scores)
        self.curves["evaluation"].scalars(step, scores)
        text = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        if self._quiet:
            logging.info("Step %d of %d, evaluation: %s.", step, self._plan.total, text)
        else:
            self._bar.write(f"step {step}: {text}", file=sys.stderr)

    def watch(self, batches: Iterable[Any], total: int) -> Iterable[Any]:
        """The batches of an evaluation, under a progress bar of their own."""
        return tqdm(
            batches, "evaluate", total, unit="batch", leave=False, position=1, disable=self._quiet
        )

    def finished(self) -> None:
        """Notes that the run has come to its end."""
        self.curves["evaluation"].finished(self._plan.total)

    def close(self) -> None:
        """Writes out what is pending and leaves the bar as it stands."""
        self._bar.close()
        for curves in self.curves.values():
            curves.close()

    def _write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        line = {"kind": kind, "step": step, "epoch": self._plan.epoch(step), **values}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def points(metrics: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl; a torn last one is left out."""
    if not metrics.exists():
        return
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
