"""Trains a small BERT on text that every machine has, exports it, verifies it, serves it, asks it.

The question is which library a sentence comes from: the sentences are those of the documentation
inside the installed Python packages. Nothing is downloaded. What it leaves in FOLDER:

    data/           train.tsv, validation.tsv, test.tsv: no module is in two of them
    run/            what `tfzoo train` leaves: model/, logs/ for TensorBoard, experiment.yaml
    evaluation/     the figures on the test sentences, and the confusion matrix as a picture
    exports/        the SavedModel and TFLite files, each with its report

Started again with the same folder, it goes on where it was interrupted.
"""

import argparse
import pathlib
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from tfzoo.cli import screen
from tfzoo.cli.parser import port
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment, ModelChoice, TrainChoice
from tfzoo.core.files import write_aside

if TYPE_CHECKING:
    from tfzoo.data.docstrings import Sentence
    from tfzoo.export.pipeline import Summary
    from tfzoo.metrics.classification import Report

EXAMPLE = "tfzoo quickstart --folder=quickstart"
NAME = "docstrings"
STEPS = 7
_OURS = {"data", "run", "evaluation", "exports"}
_FORMS = {"precisions": ("float32", "int8"), "forms": ("token_ids",)}

Parts = dict[str, "list[Sentence]"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo quickstart`."""
    parser.add_argument("--folder", default="quickstart", metavar="DIR", help="where it all goes")
    parser.add_argument("--port", type=port, default=0, help="to serve on; any free one")


def run(options: argparse.Namespace) -> None:
    """Goes through all steps, saying what it does."""
    start = time.monotonic()
    folder = pathlib.Path(options.folder).expanduser()
    other = {path.name for path in folder.iterdir()} - _OURS if folder.is_dir() else set()
    if folder.is_file() or other:
        raise UserError(
            f"{folder} holds something else: expected a new folder, or one of an earlier "
            f"quickstart. Received: {', '.join(sorted(other)[:3]) or 'a file'}."
        )
    screen.plain_logging()
    parts = _sentences(folder / "data")
    baseline = _baseline(parts)
    screen.quiet_tensorflow()
    task = _train(folder)
    report = _evaluate(task, parts, folder / "evaluation")
    exported = _export(task, folder / "exports")
    _ask(folder / "exports" / NAME, parts["test"], options.port)
    _summarize(folder, task.model.count_params(), baseline, report, exported)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"\nAll of it took {minutes} min {seconds} s.")


def experiment(folder: pathlib.Path) -> Experiment:
    """What is trained: the same as `tfzoo train` would read from a YAML file.

    Args:
        folder: Of the quickstart, whose data are written already.
    """
    from tfzoo.tasks.classification import Data

    data = (folder / "data").resolve()
    return Experiment(
        task="classification",
        data=Data(
            train=str(data / "train.tsv"), evaluate=str(data / "validation.tsv"), max_length=64
        ),
        # Chosen on the validation sentences; more of anything only learns them by heart.
        model=ModelChoice(variant="tiny", vocab_size=4000, fields={"max_length": 64}),
        train=TrainChoice(duration="3 epochs", batch_size=32, learning_rate=5e-4),
    )


def _step(number: int, text: str) -> None:
    print(f"\n{number}/{STEPS}  {text}", flush=True)


def _say(text: str) -> None:
    print("\n".join(f"     {line}" for line in text.split("\n")), flush=True)


def _sentences(folder: pathlib.Path) -> Parts:
    from tfzoo.data import docstrings

    _step(1, "Sentences from the documentation of the installed packages")
    parts = docstrings.corpus()
    for name, rows in parts.items():
        with write_aside(folder / f"{name}.tsv") as aside:
            docstrings.write(rows, aside)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in parts.items())
    _say(f"{counts}; {len(docstrings.PACKAGES)} equally frequent classes, apart by module.")
    for sentence in parts["train"][:3]:
        _say(f'"{_short(sentence.text)}"  {sentence.label}')
    return parts


def _baseline(parts: Parts) -> "Report":
    """What counting words reaches: tf-idf of words and word pairs, and logistic regression."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from tfzoo.data.docstrings import PACKAGES
    from tfzoo.metrics import classification

    _step(2, "A baseline to beat: tf-idf and logistic regression")
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    # saga with this tolerance is as accurate here as the default solver, and 20 times faster.
    regression = LogisticRegression(C=10, solver="saga", tol=1e-2, max_iter=1000, random_state=0)
    model = make_pipeline(words, regression)
    names = sorted(PACKAGES)
    texts = {name: [s.text for s in rows] for name, rows in parts.items()}
    truth = {name: [names.index(s.label) for s in rows] for name, rows in parts.items()}
    model.fit(texts["train"], truth["train"])
    report = classification.report(np.asarray(truth["test"]), model.predict(texts["test"]), names)
    _say(f"accuracy {report.accuracy:.3f}, macro F1 {report.macro_f1:.3f} on the test sentences")
    return report


def _train(folder: pathlib.Path) -> Any:
    """Trains, or goes on, and returns the task with the best weights."""
    from tfzoo.tasks import folder as folders
    from tfzoo.train import run as training

    _step(3, "Training a small BERT from nothing")
    summary = training.run(experiment(folder), folder / "run")
    _say(
        f"best after {summary['best_step']} of {summary['steps']} steps: "
        f"accuracy {summary['accuracy']:.3f} on the validation sentences"
    )
    return folders.load(summary["model"]).task


def _evaluate(task: Any, parts: Parts, folder: pathlib.Path) -> "Report":
    from tfzoo.data import tables

    _step(4, "Evaluating on sentences from modules that it has not seen")
    table = tables.read(folder.parent / "data" / "test.tsv")
    report: Report = task.evaluate(table, batch_size=64, progress=sys.stderr.isatty())
    folder.mkdir(parents=True, exist_ok=True)
    report.write(folder)
    _say(report.table())
    return report


def _export(task: Any, folder: pathlib.Path) -> "Summary":
    from tfzoo import export

    _step(5, "Exporting a SavedModel and TFLite files, and verifying that they compute the same")
    # A server never sees a version written over; here there is none, and the paths stay as printed.
    shutil.rmtree(folder / NAME, ignore_errors=True)
    summary = export.run(task, folder, NAME, **_FORMS)
    for one in summary.reports:
        facts = one.facts
        name = "SavedModel" if one is summary.reports[0] else one.artefact
        _say(f"{name}: {len(one.checks)} checks passed, {facts['bytes'] / 1e6:.1f} MB")
    return summary


def _ask(served: pathlib.Path, test: "list[Sentence]", number: int) -> None:
    from tfzoo.serve.background import ServerProcess
    from tfzoo.serve.client import Client

    _step(6, "Serving the SavedModel and asking it over HTTP")
    questions = list({sentence.label: sentence for sentence in test}.values())[:3]
    with ServerProcess(served, NAME, number) as server:
        _say(f"POST {server.url}/v1/models/{NAME}:predict")
        answers = Client(server.url, NAME).predict([sentence.text for sentence in questions])
        code = server.stop()
    for sentence, answer in zip(questions, answers, strict=True):
        _say(f'"{_short(sentence.text)}"')
        verdict = "right" if answer["label"] == sentence.label else f"it is {sentence.label}"
        _say(f"    {answer['label']} ({answer['score']:.2f}), {verdict}")
    _say(f"the server stopped with exit code {code}")


def _summarize(
    folder: pathlib.Path, parameters: int, baseline: "Report", report: "Report", found: "Summary"
) -> None:
    _step(7, "What came out")
    rows = [
        ("tf-idf + logistic regression", baseline.accuracy, baseline.macro_f1),
        (f"BERT, {parameters / 1e6:.1f} M parameters", report.accuracy, report.macro_f1),
    ]
    _say(screen.table(rows, ("on the test sentences", "accuracy", "macro F1")))
    _say(_verdict(report, baseline))
    print()
    paths = [
        ("model", folder / "run" / "model"),
        ("confusion matrix", folder / "evaluation" / "confusion_matrix.png"),
        *((kind, path) for kind, path in found.folders.items()),
        ("curves", f"tensorboard --logdir={folder / 'run' / 'logs'}"),
        ("ask it again", f"tfzoo serve {folder / 'exports' / NAME}"),
    ]
    _say(screen.table([(name, _relative(path)) for name, path in paths]))


def _verdict(report: "Report", baseline: "Report") -> str:
    """Who is ahead, and whether so few sentences can tell."""
    rows = sum(map(sum, report.confusion))
    gain = report.accuracy - baseline.accuracy
    # Two standard errors of an accuracy; generous, for the two are right about the same sentences.
    error = 2 * (report.accuracy * (1 - report.accuracy) / rows) ** 0.5
    winner = "BERT" if gain > 0 else "The baseline"
    doubt = f", which {rows:,} sentences cannot tell from chance" if abs(gain) < error else ""
    return f"{winner} is ahead by {abs(gain):.3f}{doubt}."


def _relative(path: object) -> str:
    here = str(pathlib.Path.cwd()) + "/"
    return str(path).removeprefix(here)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
