"""Scores a classifier on a TSV, CSV or JSON-lines file of texts and labels."""

import argparse
import dataclasses
import json
import pathlib
import sys

from tfzoo.cli import columns, screen
from tfzoo.cli.parser import whole_number
from tfzoo.core.errors import UserError

EXAMPLE = "tfzoo evaluate runs/mine/model --data=test.tsv --out=scores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo evaluate`."""
    parser.add_argument("model", metavar="MODEL", help="a model folder, tfzoo's or Hugging Face's")
    parser.add_argument("--data", required=True, metavar="FILE", help=".tsv, .csv or .jsonl")
    columns.add_columns(parser, label=True)
    parser.add_argument("--batch_size", type=whole_number, default=32, metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", metavar="DIR", help="write evaluation.json and confusion_matrix.png there"
    )


def run(options: argparse.Namespace) -> None:
    """Prints accuracy, macro F1 and the figures of each class."""
    screen.quiet_tensorflow()
    from tfzoo.data import tables
    from tfzoo.tasks import folder

    out = None if options.out is None else pathlib.Path(options.out).expanduser()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # now, not after the evaluation
    task = folder.load(options.model).task
    if not hasattr(task, "evaluate"):
        raise UserError(
            f"Only classifiers can be evaluated yet. Received: {options.model}, whose task is "
            f"{task.name}."
        )
    table = tables.read(options.data, columns.columns(options, task.pairs))
    report = task.evaluate(table, options.batch_size, progress=sys.stderr.isatty())
    if out is not None:
        report.write(out)
    if options.json:
        print(json.dumps(dataclasses.asdict(report)))
        return
    print(report.table())
    print(f"\naccuracy {report.accuracy:.4f}, macro F1 {report.macro_f1:.4f}")
