"""Causal language models: every token from those before it.

Source: Radford et al. 2018 (GPT), section 3.1; Radford et al. 2019 (GPT-2); `tfzoo.data.blocks`.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfzoo.core import checks
from tfzoo.data import batches, blocks
from tfzoo.data.documents import Documents
from tfzoo.decoding import likelihood
from tfzoo.tasks import generation, samples, scoring, token_loss
from tfzoo.tasks.task import Task, Tensors, require_head
from tfzoo.tasks.texts import TextChoice, TextCorpus, named_id, special_id
from tfzoo.tasks.writer import Writer


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
        decoding: How text is written where a call does not say. To be set before `signatures`.

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
        self.decoding = generation.default_config(self)
        self._writer = Writer(self)

    @property
    def has_lite_text(self) -> bool:
        return False  # TFLite files take the ids, and give the scores of the next one

    def answer(self, inputs: Tensors) -> Tensors:
        return {"token_ids": inputs["token_ids"], **self.run(self.model, inputs)}

    @functools.cached_property
    def signatures(self) -> dict[str, Any]:
        """As `Task`: `token_ids` and `embed` of `functions`, and those that write and score texts;
        see `tfzoo.tasks.generation.signatures`.
        """
        answers = {
            name: self.functions[name] for name in ("token_ids", "embed") if name in self.functions
        }
        return {**generation.signatures(self), **answers}

    def generate(
        self,
        texts: Sequence[str],
        batch_size: int = 8,
        progress: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Goes on writing after texts. Gives the new text only: behind its prompt, it continues it.

        Args:
            texts: The texts.
            batch_size: How many are written at once, those of one length together.
            progress: Whether to show a progress bar.
            **options: Fields of `tfzoo.decoding.config.DecodingConfig` that differ from `decoding`,
                such as `max_new_tokens`, `do_sample` or `num_beams`. What a request may set
                (`tfzoo.decoding.config.NEUTRAL`, such as `temperature` and `seed`) may also be a
                list with a value for each text. A text's result depends on nothing but itself and
                its options: equal texts with one seed come out the same.

        Returns:
            The texts, or lists of `num_return_sequences` of them, the best first; without special
            tokens, and without the one of `stop_strings` that ended them.

        Raises:
            UserError: without a tokenizer; for texts that are no list of strings; for a text
                without a token; for options that there are not, and values that they do not take;
                when prompt and new tokens exceed the positions of the model.
        """
        return self._writer.generate(texts, batch_size, progress, options)

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """What `generate` gives for a text, in pieces: each as soon as it is certain.

        Raises:
            UserError: as `generate`, and for beams, contrastive search, and several sequences.
        """
        return self._writer.stream(text, options)

    def score(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        stride: int | None = None,
        begin: bool = False,
        batch_size: int = 32,
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """How likely texts are, of any length: every token from those before it.

        Args:
            texts: The texts.
            pairs: What follows each text. Then only this is scored, and the text is its context.
            stride: A text of more than `max_length` tokens is read in pieces of so many, each of
                which begins so far after the one before it; a token is scored once, with at least
                `max_length - stride` tokens of context. None is half of `max_length`.
            begin: Whether the model's token for the beginning, its config's `bos_id`, stands in
                front where the tokenizer puts none there. Otherwise the first token of a text is
                not scored, for it follows from nothing.
            batch_size: At most so many texts or pieces are read at once.
            progress: Whether to show a progress bar.

        Returns:
            Of each text, `(n,)` each: `log_likelihood` in nats, summed; `num_tokens`, how many
            tokens that is of; `num_right`, how many of them no other token was likelier than;
            `num_characters`; `perplexity` by the token, and `loss_per_character` in nats, both NaN
            where there is nothing to score.

        Raises:
            UserError: without a tokenizer, for texts that are no list of strings, pairs that are
                not as many, a stride out of its range, or no `bos_id` to begin with.
        """
        columns = scoring.checked(self, texts, pairs)
        options = scoring.stride_of(self, stride), begin
        return scoring.score_with_decoder(self, columns, options, batch_size, progress)

    def score_tensors(
        self,
        text: tf.Tensor,
        pair: tf.Tensor | None = None,
        stride: int | None = None,
        begin: bool = False,
    ) -> Tensors:
        """As `score` in the graph: `(n,)` strings to `log_likelihood`, float32, and `num_tokens`
        and `num_right`, int32, `(n,)` each.
        """
        ids, firsts = scoring.tokens(self, text, pair, begin)
        stride = scoring.stride_of(self, stride)
        read, logits = self._read, self.model.logits
        return likelihood.of_texts(read, logits, ids, firsts, self.max_length, stride)

    @functools.cached_property
    def score_pieces(self) -> Any:
        """The `tf.function` of `tfzoo.decoding.likelihood.of_windows` with this model."""

        def pieces(token_ids: tf.Tensor, lengths: tf.Tensor, firsts: tf.Tensor) -> Tensors:
            read, logits = self._read, self.model.logits
            return likelihood.of_windows(read, logits, token_ids, lengths, firsts)

        rows = tf.TensorSpec([None], tf.int32)
        specs = [tf.TensorSpec([None, None], tf.int32), rows, rows]
        return tf.function(pieces, input_signature=specs, autograph=False)

    def _read(self, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        return self.run(self.features, inputs)["sequence"]

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
