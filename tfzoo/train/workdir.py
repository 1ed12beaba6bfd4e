"""The folder of a run: what it was asked to do, what it saw, and what came out.

    experiment.yaml     the experiment, every value spelled out
    data.json           what the data were: rows, labels, a fingerprint
    environment.json    for each start: versions, devices, time
    tokenizer/          a vocabulary trained by this run
    checkpoints/        for resuming
    metrics.jsonl       a line for each point of the curves
    logs/               the same for TensorBoard
    model/              a tfzoo model folder with the best weights
    evaluation.json     the best model's figures, class by class, and a picture beside it
    summary.json        written last

One process holds it at a time.
"""

import fcntl
import json
import os
import pathlib
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import tensorflow as tf

import tfzoo
from tfzoo.core import config, json_file
from tfzoo.core import experiment as experiments
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment
from tfzoo.core.files import write_aside

_OURS = ("checkpoints", "logs", "metrics.jsonl", "model", "tokenizer")
_PATTERN = set("*?[]\\")
_PACKAGES = ("tensorflow", "tensorflow-text", "keras", "numpy", "scikit-learn")


# What a run cannot go on without, and how it is called when it is no longer there.
_FIXED = {
    "fingerprint": "The data files have",
    "labels": "The labels and their order have",
    "tokenizer": "The tokenizer's entries have",
}
# Where and in what portions it runs, which may be another at the next start.
_FREE = (
    "train.strategy",
    "train.replicas",
    "train.accumulate",
    "train.steps_per_loop",
    "train.data_service",
)


class Workdir:
    """A run's folder, held by this process alone.

    Args:
        path: The folder; made when it is not there.
        experiment: What is to be run in it.
        reads_only: Whether another process holds it, and this one only looks.

    Raises:
        UserError: when the folder holds another experiment or things of somebody else, cannot be
            written, or another process is training in it.
    """

    def __init__(
        self, path: str | os.PathLike[str], experiment: Experiment, reads_only: bool = False
    ):
        self.path = pathlib.Path(path).expanduser()
        self.experiment = experiment
        self.checkpoints = self.path / "checkpoints"
        self.logs = self.path / "logs"
        self.metrics = self.path / "metrics.jsonl"
        self.model = self.path / "model"
        self.tokenizer = self.path / "tokenizer"
        if reads_only:
            return
        self._check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(f"Another process is training in {self.path}. Wait for it.") from None
        if not (self.path / "experiment.yaml").exists() and self.tokenizer.exists():
            shutil.rmtree(self.tokenizer)  # of a start that did not come to its first step

    def mark(self, text: str) -> None:
        """Writes what other workers look for, to see that they share the folder."""
        self._lock.truncate(0)
        self._lock.write(text)
        self._lock.flush()

    def has_mark(self, text: str) -> bool:
        """Whether the folder's holder wrote this mark."""
        try:
            return (self.path / ".lock").read_text(encoding="utf-8") == text
        except OSError:
            return False

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the folder."""
        self._lock.close()

    def begin(self, data: Mapping[str, Any]) -> None:
        """Writes what the run is, before its first step, and notes that it was started.

        Args:
            data: What the data are: `fingerprint`, `labels`, `tokenizer` and whatever else.

        Raises:
            UserError: when the run was begun with other data, labels or another vocabulary.
        """
        known = self.path / "data.json"
        before = json_file.read_object(known) if known.exists() else data
        for key, what in _FIXED.items():
            if before.get(key) != data.get(key):
                raise UserError(
                    f"{what} changed since the run in {self.path} was begun. Restore them, or "
                    "choose another workdir."
                )
        # What a kill in the middle of `folder_aside` leaves; nobody else is writing here.
        for stale in (*self.path.glob(".model.*"), *self.path.glob(".tokenizer.*")):
            shutil.rmtree(stale)
        experiments.write(self.experiment, self.path / "experiment.yaml")
        _write(known, data)
        starts = self.path / "environment.json"
        earlier = json_file.read_object(starts)["starts"] if starts.exists() else []
        _write(starts, {"starts": [*earlier, environment()]})

    def summary(self) -> dict[str, Any] | None:
        """What the finished run returned, or None when it is not finished."""
        path = self.path / "summary.json"
        if not path.exists():
            return None
        return {**json_file.read_object(path), "model": str(self.model)}  # it may have been moved

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Notes that the run is finished."""
        _write(self.path / "summary.json", summary)

    def _check(self) -> None:
        wrong = sorted(set(str(self.path)) & _PATTERN)
        if wrong:
            raise UserError(
                f"TensorFlow cannot restore checkpoints from a path with {' or '.join(wrong)} in "
                f"it, which it takes for a pattern. Choose another workdir. Received: {self.path}."
            )
        known = self.path / "experiment.yaml"
        if self.path == pathlib.Path() or (self.path.exists() and not self.path.is_dir()):
            raise UserError(f"workdir must be a folder of its own. Received: {self.path}.")
        if known.exists():
            there, here = config.read_yaml(known), config.to_dict(self.experiment)
            for key, before, now in _differences(there, here):
                if key in _FREE:
                    continue
                raise UserError(
                    f"{self.path} holds a run of another experiment. Choose another workdir, or "
                    f"remove that one. `{key}` is {before} there. Received: {key}={now}."
                )
            return
        foreign = [name for name in _OURS if (self.path / name).exists()]
        if foreign == ["tokenizer"] and (self.path / ".lock").exists():
            return
        if foreign:
            raise UserError(
                f"{self.path} is no workdir of a run, but holds what a run would write over: "
                f"{', '.join(foreign)}. Choose another workdir."
            )


def environment() -> dict[str, Any]:
    """What this process runs on."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "tfzoo": tfzoo.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "devices": [device.name for device in tf.config.list_logical_devices()],
    }


def _write(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    with write_aside(path) as aside:
        json_file.write(aside, values)


def _git_commit() -> str | None:
    """The commit that is checked out where tfzoo stands, if it stands in a checkout."""
    folder = pathlib.Path(tfzoo.__file__).parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _differences(there: Any, here: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The keys whose values differ, depth first, in the order of `here`."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        if there != here:
            yield path, json.dumps(there), json.dumps(here)
        return
    for key in [*here, *(key for key in there if key not in here)]:
        inner = f"{path}.{key}" if path else key
        yield from _differences(there.get(key), here.get(key), inner)
