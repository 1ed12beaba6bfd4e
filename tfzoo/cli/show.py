"""Prints an experiment with every value, an architecture's fields, or what a folder holds.

A folder may be a model, tfzoo's or Hugging Face's, a training run, or an export.
"""

import argparse
import pathlib
from typing import Any

import yaml

from tfzoo.cli import screen
from tfzoo.cli.train import add_config
from tfzoo.core.config import to_dict
from tfzoo.core.errors import UserError

EXAMPLE = (
    "tfzoo show bert small\n"
    "  tfzoo show --config=configs/bert/classify_tsv.yaml --set train.batch_size=16\n"
    "  tfzoo show runs/mine/model"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfzoo show`."""
    parser.add_argument("what", nargs="?", metavar="WHAT", help="an architecture or a folder")
    parser.add_argument("variant", nargs="?", metavar="SIZE", help="a size of the architecture")
    add_config(parser, required=False)


def run(options: argparse.Namespace) -> None:
    """Prints YAML, or tables."""
    if (options.what is None) == (options.config is None):
        raise UserError("Give an architecture, a folder or --config=FILE. See `tfzoo show --help`.")
    if options.set and options.config is None:
        raise UserError("--set changes a key of an experiment: it needs --config=FILE.")
    if options.config is not None:
        screen.quiet_tensorflow()
        from tfzoo.train import run as training

        print(_yaml(to_dict(training.read(options.config, options.set))))
        return
    path = pathlib.Path(options.what.removeprefix("hf:"))
    print(_folder(path) if path.is_dir() else _architecture(options.what, options.variant))


def _architecture(name: str, variant: str | None) -> str:
    """The fields of an architecture's config, and what its file says of it."""
    screen.quiet_tensorflow()
    from tfzoo import models

    if name not in models.names():
        raise UserError(
            f"Expected an architecture ({', '.join(models.names())}) or a folder. Received: {name}."
        )
    fields = to_dict(models.config(name, variant))
    about = (models.module(name).__doc__ or "").strip()
    sizes = ", ".join(models.module(name).VARIANTS)
    count = models.count_parameters(name, variant)
    return (
        f"{about}\n\nSizes: {sizes}\n\n"
        f"# {name} {variant or '(default)'}: {count:,} parameters\n"
        f"{_yaml(fields)}"
    )


def _folder(path: pathlib.Path) -> str:
    """What a folder is, by the files in it."""
    if (path / "experiment.yaml").exists():
        return _run(path)
    versions = sorted((p for p in path.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    if (path / "saved_model.pb").exists() or versions:
        return _export(path if (path / "saved_model.pb").exists() else versions[-1])
    if any((path / name).exists() for name in ("config.json", "modules.json")):
        return _model(path)
    raise UserError(f"{path} is no model, training run or export: none of their files is in it.")


def _run(path: pathlib.Path) -> str:
    text = (path / "experiment.yaml").read_text(encoding="utf-8")
    summary = path / "summary.json"
    state = summary.read_text(encoding="utf-8") if summary.exists() else "(not finished)"
    return f"# {path}: a training run\n{text}\n# summary.json\n{state}".rstrip()


def _export(path: pathlib.Path) -> str:
    from tfzoo.core import json_file
    from tfzoo.export import meta_graph

    contents = meta_graph.read(path)
    rows = [
        (name, side, spec.name, spec.dtype, str(list(spec.shape or ())))
        for name, signature in sorted(contents.signatures.items())
        for side, specs in (("input", signature.inputs), ("output", signature.outputs))
        for spec in specs.values()
    ]
    text = screen.table(rows, ("signature", "", "tensor", "type", "shape"))
    report = path / "report.json"
    reports = json_file.read(report) if report.exists() else []
    passed = [f"{r['artefact']}: {'passed' if r['passed'] else 'FAILED'}" for r in reports]
    return f"{path}: a SavedModel\n\n{text}\n\nVerified: {', '.join(passed) or 'no'}"


def _model(path: pathlib.Path) -> str:
    screen.quiet_tensorflow()
    from tfzoo import models
    from tfzoo.tasks import recipe

    read = recipe.read_tfzoo if recipe.is_tfzoo(path) else recipe.read_hugging_face
    found = read(path, None, False, None)
    kind = "tfzoo" if recipe.is_tfzoo(path) else "Hugging Face"
    values: dict[str, Any] = {
        "model": {"name": found.name, **found.fields},
        "task": {"name": found.task, **found.options},
        "tokenizer": found.tokenizer,
    }
    count = models.count_parameters(found.name, **found.fields)
    return f"# {path}: a {kind} model of {count:,} parameters\n{_yaml(to_dict(values))}"


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()
