"""Measures tfzoo beside its peers, in turns, in one run (options: `tfzoo bench NAME --help`)."""

import argparse
from collections.abc import Sequence

from tfzoo.cli import predict, screen
from tfzoo.cli.parser import Parser, whole_number
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError

EXAMPLE = "tfzoo bench encoder --rounds=3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo bench`."""
    parser.add_argument("name", metavar="NAME", help=f"what is measured: {', '.join(BENCHMARKS)}")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Runs one benchmark and returns its exit code."""
    if options.name not in BENCHMARKS:
        raise UserError(unknown_name("benchmark", options.name, BENCHMARKS))
    return BENCHMARKS[options.name](options.rest) or 0


def encoder(arguments: Sequence[str]) -> int:
    """BERT's forward pass."""
    from tfzoo.cli import bench_encoder

    return bench_encoder.run(list(arguments))


def generation(arguments: Sequence[str]) -> int:
    """Greedy text of GPT-2's size."""
    from tfzoo.cli import bench_generation

    return bench_generation.run(list(arguments))


def tokenizer(arguments: Sequence[str]) -> None:
    """A tokenizer, from strings to tensors."""
    parser = Parser(
        prog="tfzoo bench tokenizer",
        description=tokenizer.__doc__,
        example="tfzoo bench tokenizer --tokenizer=models/bert --file=texts.txt",
    )
    parser.add_argument("--tokenizer", required=True, metavar="DIR", help="a folder with its files")
    parser.add_argument("--file", required=True, metavar="FILE", help="texts, one a line")
    parser.add_argument("--rounds", type=whole_number, default=5, metavar="N")
    threads = "threads of an op, and of ops together (default: one a core)"
    parser.add_argument("--threads", type=whole_number, metavar="N", help=threads)
    options = parser.parse_strictly(arguments)
    texts = predict.read_lines(options.file)
    screen.quiet_tensorflow()
    from tfzoo.cli import bench_tokenizer
    from tfzoo.text import kinds

    if options.threads:
        bench_tokenizer.limit_threads(options.threads)
    found = kinds.load(options.tokenizer.removeprefix("hf:"))
    rows = bench_tokenizer.run(texts, found, rounds=options.rounds)
    print(screen.table([(r.name, r.batch_size, round(r.sentences_per_second)) for r in rows],
                       ("contestant", "batch size", "sentences/s")))  # fmt: skip


def loading(arguments: Sequence[str]) -> int:
    """Hugging Face checkpoints into memory."""
    from tfzoo.cli import bench_loading

    return bench_loading.run(list(arguments))


def training(arguments: Sequence[str]) -> int:
    """Training steps of BERT and GPT."""
    from tfzoo.cli import bench_training

    return bench_training.run(list(arguments))


BENCHMARKS = {
    "encoder": encoder,
    "generation": generation,
    "loading": loading,
    "tokenizer": tokenizer,
    "training": training,
}
