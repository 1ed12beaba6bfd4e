"""The model, tokenizer and task that a run begins with."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
from absl import logging

from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment, ModelChoice
from tfzoo.tasks import folder
from tfzoo.text import kinds, train_vocabulary
from tfzoo.text.tokenizer import Tokenizer


def train_tokenizer(choice: ModelChoice, corpus: Any, trained: pathlib.Path) -> None:
    """Trains a vocabulary on a run's texts, if it needs one and there is none yet.

    Args:
        choice: Says which kind and size.
        corpus: The task's data.
        trained: The folder for it.

    Raises:
        UserError: when the texts are too few, or a library is missing.
    """
    is_there = choice.load is not None or choice.tokenizer or corpus.tokenizer or trained.exists()
    if is_there:
        return
    kind = models.module(choice.name).HUGGING_FACE.tokenizer
    texts = corpus.texts()
    logging.info("Training a vocabulary of %d tokens on %d texts.", choice.vocab_size, len(texts))
    with tempfile.TemporaryDirectory() as scratch:
        lines = pathlib.Path(scratch) / "texts.txt"
        lines.write_text("\n".join(" ".join(t.splitlines()) for t in texts), encoding="utf-8")
        values = {"kind": kind, "size": choice.vocab_size, **choice.vocabulary}
        config = train_vocabulary.read_config({**values, "files": [str(lines)]})
        train_vocabulary.run(config, trained)


def build_task(experiment: Experiment, corpus: Any, trained: pathlib.Path) -> Any:
    """The task of an experiment, its model pretrained or new, in the precision asked for.

    Call it within the strategy's scope.

    Args:
        experiment: Says which model and tokenizer.
        corpus: The task's data.
        trained: Folder of the vocabulary that `train_tokenizer` trained.

    Raises:
        UserError: for a model or tokenizer that cannot be had, or that do not fit each other or the
            data.
    """
    choice = experiment.model
    of_task = corpus.model_fields()
    for name in sorted(of_task.keys() & choice.fields.keys()):
        raise UserError(
            f"The task and its data decide on model.fields.{name}: {of_task[name]!r}. Leave it "
            f"out. Received: {name}={choice.fields[name]!r}."
        )
    fields = {**choice.fields, **of_task}
    with _precision(experiment.train.precision):
        if choice.load is not None:
            model, tokenizer = _loaded(choice, corpus, fields)
        else:
            # Read back even if it was trained just now: so will the next start.
            tokenizer = _from(choice.tokenizer or corpus.tokenizer or str(trained))
            fields = {"vocab_size": tokenizer.vocab_size, **fields}
            model = models.build(choice.name, choice.variant, **fields)
        return corpus.task(model, tokenizer, experiment.data)


def _loaded(choice: ModelChoice, corpus: Any, fields: dict[str, Any]) -> tuple[Any, Tokenizer]:
    head, overrides = fields.pop("head"), {k: v for k, v in fields.items() if k != "num_labels"}
    loaded = folder.load(str(choice.load), head=head, labels=corpus.labels, **overrides)
    tokenizer = loaded.tokenizer if choice.tokenizer is None else _from(choice.tokenizer)
    if tokenizer is None:
        raise UserError(
            f"The model to start from has no tokenizer. Say where one is with model.tokenizer. "
            f"Received: model.load={choice.load}."
        )
    return loaded.model, tokenizer


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _from(path: str) -> Tokenizer:
    return kinds.load(pathlib.Path(path.removeprefix("hf:")).expanduser())
