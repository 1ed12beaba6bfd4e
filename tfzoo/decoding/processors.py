"""What changes the scores of the next token by what stands before it.

Checked against transformers 5.23 (generation/logits_process.py): the same processors in the same
order. What a config or request does not use is not in the graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.decoding.config import DecodingConfig

_INFINITY = float("inf")


def processed(
    scores_bv: tf.Tensor,
    config: DecodingConfig,
    parameters: Mapping[str, Any],
    ids_bh: tf.Tensor,
    written: Any,
) -> tf.Tensor:
    """The scores by which the next token is chosen.

    Args:
        scores_bv: `(b, v)` float32 logits or logarithms of probabilities.
        config: Says what is the same for all rows.
        parameters: What is each row's, numbers for all or `(b,)` vectors: of those of requests
            the ones that count, and `prompt_lengths`.
        ids_bh: `(b, h)` int32, in each row the prompt and at once what was written after it, and
            anything behind that.
        written: How many tokens of each row were written; int or int32 `()`.

    Raises:
        UserError: when a token of the config is none of the vocabulary.
    """
    _check_ids(config, scores_bv.shape[1])
    size = tf.shape(scores_bv)[1]
    prompts_b1 = tf.zeros_like(ids_bh[:, :1]) + tf.reshape(parameters["prompt_lengths"], [-1, 1])
    lengths_b1 = prompts_b1 + written
    if "repetition_penalty" in parameters:
        penalty_b1 = tf.reshape(parameters["repetition_penalty"], [-1, 1])
        there_bh = tf.range(tf.shape(ids_bh)[1]) < lengths_b1
        lowered_bv = tf.where(scores_bv < 0, scores_bv * penalty_b1, scores_bv / penalty_b1)
        scores_bv = tf.where(_marked(ids_bh, there_bh, size), lowered_bv, scores_bv)
    if "no_repeat_ngram_size" in parameters:
        ends_bh = _repetitions(ids_bh, lengths_b1, parameters["no_repeat_ngram_size"])
        scores_bv = _without(scores_bv, _marked(ids_bh, ends_bh, size))
    if config.bad_words_ids:
        scores_bv = _without_words(scores_bv, config, ids_bh, lengths_b1)
    if "min_new_tokens" in parameters and config.eos_ids:
        least_b1 = tf.reshape(parameters["min_new_tokens"], [-1, 1])
        scores_bv = _without(scores_bv, _chosen(config.eos_ids, size) & (written < least_b1))
    if config.forced_bos_token_id is not None:
        scores_bv = _forced(scores_bv, (config.forced_bos_token_id,), lengths_b1 == 1)
    if config.forced_eos_ids:
        limits_b1 = tf.reshape(parameters["max_new_tokens"], [-1, 1])
        scores_bv = _forced(scores_bv, config.forced_eos_ids, written == limits_b1 - 1)
    if config.suppress_tokens:
        scores_bv = _without(scores_bv, _chosen(config.suppress_tokens, size))
    if config.begin_suppress_tokens:
        first_b1 = tf.zeros_like(prompts_b1)
        if config.forced_bos_token_id is not None:  # then the second is the first that is free
            first_b1 = tf.cast(prompts_b1 == 1, tf.int32)
        chosen_v = _chosen(config.begin_suppress_tokens, size)
        scores_bv = _without(scores_bv, chosen_v & (written == first_b1))
    return scores_bv


def _repetitions(ids_bh: tf.Tensor, lengths_b1: tf.Tensor, sizes: Any) -> tf.Tensor:
    """Where n-grams end whose other tokens are the last ones that were written, `(b, h)`.

    Args:
        ids_bh: `(b, h)` int32.
        lengths_b1: How many tokens of each row count.
        sizes: n, 0 for none; int, or int32 `(b,)`.
    """
    places_h = tf.range(tf.shape(ids_bh)[1])
    sizes_b1 = tf.reshape(sizes, [-1, 1])
    found_bh = (places_h < lengths_b1) & (places_h >= sizes_b1 - 1) & (sizes_b1 > 0)

    def matched(i: Any, found_bh: tf.Tensor) -> tuple[Any, tf.Tensor]:
        before_bh = tf.gather(ids_bh, tf.maximum(places_h - i, 0), axis=1)
        last_b1 = tf.gather(ids_bh, tf.maximum(lengths_b1 - i, 0), batch_dims=1)
        return i + 1, found_bh & ((before_bh == last_b1) | (i >= sizes_b1))

    if isinstance(sizes, int):
        for i in range(1, sizes):
            _, found_bh = matched(i, found_bh)
        return found_bh
    largest, first = tf.reduce_max(sizes), tf.constant(1)
    return tf.while_loop(lambda i, _: i < largest, matched, (first, found_bh))[1]


def _without_words(
    scores_bv: tf.Tensor, config: DecodingConfig, ids_bh: tf.Tensor, lengths_b1: tf.Tensor
) -> tf.Tensor:
    """Forbids the last token of each bad word whose others are the last that were written."""
    words = [word for word in config.bad_words_ids if word not in [(i,) for i in config.eos_ids]]
    size = tf.shape(scores_bv)[1]
    single = [word[0] for word in words if len(word) == 1]
    if single:
        scores_bv = _without(scores_bv, _chosen(single, size))
    words = [word for word in words if len(word) > 1]
    if not words:
        return scores_bv
    longest = max(map(len, words)) - 1
    heads_wn = np.full((len(words), longest), -1, np.int32)  # -1: any token
    for row, word in zip(heads_wn, words, strict=True):
        row[longest - len(word) + 1 :] = word[:-1]
    places_bn = lengths_b1 - longest + tf.range(longest)
    last_bn = tf.gather(ids_bh, tf.maximum(places_bn, 0), batch_dims=1)
    last_b1n = tf.where(places_bn < 0, -2, last_bn)[:, None]
    found_bw = tf.reduce_all((last_b1n == heads_wn) | (heads_wn == -1), 2)
    ends_bw = tf.zeros_like(found_bw, tf.int32) + [word[-1] for word in words]
    return _without(scores_bv, _marked(ends_bw, found_bw, size))


def _marked(ids_bn: tf.Tensor, counts_bn: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Which tokens are among those of a row that count, `(b, v)`."""
    rows = tf.shape(ids_bn)[0]
    places_n1 = tf.reshape(ids_bn + tf.range(rows)[:, None] * size, [-1, 1])
    counts_n = tf.reshape(tf.cast(counts_bn, tf.float32), [-1])
    return tf.reshape(tf.scatter_nd(places_n1, counts_n, [rows * size]) > 0, [rows, size])


def _chosen(ids: Sequence[int], size: tf.Tensor) -> tf.Tensor:
    """Which tokens are among `ids`, `(v,)`."""
    return tf.reduce_any(tf.range(size)[:, None] == tf.constant([*ids]), 1)


def _forced(scores_bv: tf.Tensor, ids: Sequence[int], there_b1: tf.Tensor) -> tf.Tensor:
    forced_v = tf.where(_chosen(ids, tf.shape(scores_bv)[1]), 0.0, -_INFINITY)
    return tf.where(there_b1, forced_v, scores_bv)


def _without(scores_bv: tf.Tensor, forbidden_bv: tf.Tensor) -> tf.Tensor:
    return tf.where(forbidden_bv, -_INFINITY, scores_bv)


def _check_ids(config: DecodingConfig, size: int | None) -> None:
    ids = {
        "bad_words_ids": [i for word in config.bad_words_ids for i in word],
        "suppress_tokens": config.suppress_tokens,
        "begin_suppress_tokens": config.begin_suppress_tokens,
        "forced_bos_token_id": (config.forced_bos_token_id or 0,),
        "forced_eos_token_id": config.forced_eos_ids,
    }
    for name, values in ids.items():
        if size is not None and values and not 0 <= min(values) <= max(values) < size:
            raise UserError(
                f"{name} must hold ids of the vocabulary, from 0 to {size - 1}. Received: "
                f"{name}={getattr(config, name)!r}."
            )
