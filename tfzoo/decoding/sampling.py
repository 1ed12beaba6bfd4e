"""Drawing tokens: what narrows the choice, and a draw that depends on a row's seed and step alone.

Checked against transformers 5.23 (generation/logits_process.py): the same filters in the same
order, each on what the one before it left. Every parameter is a number for all rows or a `(b,)`
vector. A filter that is not named is not in the graph.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_FILTERS = ("top_k", "top_p")
_INFINITY = float("inf")


def warped(scores_bv: tf.Tensor, parameters: Mapping[str, Any], keep: int = 1) -> tf.Tensor:
    """Scores over the temperature, minus infinity where a token may not be drawn.

    Args:
        scores_bv: `(b, v)` float32 logits or logarithms of probabilities.
        parameters: Some of temperature, top_k, top_p, min_p, typical_p.
        keep: How many tokens are left at least.
    """
    if "temperature" in parameters:
        temperature_b1 = _column(parameters["temperature"], scores_bv)
        scores_bv /= tf.where(temperature_b1 > 0, temperature_b1, 1.0)
    most = tf.shape(scores_bv)[1]
    if any(name in parameters for name in _FILTERS):
        scores_bv, most = _likeliest(scores_bv, parameters, keep)
    if "min_p" in parameters:
        best_bk = tf.math.top_k(scores_bv, keep).values
        least_b1 = best_bk[:, :1] + tf.math.log(_column(parameters["min_p"], scores_bv))
        scores_bv = _at_least(scores_bv, tf.minimum(least_b1, best_bk[:, -1:]))
    if "typical_p" in parameters:
        scores_bv = _typical(scores_bv, _column(parameters["typical_p"], scores_bv), most, keep)
    return scores_bv


def drawn(scores_bv: tf.Tensor, seeds_b: Any, step: Any, copies_b: Any = 0) -> tf.Tensor:
    """One token of each row, `(b,)` int32, by the softmax of its scores.

    Args:
        scores_bv: `(b, v)` float32.
        seeds_b: As in `uniform`.
        step: As in `uniform`.
        copies_b: As in `uniform`.
    """
    weights_bv = tf.exp(scores_bv - tf.reduce_max(scores_bv, 1, keepdims=True))
    sums_bv = tf.cumsum(weights_bv, 1)
    uniform_b = tf.broadcast_to(uniform(seeds_b, step, copies_b), tf.shape(scores_bv)[:1])
    below_bv = sums_bv <= uniform_b[:, None] * sums_bv[:, -1:]
    return tf.reduce_sum(tf.cast(below_bv, tf.int32), 1)


def uniform(seeds: Any, step: Any, copies: Any = 0, places: Any = None) -> tf.Tensor:
    """Numbers from 0 to 1, 1 excluded, that are functions of their counters alone.

    They have 23 bits: times a float32, each is below it.

    Args:
        seeds: Int32, `(b,)` or one for all.
        step: Int32 number of the token.
        copies: Int32 number of the text where one prompt gets several.
        places: Int32, where a row needs many: `(n,)`, which makes the result `(b, n)`.
    """
    # Seed, step and copy are mixed before they meet: neighbours have streams of their own.
    word = _mixed(_word(seeds)) ^ _mixed(_word(step) + _constant(0x9E3779B9))
    word = _mixed(word ^ _mixed(_word(copies) + _constant(0x85EBCA6B)))
    if places is not None:
        word = _mixed(word[..., None] ^ _mixed(_word(places) + _constant(0xC2B2AE35)))
    return tf.cast(tf.cast(_shifted(word, 9), tf.int32), tf.float32) * 2.0**-23


def _likeliest(scores_bv: tf.Tensor, parameters: Mapping[str, Any], keep: int) -> Any:
    """What top_k and then top_p leave, and how many tokens of a row that are at most.

    Only as many scores are sorted as the largest top_k asks for, as long as each row has one.
    """
    size = tf.shape(scores_bv)[1]
    limits_b1 = tf.zeros_like(scores_bv[:, :1], tf.int32) + size
    sorts_b1 = tf.zeros_like(limits_b1, tf.bool)
    if "top_k" in parameters:
        top_k_b1 = _column(parameters["top_k"], scores_bv)
        sorts_b1 |= top_k_b1 > 0
        limits_b1 = tf.where(top_k_b1 > 0, tf.clip_by_value(top_k_b1, keep, size), size)
    if "top_p" in parameters:
        sorts_b1 |= _column(parameters["top_p"], scores_bv) < 1
    open_b1 = ~sorts_b1
    if "do_sample" in parameters:  # what is never drawn from needs no sorting
        draws_b1 = _column(parameters["do_sample"], scores_bv)
        sorts_b1, open_b1 = sorts_b1 & draws_b1, open_b1 & draws_b1
    most = tf.reduce_max(tf.where(sorts_b1, limits_b1, 1))
    sorted_bk = tf.math.top_k(scores_bv, most).values
    left_b1 = tf.minimum(limits_b1, most)
    if "top_p" in parameters:
        top_p_b1 = _column(parameters["top_p"], scores_bv)
        real_bk = tf.range(most) < left_b1
        shares_bk = tf.nn.softmax(tf.where(real_bk, sorted_bk, -_INFINITY))
        before_bk = tf.cumsum(shares_bk, 1, exclusive=True)
        found_b1 = tf.reduce_sum(tf.cast((before_bk < top_p_b1) & real_bk, tf.int32), 1)[:, None]
        found_b1 = tf.minimum(tf.maximum(found_b1, keep), left_b1)
        left_b1 = tf.where(top_p_b1 < 1, found_b1, left_b1)
    least_b1 = tf.gather(sorted_bk, left_b1 - 1, batch_dims=1)
    narrowed_bv = _at_least(scores_bv, tf.where(sorts_b1, least_b1, -_INFINITY))
    return narrowed_bv, tf.where(tf.reduce_any(open_b1), size, most)


def _typical(scores_bv: tf.Tensor, share_b1: tf.Tensor, most: tf.Tensor, keep: int) -> tf.Tensor:
    """The tokens whose surprise is nearest to the expected one, of which `most` are left."""
    logs_bv = tf.nn.log_softmax(scores_bv)
    shares_bv = tf.exp(logs_bv)
    surprise_bv = tf.where(shares_bv > 0, -logs_bv, _INFINITY)
    expected_b1 = tf.reduce_sum(
        tf.where(shares_bv > 0, shares_bv * surprise_bv, 0.0), 1, keepdims=True
    )
    distance_bv = tf.abs(surprise_bv - expected_b1)
    near_bk, places_bk = tf.math.top_k(-distance_bv, most)
    sums_bk = tf.cumsum(tf.gather(shares_bv, places_bk, batch_dims=1), 1)
    last_b = tf.reduce_sum(tf.cast(sums_bk < share_b1, tf.int32), 1)
    last_b = tf.minimum(tf.maximum(last_b, keep - 1), most - 1)
    furthest_b1 = -tf.gather(near_bk, last_b[:, None], batch_dims=1)
    return tf.where((distance_bv > furthest_b1) & (share_b1 < 1), -_INFINITY, scores_bv)


def _at_least(scores_bv: tf.Tensor, least_b1: tf.Tensor) -> tf.Tensor:
    return tf.where(scores_bv < least_b1, -_INFINITY, scores_bv)


def _column(value: Any, scores_bv: tf.Tensor) -> tf.Tensor:
    """A parameter as `(b, 1)`."""
    value = tf.reshape(value, [-1, 1])
    return tf.broadcast_to(value, [tf.shape(scores_bv)[0], 1])


def _word(value: Any) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(value, tf.int32), tf.uint32)


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


def _shifted(word: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(word, tf.fill(tf.shape(word), _constant(bits)))


def _mixed(word: tf.Tensor) -> tf.Tensor:
    """An integer hash of 32 bits without multiplications wider than that: Wellons 2018, "lowbias32"
    of https://nullprogram.com/blog/2018/07/31/, which is a bijection.
    """
    for bits, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        word = (word ^ _shifted(word, bits)) * _constant(factor)
    return word ^ _shifted(word, 16)
