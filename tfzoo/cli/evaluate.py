"""Scores a model on a file.

A classifier takes a TSV, CSV or JSON-lines file of texts and labels, and so does any language model
with --template and --labels. Without them, a language model takes texts, in a table, or in plain
files, a folder or a pattern of them, of any length; with --pair, what follows them. An
encoder-decoder takes a table of sources (--text) and targets (--pair).
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

from tfzoo.cli import columns, screen, zero_shot
from tfzoo.cli.parser import whole_number
from tfzoo.core.errors import UserError

EXAMPLE = "tfzoo evaluate runs/mine/model --data=test.tsv --out=scores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo evaluate`."""
    parser.add_argument("model", metavar="MODEL", help="a model folder, tfzoo's or Hugging Face's")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help=".tsv, .csv or .jsonl; or plain texts"
    )
    columns.add_columns(parser, "where there are classes")
    parser.add_argument("--batch_size", type=whole_number, default=32, metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", metavar="DIR", help="write evaluation.json (and confusion_matrix.png) there"
    )
    group = parser.add_argument_group("language models")
    group.add_argument(
        "--documents",
        choices=("file", "blank_lines", "line"),
        default="file",
        help="what a text is in plain files: a whole file (default), what stands between blank "
        "lines, or a line",
    )
    group.add_argument(
        "--stride",
        type=whole_number,
        metavar="N",
        help="of a long text, so many tokens are scored at a time, with those before them as "
        "context as far as there is room (half of what the model reads at once)",
    )
    group.add_argument(
        "--begin",
        action="store_true",
        help="put the model's token for the beginning before each text, so that its first token "
        "is scored too",
    )
    zero_shot.add_zero_shot(parser)


def run(options: argparse.Namespace) -> None:
    """Prints the figures: of all texts, or class by class."""
    screen.quiet_tensorflow()
    from tfzoo.data import tables
    from tfzoo.tasks import folder

    out = None if options.out is None else pathlib.Path(options.out).expanduser()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # now, not after the evaluation
    task = zero_shot.task(options, folder.load(options.model).task)
    if task.name != "language_model" and (options.stride is not None or options.begin):
        raise UserError(f"--stride and --begin are for language models. Received: {task.name}.")
    if hasattr(task, "evaluate"):
        table = tables.read(options.data, columns.columns(options, task.pairs))
        report = task.evaluate(table, options.batch_size, progress=sys.stderr.isatty())
        values = dataclasses.asdict(report)
        shown = (
            f"{report.table()}\n\naccuracy {report.accuracy:.4f}, macro F1 {report.macro_f1:.4f}"
        )
    elif hasattr(task, "score"):
        report = _likelihood(options, task)
        values = report.values
        shown = screen.table([(name, _figure(value)) for name, value in values.items()])
    else:
        raise UserError(
            f"Only classifiers, language models and encoder-decoders can be evaluated. "
            f"Received: {options.model}, whose task is {task.name}."
        )
    if out is not None:
        report.write(out)
    print(json.dumps(values) if options.json else shown)


def _likelihood(options: argparse.Namespace, task: Any) -> Any:
    """The figures of how likely the texts are."""
    from tfzoo.data import tables
    from tfzoo.tasks import scoring

    more: dict[str, Any] = {"batch_size": options.batch_size, "progress": sys.stderr.isatty()}
    if task.name == "language_model":
        more |= {"stride": options.stride, "begin": options.begin}
    if task.pairs or options.pair is not None or _is_table(options.data):
        table = tables.read(options.data, columns.columns(options, task.pairs, label=False))
        return scoring.report(task.score(table.texts, table.pairs, **more))
    return scoring.report(task.score(_texts(options), **more))


def _is_table(path: str) -> bool:
    """Whether it is no plain text; a folder or a pattern of JSON lines is read like one."""
    from tfzoo.data import tables

    name = path.lower().removesuffix(".gz")
    is_file = pathlib.Path(path).expanduser().is_file()
    return name.endswith((".tsv", ".csv")) or (name.endswith(tuple(tables.FORMATS)) and is_file)


def _texts(options: argparse.Namespace) -> list[str]:
    """The texts of plain files and of files of JSON lines, as they are written there."""
    from tfzoo.data import sources
    from tfzoo.data.preparation import Preparation

    how = Preparation((options.data,), "", options.documents, text_key=str(options.text))
    found = [
        text if options.documents == "file" else text.rstrip("\r\n")
        for source in sources.find(how.inputs)
        for text in sources.documents(source, how)
        if text.strip()
    ]
    if not found:
        raise UserError(f"There is nothing to score. Received: no text in {options.data}.")
    return found


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
