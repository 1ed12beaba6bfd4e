"""Turns raw texts into TFRecord shards of tokenized documents, as a YAML file says.

This is the data of pretraining. Documents are cleaned, those that are there twice dropped, the
rest cut into sentences, tokenized, shuffled and put into shards; manifest.json counts them. With
--beam Apache Beam does it on any runner, with the same records: pip install tfzoo[beam].
"""

import argparse
import os
import shlex

from tfzoo.cli import screen
from tfzoo.cli.parser import whole_number
from tfzoo.cli.train import add_config

EXAMPLE = (
    "tfzoo prepare --config=configs/prepare/text.yaml --output=prepared \\\n"
    "      --set 'inputs=[texts/*.txt]' tokenizer=tokenizer"
)
_LEAST_BYTES = 8 << 20  # of text, for which another process is worth its start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo prepare`."""
    add_config(parser, required=True, what="a YAML file", example="seed=2")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="number of processes; one for each core, fewer for little text, unless this is given",
    )
    parser.add_argument(
        "--beam",
        nargs="?",
        const="",
        metavar="OPTIONS",
        help="use Apache Beam, with its own options, such as --beam='--runner=FlinkRunner'",
    )


def run(options: argparse.Namespace) -> None:
    """Prepares, and says how much there is of what."""
    from tfzoo.core.config import from_dict, read_yaml, with_overrides

    values = with_overrides(read_yaml(options.config), options.set)
    screen.quiet_tensorflow()
    screen.plain_logging()
    from tfzoo.data import prepare, sources
    from tfzoo.data.preparation import Preparation

    how = from_dict(Preparation, values)
    size = sum(source.text_bytes for source in sources.find(how.inputs))
    workers = options.workers or max(1, min(os.cpu_count() or 1, size // _LEAST_BYTES))
    beam = None if options.beam is None else shlex.split(options.beam)
    prepared = prepare.run(how, options.output, workers, beam)
    splits = prepared.manifest["splits"]
    head = ("", "files", "documents", "sentences", "tokens", "characters")
    rows = [(n, len(s["shards"]), *(s[key] for key in head[2:])) for n, s in splits.items()]
    print(screen.table(rows, head))
    dropped = prepared.manifest["cleaning"]
    print(
        f"\n{dropped['read']:,} documents read; dropped: {dropped['duplicates']:,} that were there "
        f"already, {dropped['too_short']:,} too short, {dropped['without_tokens']:,} without tokens"
    )
    print(f"{'Written' if prepared.is_new else 'Nothing to do, it is there'}: {options.output}")
