"""Contestants of a benchmark, each in a process of its own that waits until it is asked.

The parent asks one after the other, several rounds over, so that a slow minute of the machine hits
them all.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from tfzoo.core.errors import UserError

Run = Callable[[int, int], float]  # batch, length -> seconds
Shapes = Sequence[tuple[int, int]]
Seconds = dict[tuple[str, int, int], list[float]]


def chosen(only: str, known: Sequence[str]) -> list[str]:
    """The contestants that `--only=a,b` names, or all.

    Raises:
        UserError: when one is not known.
    """
    names = only.split(",") if only else list(known)
    for name in names:
        if name not in known:
            raise UserError(f"No such contestant. Expected {', '.join(known)}. Received: {name}.")
    return names


def compare(
    command: Sequence[str], shapes: Mapping[str, Shapes], rounds: int, repeats: int
) -> Seconds:
    """Starts the contestants and asks them in turns.

    Args:
        command: Starts a contestant, its name in the place of "NAME", which then calls `serve`.
        shapes: What each contestant is asked for, by its name.
        rounds: How often each is asked.
        repeats: Of how many runs a turn is the best.

    Returns:
        The seconds of each turn, by contestant, batch and length. One that cannot start is left out
        and said on stderr.
    """
    workers = {name: worker for name in shapes if (worker := _start(command, name))}
    seconds: Seconds = {}
    try:
        for _ in range(rounds):
            for name, worker in workers.items():
                for batch, length in shapes[name]:
                    best = _ask(worker, batch, length, repeats)
                    seconds.setdefault((name, batch, length), []).append(best)
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()
    return seconds


def serve(run: Run, shapes: Shapes, orders: IO[str]) -> None:
    """What a contestant does: warms up, and answers with the best of as many runs as asked for."""
    for batch, length in shapes:
        run(batch, length)  # traces, compiles, allocates
    print("ready", flush=True)
    for line in orders:
        batch, length, repeats = map(int, line.split())
        run(batch, length)  # brings caches and clock back
        print(min(run(batch, length) for _ in range(repeats)), flush=True)


def _start(command: Sequence[str], name: str) -> "subprocess.Popen[str] | None":
    print(f"starting {name} ...", file=sys.stderr, flush=True)
    pipe = subprocess.PIPE
    full = [name if word == "NAME" else word for word in command]
    worker = subprocess.Popen(full, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    reply = worker.stdout.readline() if worker.stdout else ""
    if reply.strip() == "ready":
        return worker
    reason = worker.communicate()[1].strip().splitlines()
    print(f"  left out: {reason[-1] if reason else 'it died'}", file=sys.stderr)
    return None


def _ask(worker: "subprocess.Popen[str]", batch: int, length: int, repeats: int) -> float:
    stdin, stdout = worker.stdin, worker.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("the worker has no pipes")
    print(batch, length, repeats, file=stdin, flush=True)
    return float(stdout.readline())
