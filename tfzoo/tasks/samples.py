"""What a model answers to a few texts, as Markdown, to be looked at while it trains."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate
from tfzoo.tasks.task import Tensors

_PROMPT, _CONTINUATION = 24, 40  # tokens


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; what could break it is taken out of its cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def continuations(task: Any, inputs: Tensors, end_id: int | None) -> str:
    """The beginnings of some rows of a language model's, and what it writes after them."""
    positions = task.model.config.max_length or 2 * _PROMPT
    prompts = inputs["token_ids"][:, : min(_PROMPT, positions // 2)]
    room = (task.model.config.max_length or _PROMPT + _CONTINUATION) - prompts.shape[1]
    written = likeliest(task.model, {"token_ids": prompts}, end_id, min(_CONTINUATION, room))
    shown = zip(_texts(task, prompts), _texts(task, written), strict=True)
    return table(("text", "goes on"), shown)


def fillings(task: Any, inputs: Tensors, targets: Tensors) -> str:
    """Some rows of a masked language model's, what was hidden, and what it takes that for."""
    best = tf.argmax(task.forward(inputs, training=False)["logits"], -1, tf.int32)
    vocabulary, rows = task.tokenizer.vocabulary, []
    for text, labels, weights, found in zip(
        _texts(task, inputs["token_ids"], False),
        targets["labels"].numpy(),
        targets["label_weights"].numpy(),
        best.numpy(),
        strict=True,
    ):
        real = weights > 0
        words = (" ".join(vocabulary[i] for i in ids[real]) for ids in (labels, found))
        rows.append((text, *words))
    return table(("text", "hidden", "predicted"), rows)


def translations(task: Any, inputs: Tensors, targets: Tensors) -> str:
    """Sources and targets of an encoder-decoder's, and what it writes."""
    ids, mask = inputs["encoder_token_ids"], inputs["encoder_padding_mask"]
    source = {"encoder_token_ids": ids, "encoder_padding_mask": mask}
    written = likeliest(task.model, source, task.model.config.eos_id, targets["labels"].shape[1])
    columns = (_texts(task, ids), _texts(task, targets["labels"]), _texts(task, written))
    return table(("source", "target", "written"), zip(*columns, strict=True))


def likeliest(
    model: Any, inputs: Tensors, end_id: int | None, width: int, requests: Tensors | None = None
) -> tf.Tensor:
    """What a model writes after `inputs`, the most likely token at every step.

    Args:
        model: A decoder or encoder-decoder of the zoo.
        inputs: As of `tfzoo.decoding.generate.generate`.
        end_id: The token after which a row has ended, and what stands behind it. None: none.
        width: How many tokens are written at most, t.
        requests: As there.

    Returns:
        `(b, t)` int32.
    """
    config = DecodingConfig(max_new_tokens=width, eos_token_id=end_id, pad_token_id=end_id)
    ids_bt = generate(model, inputs, config, requests)["token_ids"][:, 0]
    rest = [[0, 0], [0, width - tf.shape(ids_bt)[1]]]  # rows may all have lower limits
    return tf.ensure_shape(tf.pad(ids_bt, rest, constant_values=config.pad_id), [None, width])


def _texts(task: Any, token_ids: tf.Tensor, skip: bool = True) -> list[str]:
    decoded = task.tokenizer.decode(token_ids, skip_special_tokens=skip).numpy()
    return [text.decode("utf-8", "replace") for text in decoded]


def _cell(value: Any) -> str:
    """A cell of a table, without what would end it."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
