"""Random numbers for the rows of a batch, each row's from a key of its own.

TensorFlow's stateless operations take one key a call. A row that is to be the same in whatever
batch it occurs needs its own, and a call a row would starve the training step, so that the
generator is written out here: SplitMix64, whose number i from state k is a mixture of the bits of k
plus i times the golden ratio, and so needs none of the numbers before.

Source: Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", with the
constants of java.util.SplittableRandom.
"""

import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15


def keys(seed: int, epoch: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """A key for each row of an epoch.

    Args:
        seed: Any whole number.
        epoch: `()` int64.
        rows: `(b,)` int64.

    Returns:
        `(b,)` uint64.
    """
    key = _mixed(tf.constant(seed % 2**64, tf.uint64) + tf.constant(_GOLDEN, tf.uint64))
    for number in (epoch, rows):
        # Multiplied, so that no two pairs of small numbers meet in one key.
        key = _mixed(key + tf.cast(number, tf.uint64) * tf.constant(_GOLDEN, tf.uint64))
    return key


def bits(keys_b: tf.Tensor, draw: int, width: int) -> tf.Tensor:
    """Whole numbers from 0 to 2**63 - 1.

    Args:
        keys_b: What `keys` returned.
        draw: Number of the draw; two draws of a row with different numbers are independent.
        width: Numbers for each row, w.

    Returns:
        `(b, w)` int64.
    """
    states_b = _mixed(keys_b ^ tf.constant((draw + 1) * _GOLDEN % 2**64, tf.uint64))
    return tf.cast(_shifted(numbers(states_b, width), 1), tf.int64)


def numbers(states_b: tf.Tensor, width: int) -> tf.Tensor:
    """`(b, w)` uint64: the first w numbers of the generator from each state, uint64."""
    counters_w = tf.cast(tf.range(1, width + 1, dtype=tf.int64), tf.uint64)
    return _mixed(states_b[:, None] + counters_w * tf.constant(_GOLDEN, tf.uint64))


def uniform(keys_b: tf.Tensor, draw: int, width: int) -> tf.Tensor:
    """`(b, w)` float64 in [0, 1), every multiple of 2**-53 as likely; arguments as in `bits`."""
    return tf.cast(bits(keys_b, draw, width) // 2**10, tf.float64) * 2.0**-53


def below(bounds_b: tf.Tensor, keys_b: tf.Tensor, draw: int) -> tf.Tensor:
    """`(b,)` int64, from 0 to `bounds_b` - 1 (int64, at least 1), each as likely."""
    floats_b = uniform(keys_b, draw, 1)[:, 0]
    # A product rounded up to the bound itself would be one too many.
    drawn_b = tf.cast(floats_b * tf.cast(bounds_b, tf.float64), tf.int64)
    return tf.minimum(drawn_b, bounds_b - 1)


def chosen(keys_b: tf.Tensor, draw: int, is_open_bw: tf.Tensor, counts_b: tf.Tensor) -> tf.Tensor:
    """Some of the open places of each row, every choice as likely.

    Args:
        keys_b: What `keys` returned.
        draw: As in `bits`.
        is_open_bw: `(b, w)` boolean with a static w: which places can be chosen.
        counts_b: `(b,)` integers: how many of them are, if there are as many.

    Returns:
        `(b, w)` boolean, True at the chosen places.
    """
    width = is_open_bw.shape[1]
    numbers_bw = tf.where(is_open_bw, bits(keys_b, draw, width), tf.int64.max)
    counts_b1 = tf.cast(counts_b, tf.int32)[:, None]
    last_b1 = tf.clip_by_value(counts_b1 - 1, 0, width - 1)
    highest_b1 = tf.gather(tf.sort(numbers_bw, axis=1), last_b1, batch_dims=1)
    return (numbers_bw <= highest_b1) & is_open_bw & (counts_b1 > 0)


def _mixed(x: tf.Tensor) -> tf.Tensor:
    for distance, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, distance)) * tf.constant(factor, tf.uint64)
    return x ^ _shifted(x, 31)


def _shifted(x: tf.Tensor, distance: int) -> tf.Tensor:
    return tf.bitwise.right_shift(x, tf.constant(distance, tf.uint64))
