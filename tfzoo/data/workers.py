"""Runs tasks one after the other in this process, or in several, each with TensorFlow of its own.

TensorFlow is not imported here: a new process imports this module before it can be told to keep
TensorFlow's greetings off the screen.
"""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@contextlib.contextmanager
def start(count: int) -> Iterator[Run]:
    """Yields what maps a function over tasks, in `count` processes, results as they come.

    The processes end with the body, whatever ends it, and when this process is killed.
    """
    if count == 1:
        yield map
        return
    # A forked TensorFlow hangs; spawned processes begin empty.
    with multiprocessing.get_context("spawn").Pool(count, initializer=_begin) as pool:
        yield pool.imap_unordered


def _begin() -> None:
    sys.stderr.flush()
    screen = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        import tensorflow as tf
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(silence)
    # As many threads as processes: each has one core.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
