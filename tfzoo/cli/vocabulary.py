"""Trains the vocabulary of a tokenizer from text files, as a YAML file says.

The folder it writes is one that tfzoo and transformers read. All kinds but WordPiece are trained by
libraries of their own: pip install tfzoo[vocabulary].
"""

import argparse

from tfzoo.cli import screen
from tfzoo.cli.train import add_config

EXAMPLE = (
    "tfzoo vocabulary --config=configs/vocabularies/byte_level_bpe.yaml --output=tokenizer \\\n"
    "      --set 'files=[texts/*.txt]' size=8000"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo vocabulary`."""
    add_config(parser, required=True, what="a YAML file", example="size=8000")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")


def run(options: argparse.Namespace) -> None:
    """Trains, and says how large the vocabulary is and where."""
    from tfzoo.core.config import read_yaml, with_overrides

    values = with_overrides(read_yaml(options.config), options.set)
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo.text import train_vocabulary

    config = train_vocabulary.read_config(values)
    tokenizer = train_vocabulary.run(config, options.output)
    print(f"Written: {options.output} ({config.kind}, {tokenizer.vocab_size:,} tokens)")
