"""Writes a SavedModel and TFLite files into OUT/NAME, verified before they take their place.

    OUT/NAME/VERSION/              the SavedModel, for tfzoo serve and TensorFlow Serving
    OUT/NAME/tflite/VERSION/       TFLite files: from ids and from text; float32, float16, int8

Each folder holds report.json (what was verified) and README.md (how to use it). An export that does
not verify is deleted, and the command exits 1.
"""

import argparse

from tfzoo.cli import predict, screen
from tfzoo.cli.parser import names, whole_number
from tfzoo.cli.verify import checks

EXAMPLE = "tfzoo export runs/mine/model exports --name=mine --format=savedmodel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo export`."""
    parser.add_argument("model", metavar="MODEL", help="a model folder, tfzoo's or Hugging Face's")
    parser.add_argument("out", metavar="OUT", help="the folder of all exported models")
    parser.add_argument("--name", required=True, help="its name there, and in a server's URLs")
    parser.add_argument(
        "--format", type=names, metavar="LIST", help="savedmodel,tflite; both when not given"
    )
    parser.add_argument(
        "--version", type=whole_number, metavar="N", help="the next one when not given"
    )
    parser.add_argument(
        "--precision", type=names, metavar="LIST", help="of TFLite: float32,float16,int8"
    )
    parser.add_argument(
        "--form",
        type=names,
        metavar="LIST",
        help="of TFLite: token_ids,text; of what writes text also decode,generate",
    )
    for name, what in (("prompt", "a prompt may have (64)"), ("cache", "there is room for (128)")):
        parser.add_argument(
            f"--{name}_length",
            type=whole_number,
            metavar="N",
            help=f"of decode and generate: how many tokens {what}",
        )
    parser.add_argument(
        "--texts", metavar="FILE", help="texts of your own to verify on too, one a line"
    )
    parser.add_argument("--licence", help="of the weights, for the model card")


def run(options: argparse.Namespace) -> None:
    """Exports, and prints what was verified and where it is."""
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo import export
    from tfzoo.tasks import folder

    task = folder.load(options.model).task
    chosen = {
        "kinds": options.format,
        "precisions": options.precision,
        "forms": options.form,
        "prompt_length": options.prompt_length,
        "cache_length": options.cache_length,
        "version": options.version,
        "licence": options.licence,
        "texts": None if options.texts is None else predict.read_lines(options.texts),
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    summary = export.run(task, options.out, options.name, **given)
    print(checks(summary.reports))
    print()
    print(screen.table([(f"{kind}:", str(path)) for kind, path in summary.folders.items()]))
