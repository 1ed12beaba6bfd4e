"""The model, tokenizer and task that a run begins with."""

import pathlib
from typing import Any

from absl import logging

from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import Experiment, ModelChoice
from tfzoo.core.files import folder_aside
from tfzoo.tasks import folder
from tfzoo.text.vocabulary import train_vocabulary
from tfzoo.text.wordpiece import WordPiece


def build_task(experiment: Experiment, corpus: Any, trained: pathlib.Path) -> Any:
    """The task of an experiment, its model pretrained or new.

    Call it within the strategy's scope.

    Args:
        experiment: Says which model and tokenizer.
        corpus: The task's data.
        trained: Folder for a vocabulary that is trained here; one that is there already is used.

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
    if choice.load is None:
        tokenizer = _tokenizer(choice, corpus, trained)
        fields = {"vocab_size": tokenizer.vocab_size, **fields}
        model = models.build(choice.name, choice.variant, **fields)
        return corpus.task(model, tokenizer, experiment.data)
    head, overrides = fields.pop("head"), {k: v for k, v in fields.items() if k != "num_labels"}
    loaded = folder.load(choice.load, head=head, labels=corpus.labels, **overrides)
    tokenizer = loaded.tokenizer if choice.tokenizer is None else _from(choice.tokenizer)
    if tokenizer is None:
        raise UserError(
            f"The model to start from has no tokenizer. Say where one is with model.tokenizer. "
            f"Received: model.load={choice.load}."
        )
    return corpus.task(loaded.model, tokenizer, experiment.data)


def _tokenizer(choice: ModelChoice, corpus: Any, trained: pathlib.Path) -> WordPiece:
    if choice.tokenizer is not None:
        return _from(choice.tokenizer)
    if not trained.exists():
        texts = corpus.texts()
        logging.info(
            "Training a vocabulary of %d entries on %d texts.", choice.vocab_size, len(texts)
        )
        tokenizer = WordPiece(train_vocabulary(texts, choice.vocab_size))
        with folder_aside(trained) as aside:
            tokenizer.save(aside)
    # Read back in either case: what is trained with is what the next start will read.
    return _from(str(trained))


def _from(path: str) -> WordPiece:
    return WordPiece.from_folder(pathlib.Path(path.removeprefix("hf:")).expanduser())
