"""Encoder-decoders: how well one text follows from another, token by token.

Source: Sutskever et al. 2014, https://arxiv.org/abs/1409.3215; teacher forcing, Williams and Zipser
1989.

    text ─► source ids ──────────────────────► encoder ─┐
    pair ─► target ids ─► one to the right ─► decoder ──┴─► logits of each target token
"""

from typing import Any, ClassVar

import tensorflow as tf

from tfzoo.tasks.task import Task, Tensors


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
    """

    name: ClassVar[str] = "sequence_to_sequence"

    def __init__(
        self, model: Any, tokenizer: Any, pairs: bool = True, max_length: int | None = None
    ):
        super().__init__(model, tokenizer, True, max_length)

    @property
    def has_lite_text(self) -> bool:
        return False  # it has no operations that join ragged rows

    def inputs(self, text: tf.Tensor, pair: tf.Tensor | None = None) -> Tensors:
        source = super().inputs(text)
        if pair is None:
            return source
        tokenizer = getattr(self.tokenizer, "target", self.tokenizer)
        target = tokenizer(pair, max_length=self.max_length, padding_side="right")
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

    def sequence(self, inputs: Tensors) -> tf.Tensor:
        sequence_bkd: tf.Tensor = self.model.encode(inputs["token_ids"], inputs["padding_mask"])
        return sequence_bkd

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


def _ragged(inputs: Tensors) -> tf.RaggedTensor:
    lengths = tf.reduce_sum(inputs["padding_mask"], 1)
    return tf.RaggedTensor.from_tensor(inputs["token_ids"], lengths)
