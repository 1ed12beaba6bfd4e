"""Causal language models: every token from those before it.

Source: Radford et al. 2018 (GPT), section 3.1; Radford et al. 2019 (GPT-2); `tfzoo.data.blocks`.
"""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfzoo.core import checks
from tfzoo.data import batches, blocks
from tfzoo.data.documents import Documents
from tfzoo.tasks import samples, token_loss
from tfzoo.tasks.task import Task, Tensors, require_head
from tfzoo.tasks.texts import TextChoice, TextCorpus, named_id, special_id


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        texts: Where the texts are.
        length: Tokens in a row. None means all positions of the model.
        rows: What a row is: a piece of all documents joined (`joined`), several whole documents
            that do not see each other and whose positions begin anew (`packed`), or one (`single`).
    """

    texts: TextChoice
    length: int | None = None
    rows: Literal["joined", "packed", "single"] = "joined"

    def __post_init__(self) -> None:
        checks.at_least(self, 2, "length")


class Corpus(TextCorpus):
    """Everything that is read from disk to train a language model."""

    def model_fields(self) -> dict[str, Any]:
        packed = {"packed": True} if self.data.rows == "packed" else {}
        return {"head": "causal_lm", **packed}

    def new_task(self, model: Any, tokenizer: Any) -> "LanguageModel":
        task = LanguageModel(model, tokenizer)
        task.characters = self.documents[1].characters
        return task

    def source(
        self, documents: Documents, task: "LanguageModel", seed: int, fixed: bool
    ) -> batches.Source:
        length = self.data.length or task.max_length
        pad_id = int(task.tokenizer.pad_id)
        if self.data.rows == "joined":
            return blocks.joined(documents, length, _end_id(task.tokenizer), pad_id, seed)
        end_id = special_id(task.tokenizer, "eos", "</s>")
        together = self.data.rows == "packed"
        return blocks.packed(documents, length, end_id, pad_id, together, None if fixed else 8)

    def show(self, task: "LanguageModel", inputs: Tensors, targets: Tensors) -> str:
        return samples.continuations(task, inputs, _end_id(task.tokenizer))

    def describe(self) -> str:
        if self.data.rows == "joined":
            return super().describe()
        length = self.data.length or self.most_tokens
        shares = blocks.padding_shares(self.documents[0], length)
        share = shares["packed" if self.data.rows == "packed" else "one document a row"]
        return f"{super().describe()} {share:.1%} of the places in rows are padding."


def _end_id(tokenizer: Any) -> int | None:
    """The end of a document; GPT-1's tokenizer has none, and its documents follow each other."""
    return named_id(tokenizer, "eos", "</s>")


def read(data: Data) -> Corpus:
    """Reads and checks the texts.

    Raises:
        UserError: as `tfzoo.tasks.texts.TextCorpus`.
    """
    return Corpus(data)


class LanguageModel(Task):
    """Answers with `token_ids` `(n, t)` and `logits` `(n, t, v)` of the token after each.

    Args:
        **options: As in `Task`.

    Attributes:
        characters: How many the evaluation texts of a run have, for its loss by the character.

    Raises:
        UserError: when the model has no language model's head.
    """

    name: ClassVar[str] = "language_model"
    # What a better model is better at; the first, unless the experiment names another.
    figures: ClassVar[dict[str, int]] = {"loss": -1, "accuracy": 1}

    def __init__(self, model: Any, tokenizer: Any, **options: Any):
        require_head(model, self.name, "causal_lm")
        super().__init__(model, tokenizer, **options)
        self.characters: int | None = None

    def answer(self, inputs: Tensors) -> Tensors:
        return {"token_ids": inputs["token_ids"], **self.run(self.model, inputs)}

    def count(self, targets: Tensors) -> tf.Tensor:
        """How many tokens are predicted."""
        return token_loss.count(targets)

    def loss(self, targets: Tensors, outputs: Tensors) -> tf.Tensor:
        """The summed cross-entropy of the tokens in nats."""
        return token_loss.loss(targets, outputs["logits"])

    def kept(self, targets: Tensors, outputs: Tensors) -> Tensors:
        """What of an evaluated batch is kept until all are there."""
        return token_loss.kept(targets, outputs["logits"])

    def scores(self, kept: dict[str, np.ndarray]) -> dict[str, float]:
        """`loss`, `perplexity` and `accuracy` by the token, and `loss_per_character` in nats.

        The latter compares models of different vocabularies: all nats, those of the ends of
        documents too, divided by the characters of the texts.
        """
        scores = token_loss.scores(kept)
        if self.characters:
            nats = float(kept["nats"].sum(dtype="float64"))
            scores["loss_per_character"] = nats / self.characters
        return scores

    def report(self, kept: dict[str, np.ndarray]) -> token_loss.Report:
        """All figures."""
        return token_loss.Report(self.scores(kept))
