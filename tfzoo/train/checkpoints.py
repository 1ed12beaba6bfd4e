"""Everything a run needs to go on after `kill -9` as if nothing had happened.

A checkpoint holds the weights, the optimizer, the loop's own variables (averages, loss scale), the
step, the state of every dropout generator, the best score so far, the sums of the point that is
being made, and up to which step everything was shown. The position in the data is the step
(`tfzoo.data.batches`).

    checkpoints/step-1200.index, .data-...    the newest ones
    checkpoints/best-900.index, .data-...     that of the best model

Of several workers each must save, but only the chief's files count; the others' go to a folder of
their own, and all restore the chief's.
"""

import contextlib
import os
import pathlib
import re
import shutil

import numpy as np
import tensorflow as tf
from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.train.loop import Loop, Taken
from tfzoo.train.seeds import seeds, spread_seeds

_NAME, _BEST = "step", "best"
# What TensorFlow 2.21 raises for torn files and for those of another model: OpError and
# AssertionError where one expects them, the others from its C++ reader.
_UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, LookupError, RuntimeError)


class Checkpoints:
    """Saves and restores a `Loop`.

    Args:
        folder: Where checkpoints are written.
        loop: What is saved.
        keep: How many of the newest stay.
        source: Where checkpoints are restored from; None: where they are written.

    Attributes:
        best_score: Best score of an evaluation so far, minus infinity before the first.
        best_step: The step it was reached at.
        sums: What the steps since the last point add up to: loss, gradient norm, how many.
        shown: The step up to which points were made, models evaluated and the best one kept.
    """

    def __init__(
        self, folder: pathlib.Path, loop: Loop, keep: int = 2, source: pathlib.Path | None = None
    ):
        self.folder = folder
        self.loop = loop
        self._keep = keep
        self._source = source or folder
        first_only = tf.VariableAggregation.ONLY_FIRST_REPLICA
        with loop.strategy.scope():
            self.best_score = tf.Variable(-np.inf, False, dtype=tf.float64, aggregation=first_only)
            self.best_step = tf.Variable(0, False, dtype=tf.int64, aggregation=first_only)
            self.sums = tf.Variable([0.0] * 3, False, dtype=tf.float64, aggregation=first_only)
            self.shown = tf.Variable(0, False, dtype=tf.int64, aggregation=first_only)
        generators = seeds(loop.task.model)
        known = {id(generator) for generator in generators}
        weights = [v for v in loop.task.model.variables if id(v) not in known]
        self._checkpoint = tf.train.Checkpoint(
            step=loop.step,
            best_score=self.best_score,
            best_step=self.best_step,
            sums=self.sums,
            shown=self.shown,
            loop=tf.train.Checkpoint(**loop.state),
            # By path and not through Keras' object graph: a checkpoint of another model, or of
            # other layers, is noticed, and nothing is matched by accident.
            model=tf.train.Checkpoint(**{v.path: v.value for v in weights}),
            optimizer=tf.train.Checkpoint(**{v.path: v.value for v in loop.optimizer.variables}),
            seeds=tf.train.Checkpoint(**{str(i): v.value for i, v in enumerate(generators)}),
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep, checkpoint_name=_NAME
        )

    def add(self, taken: Taken) -> None:
        """Adds steps to the sums, one by one: the same in calls of whatever length."""
        applied = taken.applied > 0
        shown = np.stack([taken.loss, taken.gradient_norm, taken.applied], 1)[applied]
        sums = np.concatenate([[self.sums.numpy()], shown.astype("float64")])
        self.sums.assign(np.cumsum(sums, 0)[-1])

    def is_shown(self, step: int) -> None:
        """Notes that nothing up to `step` is to be shown any more."""
        self.sums.assign([0.0] * 3)
        self.shown.assign(step)

    def save(self) -> None:
        """Writes a checkpoint of the present step; half of one is never seen by `restore`.

        Raises:
            UserError: when it cannot be written, such as on a full disk.
        """
        step = int(self.loop.step.numpy())
        known = self._found(self.folder)
        verbosity = logging.get_verbosity()
        # TensorFlow 2.21 reports on every save how many microseconds it sorted shards.
        logging.set_verbosity(min(verbosity, logging.WARNING))
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            if step not in dict(known):
                self._remove(f"{_NAME}-{step}")
            last = f"That of step {known[0][0]} is whole." if known else "There is none before it."
            raise UserError(
                f"The checkpoint of step {step} cannot be written to {self.folder}: "
                f"{_reason(error)}. {last} Mend that and run the same command again."
            ) from None
        finally:
            logging.set_verbosity(verbosity)
            self._remove_old(step)

    def keep_best(self) -> None:
        """Keeps the checkpoint of the best step, just saved, as that of the best model."""
        step = int(self.best_step.numpy())
        # The index last, as TensorFlow writes it: what has one is whole.
        for path in sorted(self.folder.glob(f"{_NAME}-{step}.*"), key=_is_index):
            target = path.with_name(path.name.replace(_NAME, _BEST, 1))
            target.unlink(missing_ok=True)
            _link(path, target)
        for path in self.folder.glob(f"{_BEST}-*"):
            if not path.name.startswith(f"{_BEST}-{step}."):
                path.unlink()

    def restore(self) -> int:
        """Restores the newest checkpoint that can be read, and spreads the dropout seeds.

        That of the best model is tried last.

        Returns:
            Its step, or 0 when there is none.

        Raises:
            UserError: when there are checkpoints but none of them can be read.
        """
        found = self._found(self._source) + self._found(self._source, _BEST)
        restored = next((number for number, path in found if self._try(path)), None)
        if restored is None and found:
            raise UserError(
                f"None of the {len(found)} checkpoints in {self._source} can be read. To start "
                "from the beginning, choose another workdir or remove this one."
            )
        if restored is not None:
            spread_seeds(self.loop.task.model, self.loop.strategy)
            if self.best_step.numpy() == restored:
                self.keep_best()  # which a kill may have come before
        return restored or 0

    def _remove_old(self, step: int) -> None:
        """Removes what TensorFlow's manager leaves.

        It forgets checkpoints when its list is torn, and never clears up a save that was killed.
        Later ones than that of the present step are there when they could not be read.
        """
        known = [number for number, _ in self._found(self.folder) if number <= step]
        for number in known[self._keep :]:
            self._remove(f"{_NAME}-{number}")
        for half in self.folder.glob(f"{_NAME}-*_temp"):
            shutil.rmtree(half, ignore_errors=True)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):  # of a folder that cannot be written any more
            for path in self.folder.glob(f"{name}.*"):
                path.unlink(missing_ok=True)

    def _found(self, folder: pathlib.Path, name: str = _NAME) -> list[tuple[int, str]]:
        """Steps and paths of the finished checkpoints, newest first.

        Read from the folder and not from TensorFlow's list, which may itself be torn. The index is
        written last, so a checkpoint that has one was finished.
        """
        found = []
        for path in folder.glob(f"{name}-*.index"):
            number = re.fullmatch(rf"{name}-(\d+)", path.stem)
            if number:
                found.append((int(number[1]), str(path.with_suffix(""))))
        return sorted(found, reverse=True)

    def _try(self, path: str) -> bool:
        try:
            self._checkpoint.restore(path).assert_consumed()
        except _UNREADABLE as error:
            logging.warning(
                "Skipped the checkpoint %s, which cannot be read: %s", path, _reason(error)
            )
            return False
        return True


def _is_index(path: pathlib.Path) -> bool:
    return path.suffix == ".index"


def _link(path: pathlib.Path, target: pathlib.Path) -> None:
    """One file under two names, or, where a file system knows no such thing, a copy."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
