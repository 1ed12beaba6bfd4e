"""Lists architectures, the parameter counts of their sizes, tasks, and published checkpoints."""

import argparse
import json
from typing import Any

from tfzoo.cli import screen

EXAMPLE = "tfzoo list --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo list`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Prints what there is."""
    screen.quiet_tensorflow()
    from tfzoo import models, tasks

    sizes = [row for name in models.names() for row in _sizes(models.module(name), name)]
    cards = [card for name in models.names() for card in models.module(name).PRETRAINED]
    if options.json:
        head = ("model", "variant", "parameters")
        print(
            json.dumps(
                {
                    "models": [dict(zip(head, row, strict=True)) for row in sizes],
                    "tasks": tasks.names(),
                    "checkpoints": [vars(card) for card in cards],
                },
                indent=1,
            )
        )
        return
    print(screen.table(sizes, ("model", "variant", "parameters")))
    print("\nTasks:", ", ".join(tasks.names()))
    print("\nPublished checkpoints (tfzoo convert hf://ORG/NAME OUT)")
    rows = [(c.source, c.variant, c.parameters, c.tokenizer, c.licence) for c in cards]
    print(screen.table(rows, ("source", "variant", "parameters", "tokenizer", "licence")))


def _sizes(module: Any, name: str) -> list[tuple[str, str, int]]:
    from tfzoo import models

    return [(name, size, models.count_parameters(name, size)) for size in module.VARIANTS]
