"""What TensorBoard shows of the model at each evaluation, beside the curves."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.core.experiment import TensorBoardChoice
from tfzoo.data.batches import Source, first
from tfzoo.tasks.task import pool
from tfzoo.train import pictures, projector
from tfzoo.train.strategies import components
from tfzoo.train.tensorboard import Curves

_DRAWN_ROWS = 2
_DRAWN_TOKENS = 32
_DRAWN_CHARACTERS = 100
_IDS = ("encoder_token_ids", "token_ids")
_PROJECTED_ROWS = 256
_MOST_CLASSES = 40  # that have a curve of precision and recall

Samples = Callable[[Any, int], list[tuple[str, str]]]


class Views:
    """Looks at a model as it is.

    A task may have `pictures(kept) -> {name: PNG file}` and `precision_recall(kept) -> {class:
    (is_it, score)}`.

    Args:
        choice: What is wanted.
        task: The task, with its model.
        source: The evaluation's rows, of which the first are shown.
        curves: Where to.
        samples: `samples(task, count)` gives titles and Markdown of texts and the model's answers.
    """

    def __init__(
        self,
        choice: TensorBoardChoice,
        task: Any,
        source: Source,
        curves: Curves,
        samples: Samples | None = None,
    ):
        self._choice = choice
        self._task = task
        self._source = source
        self._curves = curves
        self._samples = samples

    def show(self, step: int, kept: dict[str, np.ndarray]) -> None:
        """Shows the model.

        Args:
            step: The step it is of.
            kept: What the task kept of the evaluation.
        """
        choice, curves, task = self._choice, self._curves, self._task
        if choice.pictures:
            for name, picture in getattr(task, "pictures", _nothing)(kept).items():
                curves.images(step, name, [picture])
            of_classes = getattr(task, "precision_recall", _nothing)(kept)
            for name, (is_it, score) in list(of_classes.items())[:_MOST_CLASSES]:
                curves.precision_recall(step, name, is_it, score)
        if choice.samples and self._samples is not None:
            for title, text in self._samples(task, choice.samples):
                curves.text(f"samples/{title}", text, step)
        if choice.histograms:
            weights = task.model.trainable_variables
            arrays = {w.path: components(w)[0].numpy().astype("float32") for w in weights}
            curves.histograms(step, {f"weights/{path}": a for path, a in arrays.items()})
        if choice.attention:
            self._draw_attention(step)
        if choice.projector:
            self._project(step)

    def _draw_attention(self, step: int) -> None:
        inputs, _ = first(self._source, _DRAWN_ROWS)
        seen = {name: value.numpy() for name, value in self._probe(inputs).items()}
        for name, weights_bhqk in seen.items():
            # attentions_0, encoder_attentions_0, cross_attentions_0
            prefix, number = name.split("attentions_")
            is_cross = prefix == "cross_"
            of_queries = self._tokens(inputs, "decoder_" if is_cross else prefix)
            of_keys = self._tokens(inputs, "encoder_" if is_cross else prefix)
            drawn = [
                pictures.attention(weights_hqk[:, : len(queries), : len(keys)], queries, keys)
                for weights_hqk, queries, keys in zip(
                    weights_bhqk, of_queries, of_keys, strict=True
                )
            ]
            self._curves.images(step, f"{prefix}attention/block_{number}", drawn)

    def _project(self, step: int) -> None:
        """The tables of tokens and positions, and the vectors of the first texts."""
        vocabulary = self._task.tokenizer.vocabulary
        tables, labels = {}, {}
        for weight in self._task.model.trainable_variables:
            name = weight.path.removesuffix("/embeddings")
            if not name.endswith(("token_embedding", "position_embedding")):
                continue
            table = components(weight)[0].numpy()
            names = vocabulary if name.endswith("token_embedding") else ()
            more = (str(i) for i in range(len(names), len(table)))
            tables[name] = table
            labels[name] = {"label": [*names[: len(table)], *more]}
        inputs, targets = first(self._source, _PROJECTED_ROWS)
        tables["text_embedding"] = self._embed(inputs).numpy()
        labels["text_embedding"] = {"text": self._texts(inputs)}
        if getattr(self._task, "labels", None) and "label" in targets:
            numbers = targets["label"].numpy()
            labels["text_embedding"]["label"] = [self._task.labels[i] for i in numbers]
        projector.write(self._curves.folder, step, tables, labels)

    def _texts(self, inputs: Mapping[str, tf.Tensor]) -> list[str]:
        """The beginnings of the rows, an encoder-decoder's source."""
        ids = next(inputs[name] for name in _IDS if name in inputs)
        texts = self._task.tokenizer.decode(ids, skip_special_tokens=True).numpy()
        return [text.decode("utf-8", "replace")[:_DRAWN_CHARACTERS] for text in texts]

    def _tokens(self, inputs: Mapping[str, tf.Tensor], prefix: str) -> list[list[str]]:
        """The first real tokens of each row in a stack."""
        ids = inputs.get(f"{prefix}token_ids")
        if ids is None and prefix == "encoder_":
            ids = inputs["token_ids"]
        if ids is None:  # the decoder of a classifier reads what the model itself makes
            numbers = [str(i) for i in range(_DRAWN_TOKENS)]
            return [numbers] * len(next(iter(inputs.values())))
        mask = inputs.get(f"{prefix}padding_mask", inputs.get("padding_mask"))
        counts = np.minimum(tf.math.count_nonzero(mask, 1).numpy(), _DRAWN_TOKENS)
        vocabulary = self._task.tokenizer.vocabulary
        rows = zip(ids.numpy().tolist(), counts, strict=True)
        return [[vocabulary[i] for i in row[:count]] for row, count in rows]

    @functools.cached_property
    def _probe(self) -> Callable[[Any], Any]:
        whole = self._task.model.probe()
        wanted = {name: value for name, value in whole.output.items() if "attentions_" in name}
        probe = keras.Model(whole.input, wanted, name="attention_probe")
        return tf.function(lambda inputs: probe(_named(probe, inputs), training=False))

    @functools.cached_property
    def _embed(self) -> Callable[[Any], tf.Tensor]:
        features = self._task.model.features()

        def embed(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
            found = features(_named(features, inputs), training=False)
            mask = inputs.get("encoder_padding_mask", inputs.get("padding_mask"))
            # Of documents packed into a row, the mask holds numbers.
            return pool(found.get("encoder_sequence", found["sequence"]), tf.minimum(mask, 1))

        return tf.function(embed)


def _named(model: keras.Model, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """A model's inputs; of an encoder-decoder under a task that names them like an encoder's."""
    return {
        name: inputs[name if name in inputs else name.removeprefix("encoder_")]
        for name in model.input
    }


def _nothing(kept: Any) -> dict[str, Any]:
    return {}
