"""Answers texts from the command line, a file, or standard input (one text a line).

A classifier prints label, probability and text, with tabs between, and so does any language model
with --template and --labels. Without those a language model goes on with a text, and an
encoder-decoder writes what follows from it. Every other task prints JSON.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from tfzoo.cli import columns, screen, zero_shot
from tfzoo.cli.parser import whole_number
from tfzoo.core import config
from tfzoo.core.errors import UserError

EXAMPLE = 'tfzoo predict runs/mine/model "a film to remember" "two hours of my life" --json'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo predict`."""
    parser.add_argument("model", metavar="MODEL", help="a model folder, tfzoo's or Hugging Face's")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to answer")
    parser.add_argument(
        "--with",
        dest="second",
        action="append",
        metavar="TEXT",
        help="for a task of pairs: the second text, once for each TEXT",
    )
    parser.add_argument("--file", metavar="FILE", help=".txt (a text a line), .tsv, .csv or .jsonl")
    columns.add_columns(parser, "in --examples")
    parser.add_argument("--batch_size", type=whole_number, default=32, metavar="N")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each text")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="how text is written, by the names of transformers' GenerationConfig, such as "
        "max_new_tokens=50, do_sample=true or num_beams=4; any number of them",
    )
    zero_shot.add_zero_shot(parser)


def run(options: argparse.Namespace) -> None:
    """Prints one line for each text."""
    if options.texts and options.file:
        raise UserError("Give either texts or --file, not both.")
    screen.quiet_tensorflow()
    from tfzoo.tasks import folder

    task = zero_shot.task(options, folder.load(options.model).task)
    if hasattr(task, "generate"):
        _write(options, task)
        return
    if options.set:
        raise UserError(f"--set is for what writes text. Received: a model that is {task.name}.")
    texts, pairs = _inputs(options, task.pairs)
    answers = task.predict(texts, pairs, options.batch_size, progress=sys.stderr.isatty())
    for i, text in enumerate(texts):
        answer = {name: _plain(values[i]) for name, values in answers.items()}
        if options.json or "label" not in answer:
            given = {"text": text} if pairs is None else {"text": text, "pair": pairs[i]}
            print(json.dumps({**given, **answer}, ensure_ascii=False))
        else:
            print(answer["label"], f"{answer['score']:.4f}", " ".join(text.split()), sep="\t")


def _write(options: argparse.Namespace, task: Any) -> None:
    """Prints what the model writes: plainly, or as JSON where there are several texts."""
    if options.second:
        raise UserError(f"This model takes one text for each input. Received: --with, {task.name}.")
    texts, _ = _inputs(options, False)
    how = config.with_overrides({}, options.set)
    found = task.generate(
        list(texts), batch_size=options.batch_size, progress=sys.stderr.isatty(), **how
    )
    if len(texts) == 1 and isinstance(found[0], str) and not options.json:
        print(found[0])
        return
    for text, written in zip(texts, found, strict=True):
        print(json.dumps({"text": text, "written": written}, ensure_ascii=False))


def _inputs(
    options: argparse.Namespace, is_pairs: bool
) -> tuple[Sequence[str], Sequence[str] | None]:
    """The texts, and the second text of each where there is one."""
    if options.texts:
        return options.texts, options.second
    if options.file is None:
        return lines(sys.stdin.buffer.read(), "standard input", is_pairs)
    path = pathlib.Path(options.file)
    if path.suffix == ".txt":
        return lines(_content(path), options.file, is_pairs)
    from tfzoo.data import tables

    table = tables.read(path, columns.columns(options, is_pairs, label=False))
    return table.texts, table.pairs


def read_lines(path: str) -> list[str]:
    """The lines of a text file.

    Raises:
        UserError: when it cannot be read, or as `lines`.
    """
    return lines(_content(pathlib.Path(path)), path, is_pairs=False)[0]


def lines(content: bytes, where: str, is_pairs: bool) -> tuple[list[str], list[str] | None]:
    """A text for each line, or two with a tab between.

    Raises:
        UserError: with the number of the line that is blank, not UTF-8, or no pair.
    """
    found = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{where}:{number} is not UTF-8. Save the text as UTF-8.") from None
        fields = line.split("\t") if is_pairs else [line]
        if len(fields) != 1 + is_pairs:
            raise UserError(
                f"{where}:{number} must be two texts with a tab between them. "
                f"Received: {len(fields)}."
            )
        if not all(field.strip() for field in fields):
            raise UserError(f"{where}:{number} is blank. Expected a text. Delete the line.")
        found.append(fields)
    if not found:
        raise UserError(f"There is nothing to answer. Received: no text from {where}.")
    return [f[0] for f in found], [f[1] for f in found] if is_pairs else None


def _content(path: pathlib.Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


def _plain(value: Any) -> Any:
    """A NumPy value as JSON can hold it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
