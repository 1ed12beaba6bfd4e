"""Several workers on this machine, each a process of its own: for trying out, and for many CPUs."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO

from tfzoo.core.errors import UserError

_SECONDS_TO_LEAVE = 30.0
# Below the ports that outgoing connections take, so that none is taken before the workers listen.
_PORTS = range(15_000, 32_000)


def local_workers(count: int, command: Sequence[str]) -> int:
    """Runs a command once for each worker and returns when all have ended.

    Each finds the others by TF_CONFIG. What the first, the chief, prints is seen; of the others
    only what they print to stderr, each line with the worker's number. SIGTERM and Ctrl-C go to all
    of them; the second time, they are ended at once. When one dies, the others have 30 seconds to
    leave by themselves.

    Args:
        count: How many.
        command: The program and its arguments.

    Returns:
        The exit code of the worker that ended first with one above 0, or 0.

    Raises:
        UserError: when `count` is below 2, or TF_CONFIG says already who the workers are.
    """
    if count < 2:
        raise UserError(f"workers must be at least 2; leave it out for one. Received: {count}.")
    if "TF_CONFIG" in os.environ:
        raise UserError("TF_CONFIG names the workers already: leave --workers out, or unset it.")
    hosts = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    # Temporary files of all, so that none stay when a worker is killed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        processes: list[subprocess.Popen[bytes]] = []
        with _passing_on(processes):
            try:
                for i in range(count):
                    processes.append(_start(command, hosts, i, scratch))
                readers = [_repeat(p.stderr, i) for i, p in enumerate(processes) if p.stderr]
                code = _wait(processes)
            finally:
                _end(processes)
        for reader in readers:
            reader.join(1.0)
    return 128 - code if code < 0 else code  # as shells say that a signal ended it


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            one = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", random.SystemRandom().choice(_PORTS)))
                found.append(one.getsockname()[1])
        return found


def _start(
    command: Sequence[str], hosts: list[str], index: int, scratch: str
) -> subprocess.Popen[bytes]:
    task = {"type": "worker", "index": index}
    cluster = json.dumps({"cluster": {"worker": hosts}, "task": task})
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": cluster, "TMPDIR": scratch},
        stdout=None if index == 0 else subprocess.DEVNULL,
        stderr=None if index == 0 else subprocess.PIPE,
        start_new_session=True,  # so that Ctrl-C reaches them once, from here
    )


def _repeat(lines: IO[bytes], index: int) -> threading.Thread:
    """Prints what a worker says to stderr, with its number."""

    def repeat() -> None:
        with lines:
            for line in lines:
                print(f"worker {index}: {line.decode(errors='replace').rstrip()}", file=sys.stderr)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def _passing_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Within it, signals that ask to stop go to all workers; from the second on, they are ended."""
    times = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        for process in processes:
            process.send_signal(number if times == 1 else signal.SIGKILL)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    first, deadline = 0, float("inf")
    while None in [process.poll() for process in processes]:
        failed = [p.returncode for p in processes if p.returncode]
        if failed and not first:
            first, deadline = failed[0], time.monotonic() + _SECONDS_TO_LEAVE
        if time.monotonic() > deadline:
            _end(processes)
        time.sleep(0.1)
    return first or next((p.returncode for p in processes if p.returncode), 0)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
