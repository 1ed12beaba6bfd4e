"""What a model answers to a few texts, as Markdown, to be looked at while it trains."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfzoo.decoding import greedy
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
    written = greedy.continued(
        task.model, prompts, -1 if end_id is None else end_id, min(_CONTINUATION, room)
    )
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
    config, width = task.model.config, targets["labels"].shape[1]
    written = greedy.translate(task.model, ids, mask, config.decoder_start_id, config.eos_id, width)
    columns = (_texts(task, ids), _texts(task, targets["labels"]), _texts(task, written))
    return table(("source", "target", "written"), zip(*columns, strict=True))


def _texts(task: Any, token_ids: tf.Tensor, skip: bool = True) -> list[str]:
    decoded = task.tokenizer.decode(token_ids, skip_special_tokens=skip).numpy()
    return [text.decode("utf-8", "replace") for text in decoded]


def _cell(value: Any) -> str:
    """A cell of a table, without what would end it."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
