"""Classification of texts or pairs of texts."""

from typing import Any, ClassVar

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.tasks.task import Task, Tensors, require_head


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
        logits_bc = self.model(inputs, training=False)["logits"]
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
