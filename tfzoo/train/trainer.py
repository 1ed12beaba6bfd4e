"""One start of a run: from its last checkpoint to its end, or to where it is asked to stop.

    steps ─► point ─► evaluation ─► best model ─► checkpoint          again, up to the last step

Whatever stops it in between, the next start comes to the same weights and the same curves: a
checkpoint says how many steps were taken and up to which of them everything was shown, and what
came after is done again.
"""

import contextlib
import hashlib
import itertools
import json
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfzoo import tasks
from tfzoo.core import config
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import Interrupted, UserError
from tfzoo.core.experiment import Experiment
from tfzoo.data import batches
from tfzoo.tasks import folder
from tfzoo.train import optimizers, schedules, services, strategies
from tfzoo.train.checkpoints import Checkpoints
from tfzoo.train.loop import Loop, Taken
from tfzoo.train.observer import Observer
from tfzoo.train.plan import Plan
from tfzoo.train.records import Records, points
from tfzoo.train.start import build_task, train_tokenizer
from tfzoo.train.stop import Stop
from tfzoo.train.strategies import components
from tfzoo.train.workdir import Workdir

_SECONDS_A_CALL = 0.5  # of the graph, so that a progress bar moves and Ctrl-C is heard


class Trainer:
    """Trains a model in a run's folder.

    Args:
        experiment: What to train.
        work: The folder that this process writes to.
        origin: The chief's folder, which all workers read from.
        strategy: Where to run.
        stop: Says whether to stop.

    Raises:
        UserError: for everything in the experiment and its data that cannot be.
    """

    def __init__(
        self,
        experiment: Experiment,
        work: Workdir,
        origin: Workdir,
        strategy: tf.distribute.Strategy,
        stop: Stop,
    ):
        self.experiment = experiment
        self.choice = choice = experiment.train
        self.work, self.strategy, self.stop = work, strategy, stop
        self._has_stepped = False
        corpus = tasks.trainable(experiment.task).read(experiment.data)
        if origin is work:
            train_tokenizer(experiment.model, corpus, work.tokenizer)
        strategies.wait_for_all(strategy)
        with strategy.scope():
            self.task = build_task(experiment, corpus, origin.tokenizer)
        # XLA compiles each shape anew, so for it there is one.
        is_fixed = choice.jit or isinstance(strategy, tf.distribute.TPUStrategy)
        rows, evaluation_rows = corpus.sources(self.task, experiment.seed, is_fixed)
        self.facts = {
            "rows": rows.num_rows,
            "evaluation_rows": evaluation_rows.num_rows,
            **corpus.facts(),
        }
        self.plan = Plan.make(choice, batches.steps_per_epoch(rows.num_rows, choice.batch_size))
        self.best_by = _figure(choice.best_by, self.task.figures)
        self.loop = self._make_loop()
        self._begin(corpus)
        self.checkpoints = Checkpoints(
            work.checkpoints, self.loop, choice.keep_checkpoints, origin.checkpoints
        )
        self.step = self.checkpoints.restore()
        self._check_workers(corpus)
        if self.step:
            logging.info("Going on from the checkpoint of step %d.", self.step)
        self._distribute(rows, evaluation_rows, experiment.seed)
        self._observe(experiment, evaluation_rows, getattr(corpus, "samples", None))

    def train(self) -> dict[str, Any]:
        """Takes all steps that are left, and returns the summary.

        Raises:
            UserError: when the training breaks down, or a file cannot be written.
            Interrupted: when it was asked to stop; everything is saved.
        """
        try:
            with contextlib.closing(self.records), contextlib.closing(self.observer):
                self._train()
        except (OSError, tf.errors.OpError) as error:
            # TensorFlow's own writers, TensorBoard's among them, name the file that fails.
            is_named = isinstance(error, tf.errors.OpError) or getattr(error, "filename", None)
            if is_named and str(self.work.path) not in str(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{self.work.path} cannot be written: {reason}. The last checkpoint is whole. Mend "
                "that and run the same command again."
            ) from None
        return self._summary()

    def _make_loop(self) -> Loop:
        choice, plan = self.choice, self.plan
        self.rate = schedules.schedule(choice, plan.steps_per_epoch, plan.total)
        with self.strategy.scope():
            optimizer = optimizers.make(
                choice, self.task.model, self.rate, plan.steps_per_epoch, plan.total
            )
        return Loop(
            self.task,
            optimizer,
            self.strategy,
            choice.clip_norm,
            choice.accumulate,
            choice.jit,
            choice.ema,
            scale_loss=choice.precision == "mixed_float16",
            skip=choice.nonfinite == "skip",
        )

    def _begin(self, corpus: Any) -> None:
        tokenizer = _digest(self.task.tokenizer.vocabulary)
        fingerprint = corpus.fingerprint()
        self.work.begin({**self.facts, "fingerprint": fingerprint, "tokenizer": tokenizer})
        rows, evaluation_rows = self.facts["rows"], self.facts["evaluation_rows"]
        logging.info(
            "%d training rows, %d evaluation rows. %s", rows, evaluation_rows, corpus.describe()
        )
        if rows < self.choice.batch_size:
            logging.info(
                "Every step takes all %d rows, because train.batch_size=%d is more than there are.",
                rows,
                self.choice.batch_size,
            )

    def _check_workers(self, corpus: Any) -> None:
        """Makes sure that all workers do the same thing, before a step in which they would wait.

        Raises:
            UserError: on all of them, when one has another experiment, other data, another
                vocabulary or another checkpoint.
        """
        same = json.dumps(config.to_dict(self.experiment))
        told = (same, corpus.fingerprint(), str(self.step))
        digest = hashlib.blake2b("\0".join(told).encode(), digest_size=6).digest()
        # Numbers small enough that a sum of them is exact.
        own = np.array([1, *digest], "float32")
        said = strategies.total(self.strategy, own)
        if strategies.total(self.strategy, float((said != said[0] * own).any())):
            raise UserError(
                "The workers do not all do the same: one has another --config or --set, other "
                "data, or sees other checkpoints. Start all of them with the same command, on the "
                f"same files. Received: workdir={self.work.path}, step={self.step}."
            )

    def _distribute(self, rows: batches.Source, evaluation_rows: batches.Source, seed: int) -> None:
        size, start = self.choice.batch_size, self.step

        def training(share: batches.Share) -> tf.data.Dataset:
            made = batches.training(rows, size, seed, start, share)
            return services.through(self.choice.data_service, made)

        self.batches = self.loop.distribute(training)
        self.evaluation = self.loop.distribute(
            lambda share: batches.evaluation(evaluation_rows, size, share)
        )

    def _observe(self, experiment: Experiment, rows: batches.Source, samples: Any) -> None:
        shown = int(self.checkpoints.shown.numpy())
        self.records = Records(self.work.metrics, self.work.logs, self.plan, shown)
        self.records.settings(config.to_dict(experiment))
        self.records.advance(self.step - shown)
        curves = self.records.curves
        self.observer = Observer(self.choice, self.loop, rows, curves, self.step, samples)

    def _train(self) -> None:
        iterator = iter(self.batches)
        self.observer.begin(iterator)
        try:
            while (shown := int(self.checkpoints.shown.numpy())) < self.plan.total:
                stop = self.plan.next_stop(shown)
                self._train_to(stop, iterator)
                self._show(stop)
        except Interrupted:
            self._check_weights()
            self.checkpoints.save()
            raise
        self.records.finished()

    def _train_to(self, stop: int, iterator: Any) -> None:
        """Takes the steps up to `stop`."""
        steps = self.choice.steps_per_loop or 1
        while self.step < stop:
            count = self.observer.steps(self.step, min(steps, stop - self.step))
            began = time.perf_counter()
            with self.observer.trace(self.step):
                taken = self.loop.train(iterator, count)
            took = time.perf_counter() - began
            self._check(taken)
            self.checkpoints.add(taken)
            self.step += count
            self.records.advance(count)
            self.observer.add(taken, took)
            self._has_stepped = True
            took = self._heed(took)
            if self.choice.steps_per_loop is None and count == steps and took < _SECONDS_A_CALL:
                steps *= 2

    def _show(self, stop: int) -> None:
        """What is due after the step `stop`: a point, an evaluation, a checkpoint."""
        self._check_weights()
        loss, norm, count = self.checkpoints.sums.numpy().tolist()
        # Nothing was measured when the last start had come up to here.
        measured = self.observer.figures() if self._has_stepped else {}
        if count:  # else every step was skipped, which the log says
            point = {
                "loss": loss / count,
                "learning_rate": float(self.rate(int(self.loop.optimizer.iterations.numpy()) - 1)),
                "gradient_norm": norm / count,
            }
            if "scale" in self.loop.state:
                point["loss_scale"] = float(self.loop.state["scale"].numpy())
            self.records.train_point(stop, point, measured)
        is_best = self.plan.evaluates_at(stop) and self._evaluate(stop)
        self.checkpoints.is_shown(stop)
        if is_best or self.plan.saves_at(stop):
            self.checkpoints.save()
        if is_best:
            self.checkpoints.keep_best()

    def _evaluate(self, step: int) -> bool:
        """Scores the model and keeps it if it is the best so far, which is returned."""
        count = batches.steps_per_epoch(self.facts["evaluation_rows"], self.choice.batch_size)
        with self.loop.averaged():
            rows = self.records.watch(itertools.islice(iter(self.evaluation), count), count)
            kept = self.loop.evaluate(self._heeding(rows))
            scores = self.task.scores(kept)
            self.records.evaluation_point(step, scores)
            self.observer.show(step, kept)
            score = scores[self.best_by] * self.task.figures[self.best_by]
            if not np.isfinite(score):
                self._break_down(step - 1, f"the evaluation's {self.best_by} is {score}")
            is_best = score > float(self.checkpoints.best_score.numpy())
            if is_best:
                # Of a kill between here and the checkpoint, the next start makes the same again.
                folder.save(self.task, self.work.model)
                self.task.report(kept).write(self.work.path)
        if is_best:
            self.checkpoints.best_score.assign(score)
            self.checkpoints.best_step.assign(step)
        return is_best

    def _heeding(self, rows: Iterable[Any]) -> Iterator[Any]:
        for batch in rows:
            yield batch
            self._heed()

    def _heed(self, took: float = 0.0) -> float:
        """Stops if any worker was asked to; returns what a call took, the same on all of them."""
        asked = self.stop.signal
        if isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            said = strategies.total(self.strategy, [asked, took])
            said = said / self.strategy.num_replicas_in_sync
            asked, took = asked or (signal.SIGTERM if said[0] else 0), float(said[1])
        if asked:
            raise Interrupted(
                f"Stopped by {signal.Signals(asked).name} after step {self.step} of "
                f"{self.plan.total}. Everything is saved; the same command goes on from there.",
                128 + asked,
            )
        return took

    def _check(self, taken: Taken) -> None:
        """Stops at a step whose loss or gradient is no number, unless such steps are skipped."""
        if self.loop.may_skip:
            skipped = len(taken) - int(taken.applied.sum())
            is_lost = self.choice.nonfinite == "stop" and self.loop.state["scale"].numpy() <= 1.0
            if skipped and is_lost:
                self._break_down(self.step + len(taken) - 1, "gradients overflow at loss scale 1")
            if skipped:
                logging.info(
                    "After step %d: %d of %d steps skipped, their gradients were no numbers.",
                    self.step,
                    skipped,
                    len(taken),
                )
            return
        wrong = np.flatnonzero(~(np.isfinite(taken.loss) & np.isfinite(taken.gradient_norm)))
        if len(wrong):
            loss, norm = taken.loss[wrong[0]], taken.gradient_norm[wrong[0]]
            self._break_down(self.step + int(wrong[0]), f"loss {loss}, gradient norm {norm}")

    def _check_weights(self) -> None:
        """Stops when a step of finite gradient overflowed a weight: nobody could go on with it."""
        for weight in self.loop.weights:
            if not tf.reduce_all(tf.math.is_finite(components(weight)[0])):
                self._break_down(self.step - 1, f"{weight.path} is no number any more")

    def _break_down(self, step: int, what: str) -> None:
        per_epoch = self.plan.steps_per_epoch
        raise UserError(
            f"The training broke down at step {step + 1}, batch {step % per_epoch + 1} of epoch "
            f"{step // per_epoch + 1}: {what}. The last checkpoint is of before. Lower "
            "train.learning_rate, lengthen train.warmup, set train.clip_norm, or leave such steps "
            "out with train.nonfinite=skip. Received: "
            f"learning_rate={self.choice.learning_rate}, clip_norm={self.choice.clip_norm}."
        )

    def _summary(self) -> dict[str, Any]:
        best_step = int(self.checkpoints.best_step.numpy())
        evaluations = (p for p in points(self.work.metrics) if p["kind"] == "evaluation")
        best = next((point for point in evaluations if point["step"] == best_step), {})
        scores = {k: v for k, v in best.items() if k not in ("kind", "step", "epoch")}
        return {
            "steps": self.plan.total,
            "best_step": best_step,
            **scores,
            **self.facts,
            "model": str(self.work.model),
        }


def _figure(wanted: str | None, known: Mapping[str, int]) -> str:
    if wanted is not None and wanted not in known:
        raise UserError(unknown_name("figure for train.best_by", wanted, known))
    return wanted or next(iter(known))


def _digest(entries: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(entries).encode("utf-8", "surrogatepass")).hexdigest()
