"""Masked language models: the tokens that were hidden, and whether one segment follows the other.

Source: Devlin et al. 2018, section 3.1, https://arxiv.org/abs/1810.04805; Liu et al. 2019
(RoBERTa), section 4, https://arxiv.org/abs/1907.11692; `tfzoo.data.masked_language`.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfzoo.core import checks
from tfzoo.core.errors import UserError
from tfzoo.data import batches
from tfzoo.data.documents import Documents
from tfzoo.data.masked_language import masked_pairs, masked_sentences
from tfzoo.data.masking import Masking
from tfzoo.tasks import samples, token_loss
from tfzoo.tasks.task import Task, Tensors, require_head
from tfzoo.tasks.texts import TextChoice, TextCorpus, special_id


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        texts: Where the texts are.
        length: Tokens in a row, special ones included. None means all positions of the model.
        next_sentence: Whether rows are pairs of segments, and the model says if one follows the
            other (BERT), or full sentences (RoBERTa, DistilBERT).
        mask_share: Which share of the tokens is to be predicted.
        most_masked: At most so many of a row.
        whole_words: Whether words are hidden and not tokens.
        short_share: How many of the pairs aim at any shorter length.
    """

    texts: TextChoice
    length: int | None = None
    next_sentence: bool = True
    mask_share: float = 0.15
    most_masked: int = 20
    whole_words: bool = False
    short_share: float = 0.1

    def __post_init__(self) -> None:
        checks.at_least(self, 8, "length")
        checks.at_least(self, 1, "most_masked")
        for name in ("mask_share", "short_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"{name} must be from 0 to 1. Received: {name}={getattr(self, name)}."
                )


class Corpus(TextCorpus):
    """Everything that is read from disk to train a masked language model."""

    def model_fields(self) -> dict[str, Any]:
        return {"head": "pretraining" if self.data.next_sentence else "masked_lm"}

    def new_task(self, model: Any, tokenizer: Any) -> "MaskedLanguageModel":
        return MaskedLanguageModel(model, tokenizer)

    def source(
        self, documents: Documents, task: Task, seed: int, fixed: bool
    ) -> batches.Source:  # of one shape, fixed or not
        return source(documents, task, self.data, seed)

    def show(self, task: "MaskedLanguageModel", inputs: Tensors, targets: Tensors) -> str:
        return samples.fillings(task, inputs, targets)


def read(data: Data) -> Corpus:
    """Reads and checks the texts.

    Raises:
        UserError: as `tfzoo.tasks.texts.TextCorpus`.
    """
    return Corpus(data)


def source(documents: Documents, task: Task, data: Data, seed: int) -> batches.Source:
    """The examples of a task with a tokenizer that has a mask."""
    tokenizer, length = task.tokenizer, data.length or task.max_length
    masking = Masking(
        special_id(tokenizer, "mask", "[MASK]"),
        tokenizer.vocab_size,
        continues(tokenizer) if data.whole_words else None,
        data.mask_share,
        data.most_masked,
    )
    cls_id = special_id(tokenizer, "cls", "[CLS]")
    sep_id = special_id(tokenizer, "sep", "[SEP]")
    ids = (length, cls_id, sep_id, int(tokenizer.pad_id), masking, seed)
    if data.next_sentence:
        return masked_pairs(documents, *ids, short_share=data.short_share)
    return masked_sentences(documents, *ids)


def continues(tokenizer: Any) -> np.ndarray:
    """`(v,)` boolean: which tokens go on with a word, in WordPiece's and byte-level BPE's writing.

    Raises:
        UserError: when tokens do not tell.
    """
    tokens = tokenizer.vocabulary
    if any(token.startswith("##") for token in tokens):
        return np.array([token.startswith("##") for token in tokens])
    if any(token.startswith("Ġ") for token in tokens):
        special = set(tokenizer.special_tokens)
        return np.array([not token.startswith("Ġ") and token not in special for token in tokens])
    raise UserError("whole_words needs a WordPiece or byte-level tokenizer. Received: another.")


class MaskedLanguageModel(Task):
    """Answers with `token_ids` `(n, t)` and what the model's head computes: `logits` `(n, t, v)`,
    or `mlm_logits` and `nsp_logits` `(n, 2)`.

    In training, only the hidden tokens are scored.

    Args:
        **options: As in `Task`.

    Raises:
        UserError: when the model has no such head.
    """

    name: ClassVar[str] = "masked_language_model"

    def __init__(self, model: Any, tokenizer: Any, **options: Any):
        require_head(model, self.name, "pretraining", "masked_lm")
        super().__init__(model, tokenizer, **options)
        self._has_pairs = model.config.head == "pretraining"

    @property
    def figures(self) -> dict[str, int]:
        """What a better model is better at; the first, unless the experiment names another."""
        pairs = {"next_sentence_accuracy": 1} if self._has_pairs else {}
        return {"loss": -1, "accuracy": 1, **pairs}

    def answer(self, inputs: Tensors) -> Tensors:
        return {"token_ids": inputs["token_ids"], **self.run(self.model, inputs)}

    def forward(self, inputs: Tensors, training: bool) -> Tensors:
        features = self.run(self.features, inputs, training)
        hidden_bmd = tf.gather(features["sequence"], inputs["masked_positions"], batch_dims=1)
        outputs = {"logits": self.model.logits(hidden_bmd), "hidden": hidden_bmd}
        if self._has_pairs:
            outputs["nsp_logits"] = self.model.get_layer("next_sentence")(features["pooled"])
        return outputs

    def count(self, targets: Tensors) -> tf.Tensor:
        """How many tokens were hidden, and, of pairs, how many rows there are."""
        tokens = token_loss.count(targets)
        rows = tf.reduce_sum(targets["weight"])
        return tf.stack([tokens, rows]) if self._has_pairs else tokens

    def loss(self, targets: Tensors, outputs: Tensors) -> tf.Tensor:
        """The summed cross-entropies in nats of the hidden tokens, and, of pairs, of the rows."""
        tokens = token_loss.loss(targets, outputs["logits"])
        if not self._has_pairs:
            return tokens
        nats_b = _nats(targets, outputs)
        return tf.stack([tokens, tf.reduce_sum(nats_b * targets["weight"])])

    def kept(self, targets: Tensors, outputs: Tensors) -> Tensors:
        """What of an evaluated batch is kept until all are there."""
        found = token_loss.kept(targets, outputs["logits"])
        if self._has_pairs:
            best_b = tf.argmax(outputs["nsp_logits"], -1, tf.int32)
            right_b = tf.cast(best_b == targets["next_sentence"], tf.float32)
            found["weight"] = targets["weight"]
            found["next_sentence_nats"] = _nats(targets, outputs) * targets["weight"]
            found["next_sentence_right"] = right_b * targets["weight"]
        return found

    def scores(self, kept: dict[str, np.ndarray]) -> dict[str, float]:
        """`loss`, `perplexity` and `accuracy` of hidden tokens; of pairs `next_sentence_loss` and
        `next_sentence_accuracy`.
        """
        scores = token_loss.scores(kept)
        if self._has_pairs:
            rows = float(kept["weight"].sum())
            scores["next_sentence_loss"] = float(kept["next_sentence_nats"].sum()) / rows
            scores["next_sentence_accuracy"] = float(kept["next_sentence_right"].sum()) / rows
        return scores

    def report(self, kept: dict[str, np.ndarray]) -> token_loss.Report:
        """All figures."""
        return token_loss.Report(self.scores(kept))


def _nats(targets: Tensors, outputs: Tensors) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        targets["next_sentence"], tf.cast(outputs["nsp_logits"], tf.float32)
    )
