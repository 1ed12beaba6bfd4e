"""Trains a model as a YAML file says, and leaves the best one in WORKDIR/model.

WORKDIR also holds experiment.yaml (what was run), checkpoints/ (the same command goes on from the
last one) and logs/ (tensorboard --logdir=WORKDIR/logs).
"""

import argparse
import os
import pathlib
import shlex
import sys
from typing import TYPE_CHECKING

from tfzoo.cli import screen

if TYPE_CHECKING:
    from tfzoo.core.experiment import Experiment

EXAMPLE = (
    "tfzoo train --config=configs/bert/classify_tsv.yaml --workdir=runs/mine \\\n"
    "      --set data.train=train.tsv data.evaluate=dev.tsv --set train.batch_size=16"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo train`."""
    add_config(parser, required=True)
    parser.add_argument("--workdir", required=True, metavar="DIR", help="where the run is kept")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="train in N processes on this machine, as on N machines",
    )


def add_config(
    parser: argparse.ArgumentParser,
    required: bool,
    what: str = "the experiment, a YAML file",
    example: str = "train.batch_size=16",
) -> None:
    """Adds `--config` and `--set`, with these words in their help."""
    parser.add_argument("--config", required=required, metavar="FILE", help=what)
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=f"change a key of it, such as {example}; any number of them",
    )


def fast_products() -> None:
    """Asks TensorFlow for oneDNN's products, before it is imported.

    By itself (2.21) it does so on processors with AVX-512 only, and on others a training step takes
    up to a third longer. `TF_ENABLE_ONEDNN_OPTS=0` leaves them out.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def check_model(experiment: "Experiment") -> None:
    """Builds the config of a new model, so that a mistake is said before anything long is done.

    Raises:
        UserError: for an architecture, size or field that there is not.
    """
    from tfzoo import models

    choice = experiment.model
    if choice.load is None:
        models.config(choice.name, choice.variant, **choice.fields)


def run(options: argparse.Namespace) -> int:
    """Trains, and says how good the model is and where."""
    if options.workers is not None:
        from tfzoo.train import launch

        overrides = ["--set", *options.set] if options.set else []
        where = [f"--config={options.config}", f"--workdir={options.workdir}"]
        program = [sys.executable, "-m", "tfzoo.cli.main", "train"]
        return launch.local_workers(options.workers, [*program, *where, *overrides])
    fast_products()
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo.train import run as training

    experiment = training.read(options.config, options.set)
    check_model(experiment)
    summary = training.run(experiment, options.workdir)
    scores = {name: value for name, value in summary.items() if isinstance(value, float)}
    print(screen.table([("step", summary["best_step"]), *scores.items()]))
    print(f"\nModel:       {summary['model']}")
    print(f"Evaluation:  {pathlib.Path(options.workdir) / 'evaluation.json'}")
    logs = shlex.quote(str(pathlib.Path(options.workdir) / "logs"))
    print(f"Curves:      tensorboard --logdir={logs}")
    return 0
