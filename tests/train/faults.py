"""A training that is killed where a test wants, in processes of its own.

    python -m tests.train.faults CONFIG WORKDIR EVENT [SIGNAL]

trains, and sends itself a signal at an event: the places where something was just changed, on disk
or in memory, are counted from 1. 0 means never. The last line is how many there were.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import yaml

from tests.train import tiny

# What makes a resume hard: random numbers, two copies of the weights, partial sums.
HARD = {
    "ema": 0.9,
    "accumulate": 2,
    "steps_per_loop": 1,
    "evaluate_every": "4 steps",
    "checkpoint_every": "3 steps",
    "duration": "15 steps",
}


def config(folder, name="a", **train):
    """The YAML file of a hard experiment on two replicas at most."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tiny.values(folder, {"dropout": 0.2}, **{**HARD, **train})))
    return path


def start(path, workdir, event=0, number=signal.SIGKILL, worker=None, hosts=()):
    """Starts a training; of several workers, that with this number."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if hosts:
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(hosts)}, "task": task})
    arguments = map(str, (path, workdir, event, int(number)))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train.faults", *arguments],
        cwd=tiny.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pair(path, workdir, events=(0, 0), number=signal.SIGKILL, folders=None):
    """Runs two workers, each until its event; gives exit codes, output, errors and seconds.

    The seconds are those between the end of the first and of the last.
    """
    with socket.socket() as one, socket.socket() as other:
        for held in (one, other):
            held.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{held.getsockname()[1]}" for held in (one, other)]
    folders = folders or (workdir, workdir)
    workers = [start(path, folders[i], events[i], number, i, hosts) for i in (0, 1)]
    ended = {}
    try:
        while len(ended) < 2:
            for i, worker in enumerate(workers):
                if i not in ended and worker.poll() is not None:
                    ended[i] = time.monotonic()
            if ended and time.monotonic() - min(ended.values()) > 60:
                raise AssertionError("a worker does not leave")
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
    said = [worker.communicate() for worker in workers]
    codes = [worker.returncode for worker in workers]
    out, errors = zip(*said, strict=True)
    return codes, out, errors, abs(ended[0] - ended[1])


def numbers(workdir):
    """Every number of the last checkpoint and of the best model, by name, as bytes."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if ".ATTRIBUTES" in n]
    names.remove("save_counter/.ATTRIBUTES/VARIABLE_VALUE")  # how often it was saved
    found = {name: np.asarray(reader.get_tensor(name)).tobytes() for name in sorted(names)}
    with h5py.File(workdir / "model" / "model.weights.h5") as file:

        def add(name, item):
            if hasattr(item, "dtype"):
                found[f"model/{name}"] = np.asarray(item[()]).tobytes()

        file.visititems(add)
    return found


def check_same(one, two):
    """Raises unless two workdirs hold the same, bit for bit."""
    first, second = numbers(one), numbers(two)
    assert len(first) > 20
    assert first.keys() == second.keys()
    assert not [name for name in first if first[name] != second[name]]
    for name in ("metrics.jsonl", "evaluation.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    for folder in (one, two):
        best = json.loads((folder / "summary.json").read_text())["best_step"]
        assert {p.stem for p in (folder / "checkpoints").glob("best-*.index")} == {f"best-{best}"}


def _main(path, workdir, event, number):
    from tfzoo.core.errors import Interrupted, UserError
    from tfzoo.tasks import folder
    from tfzoo.train.checkpoints import Checkpoints
    from tfzoo.train.loop import Loop
    from tfzoo.train.records import Records
    from tfzoo.train.run import read, run

    seen = 0

    def counted(owner, name):
        before = getattr(owner, name)

        def call(*arguments, **options):
            nonlocal seen
            found = before(*arguments, **options)
            seen += 1
            if seen == int(event):
                os.kill(os.getpid(), int(number))
            return found

        setattr(owner, name, call)

    counted(Loop, "train")
    counted(Loop, "evaluate")
    counted(Checkpoints, "save")
    counted(Checkpoints, "keep_best")
    counted(Records, "train_point")
    counted(Records, "evaluation_point")
    counted(folder, "save")
    try:
        run(read(path), pathlib.Path(workdir))
    except (UserError, Interrupted) as error:
        print("tfzoo:", error, file=sys.stderr)
        return getattr(error, "code", 2)
    print(seen)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
