"""A training that is killed at random, again and again, and comes to the bits of one that was not.

    python -m tests.train.kills one|mirrored|workers COUNT

says each time which worker was killed, and how long the other one took to leave.
"""

import pathlib
import random
import sys
import tempfile

from tests.train import faults

LATEST = 9  # an event, and not the first: a start that gets nowhere would never end


def compare(kind, count, folder, say=print):
    """Kills `count` times, checks all bits, and gives the longest time to leave, in seconds."""
    options = {"strategy": "mirrored", "replicas": 2} if kind == "mirrored" else {}
    duration = {"duration": f"{max(15, 2 * count)} steps"}
    path = faults.config(folder, **options, **duration)
    straight, killed = folder / "straight", folder / "killed"
    codes, _ = _start(kind, path, straight, 0, 0)
    if any(codes):
        raise AssertionError(f"The undisturbed run ended with {codes}.")
    chance, longest = random.Random(count), 0.0
    for number in range(1, count + 1):
        victim, event = chance.randrange(2), chance.randint(2, LATEST)
        codes, seconds = _start(kind, path, killed, event, victim)
        if -9 not in codes:
            raise AssertionError(f"It ended before kill {number}, with {codes}: make it longer.")
        if any(code not in (-9, 75) for code in codes):
            raise AssertionError(f"The other worker ended with {codes}, after kill {number}.")
        longest = max(longest, seconds)
        say(f"kill {number} of {count}: event {event}, codes {codes}, left after {seconds:.1f} s")
    codes, _ = _start(kind, path, killed, 0, 0)
    if any(codes):
        raise AssertionError(f"The last run ended with {codes}.")
    faults.check_same(straight, killed)
    return longest


def _start(kind, path, workdir, event, victim):
    if kind == "workers":
        events = (event, 0) if victim == 0 else (0, event)
        codes, _, _, seconds = faults.pair(path, workdir, events)
        return codes, seconds
    process = faults.start(path, workdir, event)
    process.communicate()
    return [process.returncode], 0.0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        seconds = compare(sys.argv[1], int(sys.argv[2]), pathlib.Path(scratch))
    print(f"the same bits after {sys.argv[2]} kills; a worker left after {seconds:.1f} s at most")
