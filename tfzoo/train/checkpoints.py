"""Everything a run needs to go on after `kill -9` as if nothing had happened.

A checkpoint holds the weights, the optimizer, the step, the state of every dropout generator, and
the best score so far. The position in the data is the step (`tfzoo.data.batches`).
"""

import pathlib
import re
import shutil

import tensorflow as tf
from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.train.loop import Loop, seeds, spread_seeds

_NAME = "step"
# What TensorFlow 2.21 raises for torn files and for those of another model: OpError and
# AssertionError where one expects them, the others from its C++ reader.
_UNREADABLE = (tf.errors.OpError, AssertionError, ValueError, LookupError, RuntimeError)


class Checkpoints:
    """Saves and restores a `Loop`.

    Args:
        folder: Where checkpoints stand.
        loop: What is saved.
        keep: How many of the newest stay.

    Attributes:
        best_score: Best score of an evaluation so far, -1 before the first.
        best_step: The step it was reached at.
    """

    def __init__(self, folder: pathlib.Path, loop: Loop, keep: int = 2):
        self.folder = folder
        self._keep = keep
        self.loop = loop
        first_only = tf.VariableAggregation.ONLY_FIRST_REPLICA
        with loop.strategy.scope():
            self.best_score = tf.Variable(-1.0, False, dtype=tf.float64, aggregation=first_only)
            self.best_step = tf.Variable(0, False, dtype=tf.int64, aggregation=first_only)
        generators = seeds(loop.task.model)
        paths = {id(generator) for generator in generators}
        weights = [v for v in loop.task.model.variables if id(v) not in paths]
        self._checkpoint = tf.train.Checkpoint(
            step=loop.step,
            best_score=self.best_score,
            best_step=self.best_step,
            # By path and not through Keras' object graph: a checkpoint of another model, or of
            # other layers, is noticed, and nothing is matched by accident.
            model=tf.train.Checkpoint(**{v.path: v.value for v in weights}),
            optimizer=tf.train.Checkpoint(**{v.path: v.value for v in loop.optimizer.variables}),
            seeds=tf.train.Checkpoint(**{str(i): v.value for i, v in enumerate(generators)}),
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep, checkpoint_name=_NAME
        )

    def save(self) -> None:
        """Writes a checkpoint of the present step; half of one is never seen by `restore`."""
        verbosity = logging.get_verbosity()
        # TensorFlow 2.21 reports on every save how many microseconds it sorted shards.
        logging.set_verbosity(min(verbosity, logging.WARNING))
        try:
            self._manager.save(checkpoint_number=int(self.loop.step.numpy()))
        finally:
            logging.set_verbosity(verbosity)
        self._remove_old()

    def restore(self) -> int:
        """Restores the newest checkpoint that can be read, and spreads the dropout seeds.

        Returns:
            Its step, or 0 when there is none.

        Raises:
            UserError: when there are checkpoints but none of them can be read.
        """
        found = self._found()
        restored = next((number for number, path in found if self._try(path)), None)
        if found and restored is None:
            raise UserError(
                f"None of the {len(found)} checkpoints in {self.folder} can be read. To start "
                "from the beginning, choose another workdir or remove this one."
            )
        spread_seeds(self.loop.task.model)
        return restored or 0

    def _remove_old(self) -> None:
        """Removes what TensorFlow's manager leaves.

        It forgets checkpoints when its list is torn, and never clears up a save that was killed.
        """
        for number, _ in self._found()[self._keep :]:
            for path in self.folder.glob(f"{_NAME}-{number}.*"):
                path.unlink()
        for half in self.folder.glob(f"{_NAME}-*_temp"):
            shutil.rmtree(half, ignore_errors=True)

    def _found(self) -> list[tuple[int, str]]:
        """Steps and paths of the finished checkpoints, newest first.

        Read from the folder and not from TensorFlow's list, which may itself be torn. The index is
        written last, so a checkpoint that has one was finished.
        """
        found = []
        for path in self.folder.glob(f"{_NAME}-*.index"):
            number = re.fullmatch(rf"{_NAME}-(\d+)", path.stem)
            if number:
                found.append((int(number[1]), str(path.with_suffix(""))))
        return sorted(found, reverse=True)

    def _try(self, path: str) -> bool:
        try:
            self._checkpoint.restore(path).assert_consumed()
        except _UNREADABLE as error:
            reason = str(error).strip().splitlines()[0]
            logging.warning("Skipped the checkpoint %s, which cannot be read: %s", path, reason)
            return False
        return True
