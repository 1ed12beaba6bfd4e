"""What every task has: a model, its tokenizer, and the way from a text to an answer.

The functions that `predict` runs are the ones that `export` writes, so that what is measured here
is what is served.
"""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfzoo.core.errors import UserError

Tensors = dict[str, tf.Tensor]

_LENGTH = 512  # tokens of a text where neither model nor tokenizer has a limit


class Task(abc.ABC):
    """A model and its tokenizer, joined.

    Args:
        model: A model of the zoo with the head that this task reads.
        tokenizer: A tokenizer of `tfzoo.text`; None leaves only what starts from token ids.
        pairs: Whether an input is two texts.
        max_length: Number of tokens beyond which a text is truncated, special tokens included.
            None means all that the model has positions for, or, of a model without a limit, the
            tokenizer's own, or 512.

    Attributes:
        name: Name of the task, that of its module.
        labels: Names of the classes, in the order of the logits, or None.

    Raises:
        UserError: when the tokenizer has more entries than the model has embeddings, or
            `max_length` exceeds the model's positions.
    """

    name: ClassVar[str]
    labels: tuple[str, ...] | None = None

    def __init__(
        self, model: Any, tokenizer: Any, pairs: bool = False, max_length: int | None = None
    ):
        positions = model.config.max_length
        if max_length is not None and not 3 <= max_length <= (positions or max_length):
            limit = f"to the {positions} positions of the model" if positions else "on"
            raise UserError(
                f"max_length must be from 3 {limit}. Received: max_length={max_length}."
            )
        if tokenizer is not None and tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"The tokenizer has more entries than the model has embeddings. Received: "
                f"{tokenizer.vocab_size} entries, {model.config.vocab_size} embeddings."
            )
        self.model = model
        self.tokenizer = tokenizer
        self.pairs = pairs
        self.max_length = max_length or positions or getattr(tokenizer, "max_length", _LENGTH)
        self.features = model.features()

    @abc.abstractmethod
    def answer(self, inputs: Tensors) -> Tensors:
        """The model's inputs to what a client receives: tensors whose first axis is the batch."""

    def options(self) -> dict[str, Any]:
        """The constructor's arguments beside model and tokenizer, for config.json."""
        return {"pairs": self.pairs, "max_length": self.max_length}

    def inputs(self, text: tf.Tensor, pair: tf.Tensor | None = None) -> Tensors:
        """`(n,)` strings to token_ids, segment_ids and padding_mask, `(n, t)` int32 each.

        Padding is on the right. A text that has no token at all, in a family without marks around
        texts, becomes one token, that of the padding.
        """
        inputs: Tensors = self.tokenizer(
            text, pair, max_length=self.max_length, padding_side="right"
        )
        return inputs if self.tokenizer.frame.count(pairs=False) else _not_empty(inputs)

    @property
    def has_lite_text(self) -> bool:
        """Whether TFLite has operations that give a text exactly its tokens."""
        return bool(getattr(self.tokenizer, "lite_is_exact", False))

    def run(self, model: Any, inputs: Tensors, training: bool = False) -> Tensors:
        """What a model, the task's own or its `features`, gives for what `inputs` gave."""
        named = {name: inputs[name.removeprefix("encoder_")] for name in model.input}
        outputs: Tensors = model(named, training=training)
        return outputs

    def forward(self, inputs: Tensors, training: bool) -> Tensors:
        """What the loss is made of, from what a batch of the trainer holds."""
        return self.run(self.model, inputs, training)

    def embed(self, inputs: Tensors) -> tf.Tensor:
        """`(n, d)` float32: the mean over a text's real tokens, of length 1."""
        return pool(self.sequence(inputs), inputs["padding_mask"])

    def sequence(self, inputs: Tensors) -> tf.Tensor:
        """`(n, t, d)`: the vectors of a text's tokens; of an encoder-decoder, the encoder's."""
        features = self.run(self.features, inputs)
        return features.get("encoder_sequence", features["sequence"])

    @property
    def signatures(self) -> dict[str, Any]:
        """The functions that a served model has, by name, each a `tf.function` with a signature."""
        return self.functions

    @functools.cached_property
    def functions(self) -> dict[str, Any]:
        """The functions by which `predict` answers, as `signatures`.

        `serving_default` takes `text` (and `pair`), both `(n,)` strings; `token_ids` takes
        `token_ids` `(n, t)` int32 and `lengths` `(n,)` int32, and, of pairs, `first_lengths`: how
        many of the tokens belong to the first text; `embed` takes `text` and gives `embedding`.
        It takes lengths and not a mask because TF Serving pads a tensor with its own first element.
        """
        ids = tf.TensorSpec([None, None], tf.int32, name="token_ids")
        lengths = tf.TensorSpec([None], tf.int32, name="lengths")
        first = tf.TensorSpec([None], tf.int32, name="first_lengths")
        text = tf.TensorSpec([None], tf.string, name="text")
        pair = tf.TensorSpec([None], tf.string, name="pair")

        def answer_text(text: tf.Tensor) -> Tensors:
            return self.answer(self.inputs(text))

        def answer_pair(text: tf.Tensor, pair: tf.Tensor) -> Tensors:
            return self.answer(self.inputs(text, pair))

        def answer_ids(token_ids: tf.Tensor, lengths: tf.Tensor) -> Tensors:
            return self.answer(from_lengths(token_ids, lengths, lengths))

        def answer_pair_ids(
            token_ids: tf.Tensor, lengths: tf.Tensor, first_lengths: tf.Tensor
        ) -> Tensors:
            return self.answer(from_lengths(token_ids, lengths, first_lengths))

        def embed(text: tf.Tensor) -> Tensors:
            return {"embedding": self.embed(self.inputs(text))}

        found: dict[str, Any] = {}
        if self.tokenizer is not None:
            served = (answer_pair, [text, pair]) if self.pairs else (answer_text, [text])
            found["serving_default"] = _function(*served)
            found["embed"] = _function(embed, [text])
        served_ids = (
            (answer_pair_ids, [ids, lengths, first]) if self.pairs else (answer_ids, [ids, lengths])
        )
        found["token_ids"] = _function(*served_ids)
        return found

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        batch_size: int = 32,
        signature: str = "serving_default",
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """Answers texts of any number.

        Args:
            texts: The texts.
            pairs: The second text of each, for a task of pairs.
            batch_size: How many texts go through the model at once, longest together.
            signature: Which function answers: `serving_default` or `embed`.
            progress: Whether to show a progress bar.

        Returns:
            The answer's arrays by name, in the order of `texts`; strings as UTF-8 bytes. Axes that
            differ in length between batches (tokens) are padded with zeros or empty strings.

        Raises:
            UserError: when pairs are missing, superfluous, or fewer than texts.
        """
        if self.tokenizer is None:
            raise UserError("This model came without a tokenizer; call `.model` with token ids.")
        if isinstance(texts, str) or isinstance(pairs, str):
            raise UserError(
                "Texts must be a list of strings: put one text into a list. Received: a string."
            )
        if (pairs is not None) != (self.pairs and signature != "embed"):
            wanted = "two texts" if self.pairs else "one text"
            raise UserError(f"This model takes {wanted} for each input.")
        if pairs is not None and len(pairs) != len(texts):
            raise UserError(
                f"Every text needs its pair. Received: {len(texts)} texts, {len(pairs)} pairs."
            )
        function = self.functions[signature]
        given = [texts] if pairs is None else [texts, pairs]
        columns = [[_encoded(text) for text in column] for column in given]
        order = sorted(range(len(texts)), key=lambda i: -len(columns[0][i]))
        batches = []
        starts = range(0, len(texts), batch_size)
        for start in tqdm(starts, desc="predict", unit="batch", disable=not progress):
            rows = order[start : start + batch_size]
            arguments = [tf.constant([column[i] for i in rows]) for column in columns]
            batches.append({k: v.numpy() for k, v in function(*arguments).items()})
        return _in_order(batches, np.argsort(order)) if batches else {}


def from_lengths(token_ids: tf.Tensor, lengths: tf.Tensor, first_lengths: tf.Tensor) -> Tensors:
    """The model's inputs from `(n, t)` ids, how many are real, and how many are the first text's.

    Ids beyond a row's length may hold anything: they are set to 0 and masked.
    """
    num_positions = tf.shape(token_ids)[1]
    real = tf.sequence_mask(lengths, num_positions, tf.int32)
    first = tf.sequence_mask(first_lengths, num_positions, tf.int32)
    return {
        "token_ids": token_ids * real,
        "segment_ids": (1 - first) * real,
        "padding_mask": real,
    }


def pool(sequence_btd: tf.Tensor, padding_mask_bt: tf.Tensor, normalize: bool = True) -> tf.Tensor:
    """Mean of the vectors of the real tokens, `(b, d)` float32, divided by its length."""
    mask_bt1 = tf.cast(tf.expand_dims(padding_mask_bt, 2), tf.float32)
    total_bd = tf.reduce_sum(tf.cast(sequence_btd, tf.float32) * mask_bt1, 1)
    mean_bd = total_bd / tf.maximum(tf.reduce_sum(mask_bt1, 1), 1e-9)
    return l2_normalize(mean_bd) if normalize else mean_bd


def l2_normalize(x_bd: tf.Tensor) -> tf.Tensor:
    """Vectors divided by their Euclidean length (at least 1e-12)."""
    length_b1 = tf.sqrt(tf.reduce_sum(tf.square(x_bd), -1, keepdims=True))
    return x_bd / tf.maximum(length_b1, 1e-12)


def _not_empty(inputs: Tensors) -> Tensors:
    """The inputs with at least one token in every row."""
    mask = inputs["padding_mask"]
    wide = tf.maximum(tf.shape(mask)[1], 1) - tf.shape(mask)[1]
    padded = {name: tf.pad(ids, [[0, 0], [0, wide]]) for name, ids in inputs.items()}
    first = tf.ones_like(padded["padding_mask"][:, :1])
    return {**padded, "padding_mask": tf.concat([first, padded["padding_mask"][:, 1:]], 1)}


def _encoded(text: str) -> bytes:
    if not isinstance(text, str):
        raise UserError(f"A text must be a string. Received: {text!r} ({type(text).__name__}).")
    return text.encode("utf-8", "surrogatepass")


def _function(python: Callable[..., Tensors], specs: list[tf.TensorSpec]) -> Any:
    return tf.function(python, input_signature=specs, autograph=False)


def _in_order(batches: list[dict[str, np.ndarray]], order: np.ndarray) -> dict[str, np.ndarray]:
    joined = {}
    for name in batches[0]:
        parts = [b[name] for b in batches]
        if parts[0].ndim > 1:
            longest = max(p.shape[1] for p in parts)
            pads = [[(0, 0), (0, longest - p.shape[1])] + [(0, 0)] * (p.ndim - 2) for p in parts]
            fill = b"" if parts[0].dtype == object else 0
            parts = [np.pad(p, w, constant_values=fill) for p, w in zip(parts, pads, strict=True)]
        joined[name] = np.concatenate(parts)[order]
    return joined


def require_head(model: keras.Model, task: str, *heads: str) -> None:
    """Refuses a model whose head is none of `heads`.

    Raises:
        UserError: saying which head it has.
    """
    if model.config.head not in heads:
        raise UserError(
            f"The task {task} needs a model with head {' or '.join(heads)}. "
            f"Received: head={model.config.head}."
        )
