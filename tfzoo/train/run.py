"""A training run, from an experiment to a model folder; run again, it goes on where it stopped.

A task that can be trained has, in its module, a dataclass `Data` and `read(data) -> corpus`. A
corpus has `labels` (or None), `texts()`, `model_fields()`, `task(model, tokenizer, data)`,
`sources(task, seed, fixed)`, `facts()`, `describe()` and `fingerprint()`; the task has `forward`,
`count`, `loss`, `kept`, `scores`, `report` and `figures`. For TensorBoard the corpus may have
`samples(task, count)`, and the task what `tfzoo.train.views` names.
`tfzoo.tasks.classification` shows them.
"""

import contextlib
import os
import pathlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tfzoo import tasks
from tfzoo.core import experiment as experiments
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment
from tfzoo.train import strategies
from tfzoo.train.determinism import deterministic
from tfzoo.train.stop import Stop
from tfzoo.train.trainer import Trainer
from tfzoo.train.watch import Watch
from tfzoo.train.workdir import Workdir

_SECONDS_TO_SEE = 30.0  # of a shared file system


def read(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Experiment:
    """Reads an experiment from YAML, with `key=value` overrides.

    Raises:
        UserError: for a file, key or value that is wrong, or a task that cannot be trained.
    """
    values = experiments.read(os.fspath(path), overrides)
    name = values.get("task")
    if not isinstance(name, str):
        raise UserError(f"{path} must say its task, such as `task: classification`.")
    return experiments.check(values, tasks.trainable(name).Data)


def run(experiment: Experiment, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, and keeps the best model in the run's folder.

    Sets the process's random seeds. A run that was stopped, in whatever way, goes on from its last
    checkpoint, to the same weights; a finished one only returns its summary again. Of several
    workers each calls this, with the same folder on a file system that all share; the chief alone
    writes to it. When one of them is gone, the others end their processes, with exit code 75.

    Args:
        experiment: What to train.
        workdir: The run's folder; `tfzoo.train.workdir` lists what comes to stand in it.

    Returns:
        What summary.json holds: `steps`, `best_step`, the evaluation's figures at that step,
        `rows`, `evaluation_rows`, what the corpus says of itself, such as `labels`, and `model`,
        the path of the best model's folder.

    Raises:
        UserError: for everything that the user can mend, such as a loss that is no number.
        Interrupted: when SIGTERM or Ctrl-C asked to stop; everything is saved.
    """
    # First of all, because the CPU cannot be split once TensorFlow has run something.
    strategy = strategies.choose(experiment.train)
    number, path = strategies.worker(strategy), pathlib.Path(workdir)
    with contextlib.ExitStack() as held:
        if number == 0:
            held.enter_context(Watch(strategy))
            origin = work = held.enter_context(Workdir(path, experiment))
        else:
            # Every worker does all that the chief does, but into a folder that nobody reads.
            aside = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = pathlib.Path(held.enter_context(aside)) / "run"
            held.enter_context(_only_warnings())
            held.enter_context(Watch(strategy, aside.cleanup))
            work = held.enter_context(Workdir(folder, experiment))
            origin = Workdir(path, experiment, reads_only=True)
        return _run(experiment, work, origin, strategy)


def _run(
    experiment: Experiment, work: Workdir, origin: Workdir, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
    _check_shared(work, origin, strategy)
    summary = origin.summary()
    strategies.wait_for_all(strategy)  # so that all see the same finished run, or none
    if summary is None:
        with Stop() as stop, deterministic(experiment.train.deterministic):
            keras.utils.set_random_seed(experiment.seed % 2**32)
            summary = Trainer(experiment, work, origin, strategy, stop).train()
        work.finish(summary)
        strategies.wait_for_all(strategy)
        summary = origin.summary() or summary
    return summary


def _check_shared(work: Workdir, origin: Workdir, strategy: tf.distribute.Strategy) -> None:
    """Makes sure that every worker sees what the chief writes."""
    chosen = random.SystemRandom().randrange(1, 2**16) if origin is work else 0
    mark = str(int(strategies.total(strategy, chosen)))
    if origin is work:
        work.mark(mark)
    strategies.wait_for_all(strategy)
    until = time.monotonic() + _SECONDS_TO_SEE
    while not (sees := origin.has_mark(mark)) and time.monotonic() < until:
        time.sleep(0.5)
    if strategies.total(strategy, 0 if sees else 1):
        raise UserError(
            "workdir must be a folder that all workers share, but some do not see what the chief "
            f"writes. Choose one on a shared file system. Received: workdir={origin.path}."
        )


@contextlib.contextmanager
def _only_warnings() -> Iterator[None]:
    """Within it, what the chief says is said by it alone."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
