"""The published heads that have no task of their own yet: their outputs, next to the token ids."""

from typing import Any, ClassVar

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.tasks.task import Task, Tensors


class HeadOutputs(Task):
    """Answers with what the model's head computes, as `models/*.py` documents it.

    With `labels` (token classification) it also gives `labels`, the best one of each token,
    `(n, t)` strings, empty on padding.

    Args:
        labels: Names of the classes in the order of the logits.
        **options: As in `Task`.

    Raises:
        UserError: when the number of labels is not that of the head.
    """

    name: ClassVar[str] = "head"

    def __init__(
        self, model: Any, tokenizer: Any, labels: tuple[str, ...] | None = None, **options: Any
    ):
        super().__init__(model, tokenizer, **options)
        if labels is not None and len(labels) != model.config.num_labels:
            raise UserError(
                f"The head has {model.config.num_labels} classes. Received: {len(labels)} labels."
            )
        self.labels = None if labels is None else tuple(labels)

    def options(self) -> dict[str, Any]:
        return {**super().options(), "labels": list(self.labels) if self.labels else None}

    def answer(self, inputs: Tensors) -> Tensors:
        outputs = self.run(self.model, inputs)
        answer = {"token_ids": inputs["token_ids"], **outputs}
        if self.labels is not None:
            best = tf.gather(tf.constant(self.labels), tf.argmax(outputs["logits"], -1))
            answer["labels"] = tf.where(inputs["padding_mask"] > 0, best, "")
        return answer
