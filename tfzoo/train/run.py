"""A training run, from an experiment to a model folder; run again, it goes on where it stopped.

A task that can be trained has, in its module, a dataclass `Data` and `read(data) -> corpus`. A
corpus has `labels`, `texts()`, `model_fields()`, `task(model, tokenizer, data)`, `rows()` and
`fingerprint()`; the task has `encode`, `loss`, `kept`, `scores`, `report` and `figures`.
`tfzoo.tasks.classification` shows them.
"""

import hashlib
import importlib
import os
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml
from absl import logging

from tfzoo import tasks
from tfzoo.core import config
from tfzoo.core import experiment as experiments
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment
from tfzoo.data import batches
from tfzoo.tasks import folder
from tfzoo.train import optimizers, strategies
from tfzoo.train.checkpoints import Checkpoints
from tfzoo.train.determinism import deterministic
from tfzoo.train.loop import Loop
from tfzoo.train.plan import Plan
from tfzoo.train.records import Records, points
from tfzoo.train.start import build_task
from tfzoo.train.workdir import Workdir

_SECONDS_A_CALL = 0.5  # of the graph, so that a progress bar moves and Ctrl-C is heard


def read(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Experiment:
    """Reads an experiment from YAML, with `key=value` overrides.

    Raises:
        UserError: for a file, key or value that is wrong, or a task that cannot be trained.
    """
    values = experiments.read(os.fspath(path), overrides)
    name = values.get("task")
    if not isinstance(name, str):
        raise UserError(f"{path} must say its task, such as `task: classification`.")
    return experiments.check(values, _task_module(name).Data)


def run(experiment: Experiment, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, and keeps the best model in the run's folder.

    Sets the process's random seeds. A run that was stopped, in whatever way, goes on from its last
    checkpoint, to the same weights; a finished one only returns its summary again.

    Args:
        experiment: What to train.
        workdir: The run's folder; `tfzoo.train.workdir` lists what comes to stand in it.

    Returns:
        What summary.json holds: `steps`, `best_step`, the evaluation's figures at that step,
        `rows`, `evaluation_rows`, `labels`, and `model`, the path of the best model's folder.

    Raises:
        UserError: for everything that the user can mend, such as a loss that is no number.
    """
    # First of all, because the CPU cannot be split once TensorFlow has run something.
    strategy = strategies.choose(experiment.train)
    with Workdir(workdir, experiment) as work:
        summary = work.summary()
        if summary is None:
            with deterministic(experiment.train.deterministic):
                keras.utils.set_random_seed(experiment.seed % 2**32)
                summary = _Run(experiment, work, strategy).train()
            work.finish(summary)
        return summary


class _Run:
    """One start of a run, up to its end or its next interruption."""

    def __init__(self, experiment: Experiment, work: Workdir, strategy: tf.distribute.Strategy):
        choice = experiment.train
        corpus = _task_module(experiment.task).read(experiment.data)
        rows, evaluation_rows = corpus.rows()
        counts = {"rows": len(corpus.train), "evaluation_rows": len(corpus.evaluate)}
        plan = Plan.make(choice, batches.steps_per_epoch(counts["rows"], choice.batch_size))
        rate = optimizers.schedule(choice, plan.steps_per_epoch, plan.total)
        with strategy.scope():
            task = build_task(experiment, corpus, work.tokenizer)
            weights = task.model.trainable_variables
            optimizer = optimizers.adamw(weights, rate, choice.weight_decay)
        loop = Loop(task, optimizer, strategy, choice.clip_norm, choice.jit)

        # XLA compiles each shape anew, so for it there is one.
        multiple = task.max_length if choice.jit else 8

        def encode(columns: dict[str, tf.Tensor]) -> Any:
            return task.encode(columns, multiple)

        self.choice, self.work, self.plan, self.rate = choice, work, plan, rate
        self.task, self.loop = task, loop
        self.best_by = _figure(choice.best_by, task.figures)
        self.facts = {**counts, "labels": list(corpus.labels)}
        work.begin(
            {
                **self.facts,
                "fingerprint": corpus.fingerprint(),
                "tokenizer": _digest(task.tokenizer.vocabulary),
            }
        )
        logging.info(
            "%d training rows, %d evaluation rows, %d classes: %s.",
            *counts.values(),
            len(corpus.labels),
            ", ".join(corpus.labels[:20]) + (", ..." if len(corpus.labels) > 20 else ""),
        )
        self.checkpoints = Checkpoints(work.checkpoints, loop, choice.keep_checkpoints)
        self.step = self.checkpoints.restore()
        self.batches = loop.distribute(
            batches.training(rows, encode, choice.batch_size, experiment.seed, self.step)
        )
        self.evaluation = loop.distribute(
            batches.evaluation(evaluation_rows, encode, choice.batch_size)
        )
        self.records = Records(work.metrics, work.logs, plan, self.step)
        self.records.settings(yaml.safe_dump(config.to_dict(experiment), sort_keys=False))

    def train(self) -> dict[str, Any]:
        """Takes all steps that are left, and returns the summary."""
        try:
            iterator = iter(self.batches)
            while self.step < self.plan.total:
                self._train_to(self.plan.next_stop(self.step), iterator)
                if self.plan.evaluates_at(self.step):
                    self._evaluate()
                if self.plan.saves_at(self.step):
                    self.checkpoints.save()
        finally:
            self.records.close()
        return self._summary()

    def _train_to(self, stop: int, iterator: Any) -> None:
        """Steps up to `stop`, and adds the point there: means over the steps taken."""
        taken: list[np.ndarray] = []
        seconds, steps = 0.0, 1
        while self.step < stop:
            began = time.perf_counter()
            taken.append(self.loop.train(iterator, steps))
            took = time.perf_counter() - began
            self._check(taken[-1])
            self.step += steps
            self.records.advance(steps)
            seconds += took
            steps = min(steps * 2 if took < _SECONDS_A_CALL else steps, stop - self.step)
        steps_taken = np.concatenate(taken)
        loss, norm = steps_taken.mean(axis=0, dtype=np.float64).tolist()
        rate = float(self.rate(self.step - 1))
        point = {"loss": loss, "learning_rate": rate, "gradient_norm": norm}
        speed = self.choice.batch_size * len(steps_taken) / seconds
        self.records.train_point(self.step, point, speed)

    def _check(self, taken: np.ndarray) -> None:
        wrong = np.flatnonzero(~np.isfinite(taken).all(axis=1))
        if len(wrong):
            loss, norm = taken[wrong[0]]
            raise UserError(
                f"The training broke down at step {self.step + wrong[0] + 1}: loss {loss}, "
                f"gradient norm {norm}. The last checkpoint is of before. Lower "
                f"train.learning_rate, lengthen train.warmup or set train.clip_norm. Received: "
                f"learning_rate={self.choice.learning_rate}, clip_norm={self.choice.clip_norm}."
            )

    def _evaluate(self) -> None:
        """Scores the model, and keeps it if it is the best so far."""
        count = batches.steps_per_epoch(self.facts["evaluation_rows"], self.choice.batch_size)
        kept = self.loop.evaluate(self.records.watch(self.evaluation, count))
        scores = self.task.scores(kept)
        self.records.evaluation_point(self.step, scores)
        score = scores[self.best_by]
        if score > float(self.checkpoints.best_score.numpy()):
            self.checkpoints.best_score.assign(score)
            self.checkpoints.best_step.assign(self.step)
            folder.save(self.task, self.work.model)
            self.task.report(kept).write(self.work.path)

    def _summary(self) -> dict[str, Any]:
        best_step = int(self.checkpoints.best_step.numpy())
        best = next(
            point
            for point in points(self.work.metrics)
            if point["kind"] == "evaluation" and point["step"] == best_step
        )
        scores = {k: v for k, v in best.items() if k not in ("kind", "step", "epoch")}
        return {
            "steps": self.plan.total,
            "best_step": best_step,
            **scores,
            **self.facts,
            "model": str(self.work.model),
        }


def _figure(wanted: str | None, known: Sequence[str]) -> str:
    if wanted is not None and wanted not in known:
        raise UserError(unknown_name("figure for train.best_by", wanted, known))
    return wanted or known[0]


def _task_module(name: str) -> Any:
    """The module of a task that can be trained."""
    tasks.task_class(name)  # complains about an unknown name
    module = importlib.import_module(f"tfzoo.tasks.{name}")
    if not hasattr(module, "Data"):
        trainable = ", ".join(
            other
            for other in tasks.names()
            if hasattr(importlib.import_module(f"tfzoo.tasks.{other}"), "Data")
        )
        raise UserError(
            f"The task {name} cannot be trained yet. Expected one of {trainable}. "
            f"Received: task={name}."
        )
    return module


def _digest(entries: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(entries).encode("utf-8", "surrogatepass")).hexdigest()
