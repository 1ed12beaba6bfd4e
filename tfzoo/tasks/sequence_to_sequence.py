"""Encoder-decoders: how well one text follows from another, token by token, and how to learn it.

Source: Sutskever et al. 2014, https://arxiv.org/abs/1409.3215; `tfzoo.data.parallel`.

    text ─► source ids ──────────────────────► encoder ─┐
    pair ─► target ids ─► one to the right ─► decoder ──┴─► logits of each target token
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import batches, parallel, splits
from tfzoo.data.tables import Column, Table, fingerprint
from tfzoo.decoding import likelihood
from tfzoo.metrics import translation
from tfzoo.tasks import generation, samples, scoring, token_loss
from tfzoo.tasks.task import Task, Tensors
from tfzoo.tasks.writer import Writer

_TOKENIZED_AT_ONCE = 1024
# A translation ends after half as many tokens again as its source has, and ten. Before it has
# learned to end them, a model would go on to the longest there are; Vaswani et al. 2017, section
# 6.1, allow 50 more than the source.
_LONGER, _LONGEST = 1.5, 10


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        train: A TSV, CSV or JSON-lines file of pairs, or two files whose lines belong together,
            `[train.en, train.de]`. Any of them may end in .gz.
        evaluate: The same, to score the model on, or null to keep a part of `train` for that.
        evaluate_share: How large a part. Equal sources never stand on both sides.
        text: Column of the source in a table.
        pair: Column of the target in a table.
        max_length: Number of tokens beyond which each of the two is truncated.
        label_smoothing: Share of the probability that goes to all tokens evenly (0.1 in Vaswani et
            al. 2017, section 5.4).
        bleu: Whether the evaluation sources are translated, greedily, and scored by BLEU.
        max_rows: At most so many training rows, spread over the whole file.
    """

    train: str | tuple[str, str]
    evaluate: str | tuple[str, str] | None = None
    evaluate_share: float = 0.05
    text: Column = "text"
    pair: Column = "pair"
    max_length: int = 128
    label_smoothing: float = 0.1
    bleu: bool = True
    max_rows: int | None = None

    def __post_init__(self) -> None:
        for name in ("evaluate_share", "label_smoothing"):
            value = getattr(self, name)
            if not 0 <= value < 1 or (name == "evaluate_share" and not value):
                raise UserError(f"{name} must be between 0 and 1. Received: {name}={value}.")
        if self.max_rows is not None and self.max_rows < 2:
            raise UserError(f"max_rows must be at least 2. Received: max_rows={self.max_rows}.")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Everything that is read from disk to train an encoder-decoder on pairs.

    Attributes:
        train: The pairs to train on.
        evaluate: The pairs to score on.
        labels: None: there are no classes.
        tokenizer: None: the texts came without one.
    """

    train: Table
    evaluate: Table
    labels: None = None
    tokenizer: None = None

    def texts(self) -> list[str]:
        """The texts to train a vocabulary on, that of both sides."""
        return [*self.train.texts, *(self.train.pairs or ())]

    def model_fields(self) -> dict[str, Any]:
        """The fields of the model's config that the task decides."""
        return {"head": "conditional_generation"}

    def task(self, model: Any, tokenizer: Any, data: Data) -> "SequenceToSequence":
        """The task of this data on this model."""
        task = SequenceToSequence(model, tokenizer, max_length=data.max_length)
        check_end(model, (_target(tokenizer).frame.after or (None,))[-1])
        references = self.evaluate.pairs if data.bleu else None
        task.training = Training(data.label_smoothing, references)
        return task

    def facts(self) -> dict[str, Any]:
        """What a run notes down about the data."""
        return {}

    def describe(self) -> str:
        """A line for the log."""
        return "Pairs of texts."

    def fingerprint(self) -> str:
        """A digest of everything that was read."""
        return fingerprint(self.train, self.evaluate)

    def sources(
        self, task: "SequenceToSequence", seed: int, fixed: bool
    ) -> tuple[batches.Source, batches.Source]:
        """The pairs to train on, those of about one length together, and to score on.

        Args:
            task: Tokenizes them.
            seed: Not needed: nothing here is left to chance.
            fixed: Whether all batches have one shape.
        """
        width = task.max_length if fixed else None
        return _source(task, self.train, width), _source(task, self.evaluate, width)

    def samples(self, task: "SequenceToSequence", count: int) -> list[tuple[str, str]]:
        """A few pairs to score on with the model's own targets, for TensorBoard."""
        source = _source(task, self.evaluate.spread(count), None)
        shown = samples.translations(task, *batches.first(source, count))
        return [("predictions", shown)]


def _source(task: "SequenceToSequence", table: Table, width: int | None) -> batches.Source:
    tokenizer, config = task.tokenizer, task.model.config
    sources = _tokenized(tokenizer, table.texts, task.max_length)
    targets = _tokenized(_target(tokenizer), table.pairs or (), task.max_length)
    return parallel.teacher_forcing(sources, targets, config.pad_id, config.decoder_start_id, width)


def read(data: Data) -> Corpus:
    """Reads and checks the files. The pairs to score on come sorted by length: no order matters to
    their figures, and the batches are done sooner.

    Raises:
        UserError: as `tfzoo.data.parallel.read`, or when no rows are left to score on.
    """
    table = parallel.read(data.train, data.text, data.pair)
    if data.evaluate is None:
        train, evaluate = splits.by_text(table, data.evaluate_share)
    else:
        train, evaluate = table, parallel.read(data.evaluate, data.text, data.pair)
    by_length = sorted(range(len(evaluate)), key=lambda row: len(evaluate.texts[row]))
    return Corpus(train.spread(data.max_rows), evaluate.select(by_length))


def check_end(model: Any, end_id: int | None) -> None:
    """Refuses a model that would not know where a text ends.

    Raises:
        UserError: when the tokenizer's end is not that of the model's config.
    """
    if end_id != model.config.eos_id:
        raise UserError(
            f"The model and the tokenizer must end a text with one token. Set "
            f"model.fields.eos_id to the tokenizer's. Received: eos_id={model.config.eos_id}, the "
            f"tokenizer's is {end_id}."
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """What only a run needs to know.

    Attributes:
        label_smoothing: As in `Data`.
        references: The targets to score translations by, or None to translate nothing.
    """

    label_smoothing: float = 0.0
    references: tuple[str, ...] | None = None


class SequenceToSequence(Task):
    """Answers a source and a target text with `token_ids` of the target and the model's outputs.

    `logits` `(n, t, v)` at position i are the model's opinion about target token i, having read the
    source and the target tokens before it. In `token_ids` a row holds the source's ids and then the
    target's; `first_lengths` says where the target begins.

    Args:
        model: An encoder-decoder of the zoo.
        tokenizer: A tokenizer of `tfzoo.text`, or None. Where it has a `target`, that one is for
            the target texts.
        pairs: Always true.
        max_length: As in `Task`, of each of the two texts.

    Attributes:
        training: What a run adds.
        decoding: How text is written where a call does not say. To be set before `signatures`. A
            model without a head to write with has none.
    """

    name: ClassVar[str] = "sequence_to_sequence"

    def __init__(
        self, model: Any, tokenizer: Any, pairs: bool = True, max_length: int | None = None
    ):
        super().__init__(model, tokenizer, True, max_length)
        self.training = Training()
        if "logits" in model.output:
            self.decoding = generation.default_config(self)
        self._writer = Writer(self)

    @property
    def figures(self) -> dict[str, int]:
        """What a better model is better at; the first, unless the experiment names another."""
        others = {"loss": -1, "accuracy": 1}
        return others if self.training.references is None else {"bleu": 1, **others}

    @property
    def has_lite_text(self) -> bool:
        return False  # it has no operations that join ragged rows

    def inputs(self, text: tf.Tensor, pair: tf.Tensor | None = None) -> Tensors:
        source = super().inputs(text)
        if pair is None:
            return source
        target = _target(self.tokenizer)(pair, max_length=self.max_length, padding_side="right")
        ids = tf.concat([_ragged(source), _ragged(target)], 1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        token_ids = ids.to_tensor()
        real = tf.sequence_mask(lengths, tf.shape(token_ids)[1], tf.int32)
        first = tf.reduce_sum(source["padding_mask"], 1)
        segment_ids = real - tf.sequence_mask(first, tf.shape(token_ids)[1], tf.int32)
        return {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": real}

    def answer(self, inputs: Tensors) -> Tensors:
        split = self._split(inputs)
        outputs = self.run(self.model, split)
        return {"token_ids": split["target_token_ids"], **outputs}

    @functools.cached_property
    def signatures(self) -> dict[str, Any]:
        """As `Task`: `token_ids` and `embed` of `functions`, and those that write and score texts;
        see `tfzoo.tasks.generation.signatures`.
        """
        if not hasattr(self, "decoding"):
            return self.functions
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
        """Writes what follows from texts, such as their translations.

        Args:
            texts: The texts, of which `max_length` tokens are read.
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
        pairs: Sequence[str],
        batch_size: int = 32,
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """How likely each target is, given its source: every token from the source and those
        before it, the one that ends it included. Both are truncated to `max_length`.

        Args:
            texts: The sources.
            pairs: The targets.
            batch_size: How many go through the model at once.
            progress: Whether to show a progress bar.

        Returns:
            Of each target, as of each text in `tfzoo.tasks.language_model.LanguageModel.score`.

        Raises:
            UserError: without a tokenizer, for texts that are no list of strings, or pairs that are
                not as many.
        """
        columns = scoring.checked(self, texts, pairs)
        return scoring.score_pairs(self._score, columns, batch_size, progress)

    def score_tensors(self, text: tf.Tensor, pair: tf.Tensor) -> Tensors:
        """As `score` in the graph: `(n,)` strings to `log_likelihood`, float32, and `num_tokens`
        and `num_right`, int32, `(n,)` each.
        """
        split = self._split(self.inputs(text, pair))
        x_btd = self.run(self.features, split)["sequence"]
        counted = split["decoder_padding_mask"] > 0
        return likelihood.of_tokens(self.model.logits, x_btd, split["target_token_ids"], counted)

    @functools.cached_property
    def _score(self) -> Any:
        strings = tf.TensorSpec([None], tf.string)
        specs = [strings, strings]
        return tf.function(self.score_tensors, input_signature=specs, autograph=False)

    def sequence(self, inputs: Tensors) -> tf.Tensor:
        sequence_bkd: tf.Tensor = self.model.encode(inputs["token_ids"], inputs["padding_mask"])
        return sequence_bkd

    def forward(self, inputs: Tensors, training: bool) -> Tensors:
        outputs: Tensors = self.model({k: inputs[k] for k in self.model.input}, training=training)
        if training or self.training.references is None:
            return outputs
        lengths_b = tf.reduce_sum(inputs["encoder_padding_mask"], 1)
        longest_b = tf.cast(tf.cast(lengths_b, tf.float32) * _LONGER, tf.int32) + _LONGEST
        translated = samples.likeliest(
            self.model,
            {k: inputs[k] for k in ("encoder_token_ids", "encoder_padding_mask")},
            self.model.config.eos_id,
            self.max_length,
            {"max_new_tokens": tf.minimum(longest_b, self.max_length)},
        )
        return {**outputs, "translated": translated}

    def count(self, targets: Tensors) -> tf.Tensor:
        """How many target tokens there are."""
        return token_loss.count(targets)

    def loss(self, targets: Tensors, outputs: Tensors) -> tf.Tensor:
        """The summed smoothed cross-entropy of the target tokens in nats."""
        return token_loss.loss(targets, outputs["logits"], self.training.label_smoothing)

    def kept(self, targets: Tensors, outputs: Tensors) -> Tensors:
        """What of an evaluated batch is kept until all are there."""
        found = token_loss.kept(targets, outputs["logits"])
        if "translated" in outputs:
            found["translated"] = outputs["translated"]
        return found

    def scores(self, kept: dict[str, np.ndarray]) -> dict[str, float]:
        """`loss` (without smoothing), `perplexity` and `accuracy` of target tokens, and `bleu`."""
        scores = token_loss.scores(kept)
        if "translated" in kept:
            scores["bleu"] = self._bleu(kept).score
        return scores

    def report(self, kept: dict[str, np.ndarray]) -> token_loss.Report:
        """All figures, and how BLEU was counted."""
        scores: dict[str, Any] = self.scores(kept)
        if "translated" in kept:
            scores["bleu_signature"] = self._bleu(kept).signature
        return token_loss.Report(scores)

    def _bleu(self, kept: dict[str, np.ndarray]) -> translation.Bleu:
        references = self.training.references or ()
        ids = tf.constant(kept["translated"][: len(references)])
        texts = self.tokenizer.decode(ids, skip_special_tokens=True).numpy()
        return translation.bleu([text.decode("utf-8", "replace") for text in texts], references)

    def _split(self, inputs: Tensors) -> Tensors:
        """Rows of a source and a target, to what an encoder-decoder takes."""
        is_source = inputs["padding_mask"] * (1 - inputs["segment_ids"])
        first_n1 = tf.reduce_sum(is_source, 1, keepdims=True)
        total_n1 = tf.reduce_sum(inputs["padding_mask"], 1, keepdims=True)
        width = tf.reduce_max(total_n1 - first_n1)
        columns_1t = tf.expand_dims(tf.range(width), 0)
        mask = tf.cast(columns_1t < total_n1 - first_n1, tf.int32)
        last = tf.shape(inputs["token_ids"])[1] - 1
        places = tf.minimum(first_n1 + columns_1t, last)
        target = tf.gather(inputs["token_ids"], places, batch_dims=1) * mask
        start = tf.fill(tf.shape(first_n1), self.model.config.decoder_start_id)
        decoder = tf.concat([start, target], 1)[:, :-1]
        # A row may be wider than the positions that the encoder has.
        width = tf.reduce_max(first_n1)
        return {
            "token_ids": (inputs["token_ids"] * is_source)[:, :width],
            "padding_mask": is_source[:, :width],
            "target_token_ids": target,
            "decoder_token_ids": decoder,
            "decoder_padding_mask": mask,
        }


def _target(tokenizer: Any) -> Any:
    """The tokenizer of the target texts."""
    return getattr(tokenizer, "target", tokenizer)


def _tokenized(tokenizer: Any, texts: tuple[str, ...], max_length: int) -> tf.RaggedTensor:
    """All texts, in the memory of the host."""
    with tf.device("CPU"):
        starts = range(0, len(texts), _TOKENIZED_AT_ONCE)
        some = (tf.constant(texts[start : start + _TOKENIZED_AT_ONCE]) for start in starts)
        parts = [_ragged(tokenizer(t, max_length=max_length, padding_side="right")) for t in some]
        return tf.concat(parts, 0)


def _ragged(inputs: Tensors) -> tf.RaggedTensor:
    lengths = tf.reduce_sum(inputs["padding_mask"], 1)
    return tf.RaggedTensor.from_tensor(inputs["token_ids"], lengths)
