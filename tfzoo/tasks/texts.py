"""Texts to pretrain on: a folder of `tfzoo prepare`, or plain files, tokenized at the start.

What the tasks of pretraining have in common; each of them makes its examples of the documents.
"""

import abc
import dataclasses
import hashlib
import pathlib
from typing import Any, Literal

from tfzoo.core.errors import UserError
from tfzoo.data import batches, cleaning, records, sources
from tfzoo.data.documents import Documents
from tfzoo.data.preparation import EVALUATION, TRAIN, Preparation
from tfzoo.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class TextChoice:
    """Where the texts are, and, of plain ones, how they are cut; `tfzoo prepare` explains each.

    Attributes:
        train: A folder that `tfzoo prepare` wrote, or files, folders and patterns of plain text or
            JSON lines.
        evaluate: The same, to score the model on, or null for what `tfzoo prepare` kept for that,
            or for a share of the documents of `train`.
        evaluate_share: How large a share.
        documents: What a document of plain text is.
        heading: With documents=heading, what one begins with.
        text_key: Where the text stands in an object of JSON lines.
        whitespace: Whether runs of white space become one space.
        sentences: How a document is cut into sentences.
    """

    train: str | tuple[str, ...]
    evaluate: str | tuple[str, ...] | None = None
    evaluate_share: float = 0.05
    documents: Literal["blank_lines", "line", "file", "heading"] = "blank_lines"
    heading: str | None = None
    text_key: str = "text"
    whitespace: Literal["collapse", "keep"] = "collapse"
    sentences: Literal["rules", "lines", "none"] = "rules"

    def __post_init__(self) -> None:
        self.preparation(("-",))  # complains about a heading
        if not 0 < self.evaluate_share < 1:
            raise UserError(
                "evaluate_share must be between 0 and 1. "
                f"Received: evaluate_share={self.evaluate_share}."
            )

    def preparation(self, inputs: tuple[str, ...]) -> Preparation:
        """How the texts of these inputs are cleaned and cut."""
        return Preparation(
            inputs,
            "",
            self.documents,
            self.heading,
            self.text_key,
            whitespace=self.whitespace,
            sentences=self.sentences,
        )


class Texts:
    """What is read from disk.

    Args:
        choice: Where and how.

    Attributes:
        tokenizer: The folder of the tokenizer that prepared documents were tokenized with, or None.

    Raises:
        UserError: as `tfzoo.data.records.read` and `tfzoo.data.sources`; when no document is left
            on one of the sides.
    """

    def __init__(self, choice: TextChoice):
        self.tokenizer: str | None = None
        self._prepared: tuple[Documents, Documents] | None = None
        self._raw: tuple[list[list[str]], list[list[str]]] = ([], [])
        if isinstance(choice.train, str) and _is_prepared(choice.train):
            other = choice.train if choice.evaluate is None else choice.evaluate
            split = EVALUATION if choice.evaluate is None else TRAIN
            if not isinstance(other, str) or not _is_prepared(other):
                raise UserError(
                    "data.texts.evaluate must be a folder of `tfzoo prepare`, as train is. "
                    f"Received: evaluate={choice.evaluate!r}."
                )
            self._prepared = records.read(choice.train), records.read(other, split)
            self.tokenizer = str(pathlib.Path(choice.train).expanduser() / records.TOKENIZER)
            return
        train = _documents(choice, choice.train)
        if choice.evaluate is not None:
            self._raw = train, _documents(choice, choice.evaluate)
            return
        for document in train:
            digest = hashlib.blake2b("".join(document).encode(), digest_size=8).digest()
            held_out = int.from_bytes(digest) < choice.evaluate_share * 2**64
            self._raw[held_out].append(document)
        if not all(self._raw):
            raise UserError(
                f"Too few different documents to keep some for evaluation. Give other texts, "
                f"data.texts.evaluate=FILE, or another share. Received: {len(train)} documents, "
                f"evaluate_share={choice.evaluate_share}."
            )

    def texts(self) -> list[str]:
        """The texts to train a vocabulary on, sentence by sentence.

        Raises:
            UserError: when they are tokenized already.
        """
        if self._prepared is not None:
            raise UserError("Prepared documents have their tokenizer: leave model.tokenizer out.")
        sentences = (sentence for document in self._raw[0] for sentence in document)
        return [line for s in sentences for line in s.splitlines() if line.strip()]

    def documents(self, tokenizer: Tokenizer) -> tuple[Documents, Documents]:
        """The documents to train on and to score on.

        Raises:
            UserError: when they were tokenized with another tokenizer.
        """
        if self._prepared is None:
            train, evaluate = (records.from_texts(side, tokenizer) for side in self._raw)
            return train, evaluate
        own = records.tokenizer(pathlib.Path(str(self.tokenizer)).parent)
        if tuple(own.vocabulary) != tuple(tokenizer.vocabulary):
            raise UserError(
                "The documents were prepared with another tokenizer than that of the model. "
                f"Prepare them with its folder. Received: {own.vocab_size} and "
                f"{tokenizer.vocab_size} tokens."
            )
        return self._prepared

    def fingerprint(self) -> str:
        """A digest of everything that was read."""
        if self._prepared is not None:
            return "".join(side.fingerprint() for side in self._prepared)
        digest = hashlib.blake2b(digest_size=16)
        for side in self._raw:
            for document in side:
                digest.update("\0".join(document).encode() + b"\1")
            digest.update(b"\2")
        return digest.hexdigest()


class TextCorpus(abc.ABC):
    """Everything that is read from disk to pretrain a model; `tfzoo.train.run` says what it is for.

    A task says how its examples are made of the documents.

    Args:
        data: The `data` part of an experiment; its `texts` are read.

    Attributes:
        labels: None: there are no classes.
        tokenizer: As in `Texts`.

    Raises:
        UserError: as `Texts`.
    """

    labels = None

    def __init__(self, data: Any):
        self.data = data
        self._texts = Texts(data.texts)
        self.tokenizer = self._texts.tokenizer
        self._shown: batches.Batch | None = None

    @abc.abstractmethod
    def model_fields(self) -> dict[str, Any]:
        """The fields of the model's config that the task decides."""

    @abc.abstractmethod
    def new_task(self, model: Any, tokenizer: Any) -> Any:
        """The task of this data on this model."""

    @abc.abstractmethod
    def source(self, documents: Documents, task: Any, seed: int, fixed: bool) -> batches.Source:
        """The examples made of some documents.

        Args:
            documents: The documents.
            task: Its tokenizer names the special tokens; its model says how long rows can be.
            seed: Decides everything that is left to chance.
            fixed: Whether all batches must have one shape.
        """

    @abc.abstractmethod
    def show(self, task: Any, inputs: batches.Tensors, targets: batches.Tensors) -> str:
        """A few examples with the model's answers, as Markdown."""

    def samples(self, task: Any, count: int) -> list[tuple[str, str]]:
        """The first examples to score on with the model's answers, for TensorBoard."""
        if self._shown is None:
            source = self.source(self.documents[1], task, 0, True)
            self._shown = batches.first(source, count)
        return [("predictions", self.show(task, *self._shown))]

    def texts(self) -> list[str]:
        """As `Texts.texts`."""
        return self._texts.texts()

    def fingerprint(self) -> str:
        """As `Texts.fingerprint`."""
        return self._texts.fingerprint()

    def task(self, model: Any, tokenizer: Any, data: Any) -> Any:
        """The task of this data on this model; the texts are tokenized now.

        Raises:
            UserError: as `Texts.documents`; when the task cannot use the model.
        """
        self.documents = self._texts.documents(tokenizer)
        self.most_tokens = model.config.max_length
        length = self.data.length
        if length is not None and self.most_tokens is not None and length > self.most_tokens:
            raise UserError(
                f"data.length exceeds the {self.most_tokens} positions of the model. "
                f"Received: length={length}."
            )
        return self.new_task(model, tokenizer)

    def sources(self, task: Any, seed: int, fixed: bool) -> tuple[batches.Source, batches.Source]:
        """The examples to train on and to score on. Arguments as in `source`."""
        train, evaluate = self.documents
        return self.source(train, task, seed, fixed), self.source(evaluate, task, seed, fixed)

    def facts(self) -> dict[str, Any]:
        """What a run notes down about the data."""
        train, evaluate = self.documents
        return {"tokens": len(train.token_ids), "evaluation_tokens": len(evaluate.token_ids)}

    def describe(self) -> str:
        """A line for the log."""
        tokens = " and ".join(f"{len(side.token_ids):,}" for side in self.documents)
        return f"{tokens} tokens."


def named_id(tokenizer: Any, role: str, usual: str) -> int | None:
    """The id of a special token, by what the tokenizer's files call it, or its usual spelling."""
    token = getattr(tokenizer, "named_tokens", {}).get(f"{role}_token", usual)
    return int(tokenizer.id_of(token)) if token in tokenizer.vocabulary else None


def special_id(tokenizer: Any, role: str, usual: str) -> int:
    """As `named_id`, of a token that must be there.

    Raises:
        UserError: when the tokenizer has none.
    """
    found = named_id(tokenizer, role, usual)
    if found is None:
        raise UserError(
            f"The tokenizer needs a token {usual} for this task. "
            f"Received: none among its {tokenizer.vocab_size} tokens."
        )
    return found


def _is_prepared(place: str) -> bool:
    return (pathlib.Path(place).expanduser() / records.MANIFEST).exists()


def _documents(choice: TextChoice, inputs: str | tuple[str, ...]) -> list[list[str]]:
    """All documents of plain inputs, each as its sentences."""
    how = choice.preparation((inputs,) if isinstance(inputs, str) else inputs)
    found = [
        cleaning.sentences(text, how)
        for source in sources.find(how.inputs)
        for raw in sources.documents(source, how)
        if (text := cleaning.clean(raw, how))
    ]
    if not found:
        raise UserError(f"There are no texts in them. Received: {', '.join(how.inputs)}.")
    return found
