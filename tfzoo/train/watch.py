"""Another worker is gone: this one leaves too, soon, and says how to go on.

TensorFlow's own heartbeats (2.21) stop a collective operation some 10 seconds after a process died,
with an exception of dozens of lines; while Python builds a graph it hears nothing, and at the
process's end it waits for the dead. So each worker tries every other second whether the chief's
port is open, the chief those of all: a process that died has none, a machine that died does not
answer. There is nothing that a process could still do then, so it is ended.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable
from types import TracebackType

import tensorflow as tf

GONE = 75  # the exit code, which sysexits.h gives to what is to be tried again
_SECONDS_BETWEEN = 2.0
_TRIES_REFUSED = 2  # no process listens
_TRIES_UNANSWERED = 6  # no answer: a machine that is off, or a very busy one
_SECONDS_TO_LEAVE = 5.0  # for a main thread that is about to leave by itself, for a reason it knows
_SECONDS_TO_TELL = 15.0  # what an exception of TensorFlow is about
_OF_OTHERS = (tf.errors.UnavailableError, tf.errors.AbortedError)  # can only come of the others


class Watch:
    """Within it, this process is ended when another that it trains with is gone.

    Args:
        strategy: Says who the others are; without any, nothing happens.
        before_leaving: Called before the process is ended.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        before_leaving: Callable[[], object] | None = None,
    ):
        self._others = _others(strategy)
        self._before_leaving = before_leaving
        self._gone = threading.Event()
        self._is_over = threading.Event()

    def __enter__(self) -> "Watch":
        if self._others:
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves when the error comes of another worker's death."""
        is_theirs = (
            bool(self._others)
            and isinstance(error, tf.errors.OpError)
            and (isinstance(error, _OF_OTHERS) or self._gone.wait(_SECONDS_TO_TELL))
        )
        self._is_over.set()
        if is_theirs:
            self._leave()

    def _look(self) -> None:
        refused = dict.fromkeys(self._others, 0)
        unanswered = dict(refused)
        while not self._is_over.wait(_SECONDS_BETWEEN):
            for other in self._others:
                heard = _hears(other)
                refused[other] = refused[other] + 1 if heard is False else 0
                unanswered[other] = unanswered[other] + 1 if heard is None else 0
            if (
                max(refused.values()) >= _TRIES_REFUSED
                or max(unanswered.values()) >= _TRIES_UNANSWERED
            ):
                self._gone.set()
                if not self._is_over.wait(_SECONDS_TO_LEAVE):
                    self._leave()
                return

    def _leave(self) -> None:
        if self._before_leaving is not None:
            self._before_leaving()
        print(
            "tfzoo: Another worker is gone, so this one stops too. What that one printed says why. "
            "Start all of them with the same command again: they go on from the last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(GONE)


def _others(strategy: tf.distribute.Strategy) -> list[str]:
    """The addresses of those whose death this process has to notice."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return []
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict()
    addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
    own = jobs[resolver.task_type][resolver.task_id]
    return addresses[1:] if own == addresses[0] else addresses[:1]


def _hears(address: str) -> bool | None:
    """Whether a process listens there; None: no answer."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return None
    return True
