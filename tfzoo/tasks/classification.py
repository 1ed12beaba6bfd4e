"""Classification of texts or pairs of texts."""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.data import batches, splits, tables
from tfzoo.data.tables import Column, Columns, Table, fingerprint
from tfzoo.metrics import classification as metrics
from tfzoo.tasks import samples
from tfzoo.tasks.task import Task, Tensors, require_head


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        train: A TSV, CSV or JSON-lines file, or one of these with .gz after it.
        evaluate: Another one to score the model on, or null to keep a part of `train` for that.
        evaluate_share: How large a part. Equal texts never stand on both sides.
        text: Column of the text, by name or by number from 0.
        pair: Column of the second text, for tasks of pairs.
        label: Column of the label.
        header: Whether the first row holds names: true, false, or `auto`, when a column is given by
            name.
        max_length: Number of tokens beyond which a text is truncated.
        class_weights: What a row of a class counts in the loss: 1 (`none`), as much as makes all
            classes count the same (`balanced`), or a number for some classes, by name.
        max_rows: At most so many training rows, spread over the whole file.
    """

    train: str
    evaluate: str | None = None
    evaluate_share: float = 0.1
    text: Column = "text"
    pair: Column | None = None
    label: Column = "label"
    header: Literal["auto", True, False] = "auto"
    max_length: int = 128
    class_weights: dict[str, float] | Literal["none", "balanced"] = "none"
    max_rows: int | None = None

    def __post_init__(self) -> None:
        self.columns()  # complains about columns
        if not 0 < self.evaluate_share < 1:
            raise UserError(
                "evaluate_share must be between 0 and 1. "
                f"Received: evaluate_share={self.evaluate_share}."
            )
        if self.max_rows is not None and self.max_rows < 2:
            raise UserError(f"max_rows must be at least 2. Received: max_rows={self.max_rows}.")
        if isinstance(self.class_weights, dict):
            for name, weight in self.class_weights.items():
                if weight <= 0:
                    raise UserError(
                        f"Class weights must be above 0. Received: class_weights.{name}={weight}."
                    )

    def columns(self) -> Columns:
        """Where texts and labels stand in the files."""
        return Columns(self.text, self.label, self.pair, self.header)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Everything that is read from disk to train a classifier.

    Attributes:
        train: The rows to train on.
        evaluate: The rows to score on.
        labels: Names of the classes, of all rows of the training file.
        class_weights: What a row of each class counts in the loss.
        tokenizer: None: the texts came without one.
    """

    train: Table
    evaluate: Table
    labels: tuple[str, ...]
    class_weights: tuple[float, ...]
    tokenizer: None = None

    def texts(self) -> list[str]:
        """The texts to train a vocabulary on."""
        return [*self.train.texts, *(self.train.pairs or ())]

    def model_fields(self) -> dict[str, Any]:
        """The fields of the model's config that the data decide."""
        return {"head": "classification", "num_labels": len(self.labels)}

    def task(self, model: Any, tokenizer: Any, data: Data) -> "Classification":
        """The task of this data on this model."""
        return Classification(
            model,
            tokenizer,
            self.labels,
            pairs=self.train.pairs is not None,
            max_length=data.max_length,
        )

    def fingerprint(self) -> str:
        """A digest of everything that was read."""
        return fingerprint(self.train, self.evaluate)

    def facts(self) -> dict[str, Any]:
        """What a run notes down about the data."""
        return {"labels": list(self.labels)}

    def describe(self) -> str:
        """A line for the log."""
        more = ", ..." if len(self.labels) > 20 else ""
        return f"{len(self.labels)} classes: {', '.join(self.labels[:20])}{more}."

    def samples(self, task: "Classification", count: int) -> list[tuple[str, str]]:
        """A table of a few texts to score on, with the model's answers, as Markdown."""
        shown = self.evaluate.spread(count)
        answer = task.predict(shown.texts, shown.pairs)
        head = ["text", *(["pair"] if shown.pairs is not None else []), "label", "predicted"]
        found = [label.decode("utf-8", "replace") for label in answer["label"]]
        columns = [shown.texts, shown.pairs, shown.labels, found]
        scores = [f"{score:.3f}" for score in answer["score"]]
        cells = zip(*(column for column in [*columns, scores] if column is not None), strict=True)
        return [("predictions", samples.table([*head, "score"], cells))]

    def sources(
        self, task: "Classification", seed: int, fixed: bool
    ) -> tuple[batches.Source, batches.Source]:
        """The rows to train on and to score on.

        Args:
            task: Encodes them.
            seed: Not needed: nothing here is left to chance.
            fixed: Whether all batches have one shape.
        """
        weights = np.asarray(self.class_weights, "float32")
        multiple = task.max_length if fixed else 8

        def encode(columns: Tensors) -> batches.Batch:
            return task.encode(columns, multiple)

        return (
            batches.of_rows(rows(self.train, self.labels, weights), encode),
            batches.of_rows(rows(self.evaluate, self.labels), encode),
        )


def read(data: Data) -> Corpus:
    """Reads and checks the files.

    Raises:
        UserError: as `tfzoo.data.tables.read`; for a label that is only in the evaluation file, one
            class only, class weights of unknown classes, or no rows left to score on.
    """
    table = tables.read(data.train, data.columns())
    labels = tables.label_names(table)
    if data.evaluate is None:
        train, evaluate = splits.by_text(table, data.evaluate_share)
    else:
        train, evaluate = table, tables.read(data.evaluate, data.columns())
    train = train.spread(data.max_rows)
    evaluate.label_ids(labels)  # complains about unknown labels
    if len(set(train.labels or ())) < 2:
        raise UserError(
            f"Only one class is left to train on. Received: {len(train)} rows of {data.train}."
        )
    return Corpus(train, evaluate, labels, class_weights(data.class_weights, train, labels))


def class_weights(
    wanted: dict[str, float] | str, table: Table, labels: tuple[str, ...]
) -> tuple[float, ...]:
    """What a row of each class counts in the loss.

    `balanced` gives n / (classes * rows of the class), as scikit-learn does.

    Raises:
        UserError: for a weight of a class that there is not.
    """
    if isinstance(wanted, dict):
        for name in wanted:
            if name not in labels:
                raise UserError(unknown_name("class of the training data", name, labels))
        return tuple(float(wanted.get(name, 1.0)) for name in labels)
    if wanted == "none":
        return (1.0,) * len(labels)
    counts = np.bincount(table.label_ids(labels), minlength=len(labels))
    present = np.count_nonzero(counts)
    return tuple(float(len(table) / (present * max(count, 1))) for count in counts)


def rows(table: Table, labels: tuple[str, ...], weights: np.ndarray | None = None) -> Tensors:
    """The columns of a table as tensors: `text`, `pair`, `label` (a number), `weight`."""
    ids = np.asarray(table.label_ids(labels), "int32")
    ones = np.ones(len(ids), "float32")
    columns = {
        "text": tf.constant(table.texts),
        "label": tf.constant(ids),
        "weight": tf.constant(ones if weights is None else weights[ids]),
    }
    if table.pairs is not None:
        columns["pair"] = tf.constant(table.pairs)
    return columns


class Classification(Task):
    """Answers with `label` `(n,)` strings, `score` `(n,)` its probability, and of all classes
    `labels` `(n, c)` strings and `scores` `(n, c)` probabilities, float32, and the `logits`.

    Args:
        labels: Names of the classes in the order of the logits.
        **options: As in `Task`.

    Raises:
        UserError: when the model has no classification head of as many classes.
    """

    name: ClassVar[str] = "classification"
    # What a better model may be better at, and in which direction; the first, unless the experiment
    # names another.
    figures: ClassVar[dict[str, int]] = {"macro_f1": 1, "accuracy": 1, "loss": -1}

    def __init__(self, model: Any, tokenizer: Any, labels: tuple[str, ...], **options: Any):
        require_head(model, self.name, "classification")
        super().__init__(model, tokenizer, **options)
        if len(labels) != model.config.num_labels:
            raise UserError(
                f"The head has {model.config.num_labels} classes. Received: {len(labels)} labels."
            )
        self.labels = tuple(labels)

    def options(self) -> dict[str, Any]:
        return {**super().options(), "labels": list(self.labels or ())}

    def answer(self, inputs: Tensors) -> Tensors:
        logits_bc = self.run(self.model, inputs)["logits"]
        scores_bc = tf.nn.softmax(logits_bc)
        names_c = tf.constant(self.labels)
        num_rows = tf.shape(logits_bc)[0]
        return {
            "label": tf.gather(names_c, tf.argmax(logits_bc, -1)),
            "score": tf.reduce_max(scores_bc, -1),
            "labels": tf.tile(tf.expand_dims(names_c, 0), [num_rows, 1]),
            "scores": scores_bc,
            "logits": logits_bc,
        }

    def encode(self, rows: Tensors, multiple: int = 8) -> tuple[Tensors, Tensors]:
        """Rows to the model's inputs, padded to a multiple, and the targets `label`, `weight`."""
        inputs = self.inputs(rows["text"], rows.get("pair"))
        targets = {"label": rows["label"], "weight": rows["weight"]}
        return batches.pad(inputs, multiple, self.max_length), targets

    def count(self, targets: Tensors) -> tf.Tensor:
        """The sum of the rows' weights, `()` float32.

        It stands apart from the loss because only the trainer knows how much weight the other
        replicas hold.
        """
        return tf.reduce_sum(targets["weight"])

    def loss(self, targets: Tensors, outputs: Tensors) -> tf.Tensor:
        """The weighted sum of the rows' cross-entropies in nats, `()` float32."""
        logits_bc = tf.cast(outputs["logits"], tf.float32)
        nats_b = tf.nn.sparse_softmax_cross_entropy_with_logits(targets["label"], logits_bc)
        return tf.reduce_sum(nats_b * targets["weight"])

    def kept(self, targets: Tensors, outputs: Tensors) -> Tensors:
        """What of an evaluated batch is kept until all are there."""
        return {**targets, "logits": outputs["logits"]}

    def scores(self, kept: dict[str, np.ndarray]) -> dict[str, float]:
        """`loss`, `accuracy` and `macro_f1` of all kept rows."""
        kept = _real(kept)
        report = self.report(kept)
        return {
            "loss": float(self.loss(kept, kept) / self.count(kept)),
            "accuracy": report.accuracy,
            "macro_f1": report.macro_f1,
        }

    def report(self, kept: dict[str, np.ndarray]) -> metrics.Report:
        """All figures of the kept rows, class by class."""
        kept = _real(kept)
        return metrics.report(kept["label"], kept["logits"].argmax(-1), self.labels or ())

    def pictures(self, kept: dict[str, np.ndarray]) -> dict[str, bytes]:
        """PNG files for TensorBoard."""
        return {"confusion_matrix": metrics.confusion_picture(self.report(kept))}

    def precision_recall(
        self, kept: dict[str, np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each class, which rows are of it, and how probable that was for the model."""
        kept = _real(kept)
        scores = tf.nn.softmax(tf.cast(kept["logits"], tf.float32)).numpy()
        return {
            name: (kept["label"] == i, scores[:, i]) for i, name in enumerate(self.labels or ())
        }

    def evaluate(
        self, table: Table, batch_size: int = 32, progress: bool = False
    ) -> metrics.Report:
        """Scores the model on a table.

        Raises:
            UserError: for a label that the model does not know, with file and line.
        """
        true = table.label_ids(self.labels or ())
        answer = self.predict(table.texts, table.pairs, batch_size, progress=progress)
        return metrics.report(np.asarray(true), answer["logits"].argmax(-1), self.labels or ())


def _real(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the rows of weight 0 that fill up the last batch."""
    return {name: array[kept["weight"] > 0] for name, array in kept.items()}
