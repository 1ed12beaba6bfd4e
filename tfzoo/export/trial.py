"""Runs an exported model in a process of its own, without TensorFlow's Python half.

    parent: run(artefact, requests) ─► python -m tfzoo.export.trial FOLDER ─► answers, facts

A fresh process, because only there nothing of the live model can help: no Python graph code, no
registered layers, no XLA. What fails or crashes here would do so on a server.
"""

import os
import pathlib
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import warm_up
from tfzoo.export.child import run_module

Answer = dict[str, np.ndarray] | str  # the arrays by name, or the message of an error

_TIMED_RUNS = 15


class TrialError(Exception):
    """The child process did not come to an end: it crashed, hung, or could not load the model."""


def run(
    artefact: str | os.PathLike[str],
    requests: Iterable[warm_up.Request],
    timed: warm_up.Request,
    visit: Callable[[int, Answer], None],
    library_folder: str | None = None,
    timeout_seconds: float = 1800,
) -> dict[str, Any]:
    """Runs the requests on a SavedModel's folder or a TFLite file.

    Args:
        artefact: The version folder, or the file.
        requests: What to ask.
        timed: What to ask again and again for the latency.
        visit: Called with the number of each request and its answer, or the error it met.
        library_folder: The site-packages folder of another TensorFlow to run a SavedModel with.
        timeout_seconds: After how long the child is given up.

    Returns:
        Facts: `tensorflow_imported`, `runtime`, `milliseconds` (None when the timed request
        failed).

    Raises:
        TrialError: when the child cannot load the model, crashes or hangs.
    """
    with tempfile.TemporaryDirectory(prefix="tfzoo-trial-") as name:
        folder = pathlib.Path(name)
        count = 0
        for count, request in enumerate(requests, 1):
            _dump(folder / f"request-{count - 1}", request)
        job = {"artefact": os.fspath(artefact), "count": count, "timed": timed}
        _dump(folder / "job", {**job, "library_folder": library_folder})
        _wait(folder, timeout_seconds)
        for number in range(count):
            visit(number, _load(folder / f"answer-{number}"))
        facts: dict[str, Any] = _load(folder / "facts")
        return facts


def child(folder: pathlib.Path) -> None:
    """The child's side: answers every request of the job in `folder`."""
    job = _load(folder / "job")
    ask, facts = _opened(job)
    for number in range(job["count"]):
        _dump(folder / f"answer-{number}", _answer(ask, _load(folder / f"request-{number}")))
    facts["milliseconds"] = _median_milliseconds(ask, job["timed"])
    facts["tensorflow_imported"] = "tensorflow" in sys.modules
    _dump(folder / "facts", facts)


def _opened(job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if os.path.isdir(job["artefact"]):
        from tfzoo.export.session import Session

        session = Session(job["artefact"], library_folder=job["library_folder"])
        return session.run, {"runtime": f"TensorFlow {session.tensorflow_version}, C API, XLA off"}
    import importlib.metadata

    from tfzoo.export import lite_writer

    ask = lite_writer.opened(job["artefact"], threads=os.cpu_count() or 1)
    version = importlib.metadata.version("ai-edge-litert")
    return ask, {"runtime": f"LiteRT {version}"}


def _answer(ask: Any, request: warm_up.Request) -> Answer:
    try:
        answer: dict[str, np.ndarray] = ask(request.signature, **request.inputs)
        return answer
    except UserError as error:
        return str(error)


def _median_milliseconds(ask: Any, request: warm_up.Request) -> float | None:
    seconds = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        if isinstance(_answer(ask, request), str):
            return None
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:]) * 1000


def _wait(folder: pathlib.Path, timeout_seconds: float) -> None:
    try:
        done = run_module("tfzoo.export.trial", str(folder), timeout_seconds=timeout_seconds)
    except subprocess.TimeoutExpired:
        raise TrialError(f"no answer within {timeout_seconds:.0f} s") from None
    if done.returncode:
        raise TrialError(f"exit code {done.returncode}: {_last_words(done.stderr)}")


def _last_words(stderr: str) -> str:
    """The message of an exception or of a crash, without the frames that follow the latter."""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith("    @")]
    crash = [line for line in lines if "Check failed" in line]
    return (crash or lines or ["no message"])[-1][:500]


def _dump(path: pathlib.Path, value: Any) -> None:
    with path.open("wb") as file:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)


def _load(path: pathlib.Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


if __name__ == "__main__":
    child(pathlib.Path(sys.argv[1]))
