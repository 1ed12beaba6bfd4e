"""Turns a model of another library into a tfzoo model folder, or (OUT = hf:FOLDER) back.

SOURCE is a folder of Hugging Face's transformers (safetensors, tf_model.h5, flax_model.msgpack), of
sentence-transformers, of KerasHub or of T5X; a checkpoint of Google's BERT, of OpenAI's GPT or
GPT-2; hf://ORGANIZATION/NAME[@REVISION] from the hub; or keras_hub:PRESET. Every weight is
accounted for: what is missing, left over or of another shape is listed and refused.
"""

import argparse

from tfzoo.cli import screen

EXAMPLE = "tfzoo convert hf:downloads/bert-base-uncased models/bert"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo convert`."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a model folder, hf://ORG/NAME, or keras_hub:PRESET"
    )
    parser.add_argument("out", metavar="OUT", help="a new folder, or hf:FOLDER for transformers")


def run(options: argparse.Namespace) -> None:
    """Converts, and says where the model is."""
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo.tasks import folder

    folder.convert(options.source, options.out)
    print(f"Written: {options.out.removeprefix('hf:')}")
