"""Turns a Hugging Face folder into a tfzoo model folder, or (OUT = hf:FOLDER) the other way round.

A Hugging Face folder holds config.json, model.safetensors and vocab.txt or tokenizer.json. Every
weight is accounted for: what is missing, left over or of another shape is listed and refused.
"""

import argparse

from tfzoo.cli import screen

EXAMPLE = "tfzoo convert hf:downloads/bert-base-uncased models/bert"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo convert`."""
    parser.add_argument("source", metavar="SOURCE", help="a model folder, or hf:FOLDER")
    parser.add_argument("out", metavar="OUT", help="a new folder, or hf:FOLDER for transformers")


def run(options: argparse.Namespace) -> None:
    """Converts, and says where the model is."""
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo.tasks import folder

    folder.convert(options.source, options.out)
    print(f"Written: {options.out.removeprefix('hf:')}")
