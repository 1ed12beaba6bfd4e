"""Sentence embeddings: a text becomes one vector, near to those of texts that mean the same.

Source: Reimers and Gurevych 2019, "Sentence-BERT", section 3, https://arxiv.org/abs/1908.10084.
"""

from typing import Any, ClassVar

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.tasks.task import Task, Tensors, l2_normalize, pool


class Embedding(Task):
    """Answers a text with `embedding`, `(n, d)` float32.

    Args:
        pooling: `mean` over the real tokens, or `cls` for the first token's vector.
        normalize: Whether to divide it by its length.
        **options: As in `Task`.
    """

    name: ClassVar[str] = "embedding"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        pooling: str = "mean",
        normalize: bool = True,
        **options: Any,
    ):
        super().__init__(model, tokenizer, **options)
        if pooling not in ("mean", "cls"):
            raise UserError(f"pooling must be mean or cls. Received: pooling={pooling!r}.")
        self.pooling = pooling
        self.normalize = normalize

    def options(self) -> dict[str, Any]:
        return {**super().options(), "pooling": self.pooling, "normalize": self.normalize}

    def embed(self, inputs: Tensors) -> tf.Tensor:
        sequence_btd = self.sequence(inputs)
        if self.pooling == "mean":
            return pool(sequence_btd, inputs["padding_mask"], self.normalize)
        first_bd = tf.cast(sequence_btd[:, 0], tf.float32)
        return l2_normalize(first_bd) if self.normalize else first_bd

    def answer(self, inputs: Tensors) -> Tensors:
        return {"embedding": self.embed(inputs)}
