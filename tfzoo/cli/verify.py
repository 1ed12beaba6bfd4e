"""Proves that an export computes what its model computes, where it will be run.

A SavedModel runs through TensorFlow's C API in another process, without XLA and without Python
graph code, as TensorFlow Serving runs it; a TFLite file runs through ai_edge_litert.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfzoo.cli import screen

if TYPE_CHECKING:
    from tfzoo.export.report import Report

EXAMPLE = "tfzoo verify exports/mine/1 --model=runs/mine/model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo verify`."""
    parser.add_argument("artefact", metavar="EXPORT", help="a version folder or a .tflite file")
    parser.add_argument("--model", required=True, metavar="DIR", help="the model folder it is of")
    parser.add_argument(
        "--library_folder",
        metavar="DIR",
        help="site-packages of another TensorFlow to run a SavedModel with",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def run(options: argparse.Namespace) -> None:
    """Prints every check; leaves with 1 when one fails."""
    screen.quiet_tensorflow()
    from tfzoo.export import verify
    from tfzoo.tasks import folder

    verify.kind_of(pathlib.Path(options.artefact))  # before the model is loaded
    task = folder.load(options.model).task
    reports = verify.verify(options.artefact, task, library_folder=options.library_folder)
    if options.json:
        print(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False))
    else:
        print(checks(reports))


def checks(reports: Iterable["Report"]) -> str:
    """What was checked and found, as a table."""
    rows = [
        (r.artefact, c.name, "ok" if c.passed else "MISS", c.measured)
        for r in reports
        for c in r.checks
    ]
    return screen.table(rows, ("export", "check", "", "measured"))
