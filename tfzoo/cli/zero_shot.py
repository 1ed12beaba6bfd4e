"""The options that make a classifier of a language model, shared by two commands."""

import argparse
from typing import Any

from tfzoo.cli import columns
from tfzoo.cli.parser import names, whole_number
from tfzoo.core.errors import UserError


def add_zero_shot(parser: argparse.ArgumentParser) -> None:
    """Adds `--template`, `--labels` and what goes with them."""
    group = parser.add_argument_group(
        "classification by a language model or an encoder-decoder that was not trained for it"
    )
    group.add_argument(
        "--template",
        metavar="TEXT",
        help=r"such as 'Review: {text}\nSentiment: {label}'; \n ends a line",
    )
    group.add_argument(
        "--labels",
        type=names,
        metavar="A,B",
        help="the classes to choose from; 0=bad,1=good where the words are others",
    )
    group.add_argument("--examples", metavar="FILE", help="labelled texts to show in the prompt")
    group.add_argument("--shots", type=whole_number, metavar="K", help="so many of them (all)")
    group.add_argument("--seed", type=whole_number, metavar="N", help="decides which ones (1)")
    group.add_argument(
        "--normalize",
        choices=("none", "tokens", "calibration", "pmi"),
        help="compare the likelihood of labels (none), their mean by the token, or what they gain "
        "over an empty text (calibration) or over the end of the template alone (pmi)",
    )


def task(options: argparse.Namespace, loaded: Any) -> Any:
    """The task that answers: that of the model, or a classifier made of it.

    Raises:
        UserError: when only some of the options are there, or as `ZeroShot`.
    """
    others = {
        name: getattr(options, name)
        for name in ("labels", "examples", "shots", "seed", "normalize")
        if getattr(options, name) is not None
    }
    if options.template is None:
        if others:
            raise UserError(f"--{next(iter(others))} goes with --template. Add it, or leave both.")
        return loaded
    if "labels" not in others:
        raise UserError("--template needs --labels=A,B: the classes to choose from.")
    from tfzoo.data import tables
    from tfzoo.tasks.zero_shot import ZeroShot

    labels = [name.partition("=") for name in others.pop("labels")]
    words = {name.strip(): given.strip() if is_given else name for name, is_given, given in labels}
    if len(words) < len(labels):
        raise UserError(f"--labels must be different names. Received: {', '.join(words)}.")
    template = options.template.replace("\\n", "\n").replace("\\t", "\t")
    if "examples" in others:
        where = columns.columns(options, "{pair}" in template)
        others["examples"] = tables.read(others["examples"], where)
    return ZeroShot(loaded, template, words, **others)
