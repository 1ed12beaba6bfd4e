"""Proves that an export answers as the live model does, where nothing but the export is there.

    golden texts ─► live model, one at a time ─────────────────────────────┐
                └─► the export in a child process, alone and in batches ───┴─► compare ─► report

A SavedModel runs through TensorFlow's C API, as TensorFlow Serving runs it, a TFLite file through
LiteRT, as a phone does; neither child imports TensorFlow.
"""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import golden, meta_graph, trial, warm_up
from tfzoo.export import inspect_saved_model as inspect
from tfzoo.export.compare import Mismatch, difference, unpack
from tfzoo.export.golden import Golden, Goldens
from tfzoo.export.report import Check, Report
from tfzoo.export.report import VerificationError as VerificationError
from tfzoo.export.verify_generation import SIGNATURES, Writing
from tfzoo.tasks.task import Task

# Largest difference to the live model, of numbers above 1 relative to the largest of a row.
TOLERANCE = 1e-5
_BATCH_SIZE = 8
_BATCH_BYTES = 200_000_000
_TIMED_LENGTH = 128


def verify(
    artefact: str | os.PathLike[str],
    task: Task,
    *,
    texts: Sequence[str] = (),
    delete: bool = False,
    library_folder: str | None = None,
) -> list[Report]:
    """Verifies what `tfzoo export` wrote.

    Args:
        artefact: A version folder, of a SavedModel or of TFLite files, or one TFLite file.
        task: The live model to compare with.
        texts: Further texts to compare answers on, besides `golden.TEXTS`.
        delete: Whether to delete the artefact when it does not verify.
        library_folder: The site-packages folder of another TensorFlow to run a SavedModel with.

    Returns:
        A report for the SavedModel, or for each TFLite file.

    Raises:
        UserError: when there is nothing of the kind at `artefact`.
        VerificationError: when anything is not as it must be.
    """
    path = pathlib.Path(artefact)
    kind = kind_of(path)
    goldens = golden.Goldens(task, texts)
    if kind == "savedmodel":
        reports = [verify_saved_model(path, task, goldens, library_folder)]
    else:
        from tfzoo.export.verify_tflite import verify_tflite

        files = [path] if path.is_file() else sorted(path.glob("*.tflite"))
        reports = [verify_tflite(file, task, goldens) for file in files]
    if not all(report.passed for report in reports):
        if delete:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise VerificationError(reports, "it was deleted" if delete else "it was left as it is")
    return reports


def kind_of(path: pathlib.Path) -> str:
    """What an exported folder or file is: `savedmodel` or `tflite`.

    Raises:
        UserError: when it is neither.
    """
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    if path.suffix == ".tflite" and path.is_file():
        return "tflite"
    if path.is_dir() and any(path.glob("*.tflite")):
        return "tflite"
    raise UserError(
        "nothing exported there. Expected a version folder with saved_model.pb or *.tflite, or a "
        f".tflite file. Received: {path}."
    )


def verify_saved_model(
    folder: pathlib.Path, task: Task, goldens: Goldens, library_folder: str | None = None
) -> Report:
    """Makes every check of a SavedModel; it is only run when nothing is wrong with its files.

    Raises:
        UserError: when there is no readable SavedModel.
    """
    contents = meta_graph.read(folder)
    checks = inspect.checks(folder, contents, task)
    facts: dict[str, Any] = {
        "bytes": inspect.folder_bytes(folder),
        "weight_bytes": inspect.weight_bytes(task),
        "parameters": task.model.count_params(),
        "written_by_tensorflow": contents.tensorflow_version,
    }
    if all(check.passed for check in checks):
        found, measured = _run(folder, contents, task, goldens(), library_folder)
        checks += found
        facts |= measured
    return Report("SavedModel", tuple(checks), facts)


@dataclasses.dataclass
class Answers:
    """Collects how far answers are from the live model's.

    Attributes:
        worst: Largest difference so far, of the answers that could be compared.
        worst_at: Which answer that was.
        count: Number of rows asked for.
        wrong: What was wrong otherwise.
    """

    worst: float = 0.0
    worst_at: str = ""
    count: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, case: golden.Case, answer: trial.Answer, specs: Any = None) -> None:
        """Compares one answer, row by row."""
        signature = case.request.signature
        try:
            if isinstance(answer, str):
                raise Mismatch(answer)
            rows = unpack(case, answer, specs)
        except Mismatch as mismatch:
            self.count += len(case.goldens)
            self.wrong += [f"{signature}: {mismatch}"] * len(case.goldens)
            return
        for row, wanted in zip(rows, case.goldens, strict=True):
            self.count += 1
            text = wanted.columns.get("text", b"").decode("utf-8", "replace")[:30]
            try:
                found = difference(row, wanted.answers[signature])
            except Mismatch as mismatch:
                self.wrong.append(f"{signature} of {text!r}: {mismatch}")
                continue
            if found > self.worst:
                self.worst, self.worst_at = found, f"{signature} of {text!r}"

    def check(self, name: str) -> Check:
        """The check that all answers were near enough."""
        passed = not self.wrong and self.count > 0 and self.worst <= TOLERANCE
        measured = f"largest difference {self.worst:.1e} in {self.count} answers"
        if self.worst > TOLERANCE:
            measured += f", {self.worst_at}"
        if self.wrong:
            measured = f"{len(self.wrong)} wrong of {self.count}, such as {self.wrong[0]}"
        return Check(name, passed, measured, f"within {TOLERANCE:.0e} of the live model's")


def _run(
    folder: pathlib.Path,
    contents: meta_graph.MetaGraph,
    task: Task,
    goldens: list[Golden],
    library_folder: str | None,
) -> tuple[list[Check], dict[str, Any]]:
    writing = Writing(task) if golden.writes(task) else None
    names = [n for n in contents.signatures if writing is None or n not in SIGNATURES]
    cases = list(golden.cases(task, goldens, names, batch_size(goldens)))
    warming = warm_up.read(folder)
    alone, batched, cold = Answers(), Answers(), list[str]()

    def visit(number: int, answer: trial.Answer) -> None:
        if number < len(cases):
            case = cases[number]
            specs = contents.signatures[case.request.signature].outputs
            (alone if len(case.goldens) == 1 else batched).add(case, answer, specs)
        elif number < len(cases) + len(warming):
            cold.extend([answer] if isinstance(answer, str) else [])
        elif writing is not None:
            writing.visit(number - len(cases) - len(warming), answer)

    requests = [*(case.request for case in cases), *warming]
    requests += writing.requests if writing is not None else []
    try:
        facts = trial.run(folder, requests, timed_request(task), visit, library_folder)
    except trial.TrialError as error:
        return [Check("runs in a session", False, str(error), "loaded and asked, in C")], {}
    checks = [
        alone.check("answers to single texts"),
        batched.check("answers to batches"),
        Check(
            "warm-up replay",
            not cold,
            f"{len(warming) - len(cold)} answered" + (f"; {cold[0]}" if cold else ""),
            f"all {len(warming)} answered",
        ),
        runtime_check(facts),
    ]
    checks += writing.checks() if writing is not None else []
    measured = {key: facts[key] for key in ("runtime", "milliseconds")}
    return checks, {**measured, "texts": len(goldens)}


def runtime_check(facts: dict[str, Any]) -> Check:
    """The check that the child had no TensorFlow to lean on, and answered the timed request."""
    imported, milliseconds = facts["tensorflow_imported"], facts["milliseconds"]
    measured = f"TensorFlow {'was' if imported else 'not'} imported, "
    measured += "no answer" if milliseconds is None else f"{milliseconds:.2f} ms"
    return Check(
        f"latency with {facts['runtime']}",
        not imported and milliseconds is not None,
        measured,
        "measured without `import tensorflow`",
    )


def batch_size(goldens: Sequence[Golden]) -> int:
    """How many rows a batch may have so that its answer stays small: fewer for large outputs."""
    row = max(
        sum(array.nbytes for array in answer.values())
        for one in goldens
        for answer in one.answers.values()
    )
    return max(2, min(_BATCH_SIZE, _BATCH_BYTES // max(1, row)))


def timed_request(task: Task) -> warm_up.Request:
    """One row of 128 tokens, or of as many as the task takes."""
    length = min(_TIMED_LENGTH, task.max_length)
    inputs = {
        "token_ids": np.ones([1, length], np.int32),
        "lengths": np.array([length], np.int32),
    }
    if task.pairs:
        inputs["first_lengths"] = np.array([length // 2], np.int32)
    return warm_up.Request("token_ids", inputs)
