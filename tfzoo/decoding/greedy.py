"""Greedy decoding: the most likely token, again and again."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Caches grow by so many tokens: every step writes and reads all that there is of them, so that it
# takes as long as they are.
_GROWTH = 16


def translate(
    model: Any,
    encoder_token_ids: tf.Tensor,
    encoder_padding_mask: tf.Tensor,
    start_id: int,
    end_id: int,
    max_tokens: int,
    limits: tf.Tensor | None = None,
) -> tf.Tensor:
    """What follows from each source, token by token, in the graph.

    It stops when all rows have ended.

    Args:
        model: An encoder-decoder of the zoo.
        encoder_token_ids: `(b, k)` int32.
        encoder_padding_mask: `(b, k)` int32, 1 on real tokens.
        start_id: The token that the decoder starts with.
        end_id: The token after which a row has ended.
        max_tokens: Width of what is returned, t.
        limits: `(b,)` int32, after how many tokens each row ends in any case, from 1 to t. None: t.

    Returns:
        `(b, t)` int32, in each row `end_id` from the first one of it on, or from its limit.
    """
    encoder_bkd = model.encode(encoder_token_ids, encoder_padding_mask)
    first_b = tf.fill(tf.shape(encoder_token_ids)[:1], start_id)
    limits_b = tf.fill(tf.shape(first_b), max_tokens) if limits is None else limits

    def step(last_b1: tf.Tensor, caches: Any, place: tf.Tensor) -> Any:
        return model.step(last_b1, caches, place, encoder_padding_mask)

    caches = model.empty_caches(encoder_bkd, 0)
    return _followed(step, first_b, caches, 0, end_id, max_tokens, limits_b)


def continued(model: Any, token_ids: tf.Tensor, end_id: int, max_tokens: int) -> tf.Tensor:
    """What a decoder writes after some tokens, in the graph.

    Args:
        model: A decoder of the zoo.
        token_ids: `(b, p)` int32, all of one length, 1 at least.
        end_id: The token after which a row has ended.
        max_tokens: Width of what is returned, t.

    Returns:
        As `translate`, without the tokens that were given.
    """
    rows, length = tf.unstack(tf.shape(token_ids))
    caches = _grown(model.empty_caches(rows, 0), length - 1)
    _, caches = model.step(token_ids[:, :-1], caches, 0)
    limits_b = tf.fill([rows], max_tokens)
    start = length - 1
    return _followed(model.step, token_ids[:, -1], caches, start, end_id, max_tokens, limits_b)


def _followed(
    decode: Callable[[tf.Tensor, Any, tf.Tensor], Any],
    first_b: tf.Tensor,
    caches: Any,
    start: int | tf.Tensor,
    end_id: int,
    max_tokens: int,
    limits_b: tf.Tensor,
) -> tf.Tensor:
    """The most likely tokens after `first_b`, which stands at `start`, the length of the caches."""

    def goes_on(i: tf.Tensor, last_b: tf.Tensor, ended_b: tf.Tensor, *_: Any) -> tf.Tensor:
        return ~tf.reduce_all(ended_b)

    def step(i: tf.Tensor, last_b: tf.Tensor, ended_b: tf.Tensor, ids: Any, caches: Any) -> Any:
        logits_b1v, caches = decode(last_b[:, None], caches, start + i)
        best_b = tf.where(ended_b, end_id, tf.argmax(logits_b1v[:, 0], -1, tf.int32))
        ended_b |= (best_b == end_id) | (i + 1 >= limits_b)
        return i + 1, best_b, ended_b, ids.write(i, best_b), caches

    def stage(i: tf.Tensor, last_b: tf.Tensor, ended_b: tf.Tensor, ids: Any, caches: Any) -> Any:
        state = (i, last_b, ended_b, ids, _grown(caches, _GROWTH))
        return tf.while_loop(goes_on, step, state, maximum_iterations=_GROWTH)

    ids = tf.TensorArray(tf.int32, max_tokens, element_shape=[None])
    state = (tf.constant(0), first_b, tf.zeros_like(first_b, tf.bool), ids, caches)
    of_ids = tf.TensorShape(None)
    shapes = (*(x.shape for x in state[:3]), of_ids, _any_length(caches))
    count, _, _, ids, _ = tf.while_loop(goes_on, stage, state, shapes)
    found_bt = tf.transpose(ids.gather(tf.range(count)))
    rest = [[0, 0], [0, max_tokens - count]]
    return tf.ensure_shape(tf.pad(found_bt, rest, constant_values=end_id), [None, max_tokens])


def _grown(caches: Any, room: int | tf.Tensor) -> Any:
    """The caches with room for more tokens."""

    def wider(cache_bhke: tf.Tensor) -> tf.Tensor:
        return tf.pad(cache_bhke, [[0, 0], [0, 0], [0, room], [0, 0]])

    return tuple({**entry, "cache": tuple(map(wider, entry["cache"]))} for entry in caches)


def _any_length(caches: Any) -> Any:
    """The caches' shapes, whatever there is room for."""

    def shape(cache_bhke: tf.Tensor) -> tf.TensorShape:
        rows, heads, _, width = cache_bhke.shape
        return tf.TensorShape([rows, heads, None, width])

    shapes = tf.nest.map_structure(lambda x: x.shape, caches)
    return tuple(
        {**fixed, "cache": tuple(map(shape, entry["cache"]))}
        for fixed, entry in zip(shapes, caches, strict=True)
    )
