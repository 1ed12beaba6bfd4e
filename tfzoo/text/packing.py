"""Lays token ids of one or two texts into rows: [CLS] first [SEP] second [SEP] padding.

Source of the truncation: tokenizers, utils/truncation.rs, strategy LongestFirst. Both texts are cut
at their end. Easy to get wrong: when both must be cut and the room is odd, the text that was longer
keeps the one token more, and of two equally long texts the second.
"""

from typing import NamedTuple

import tensorflow as tf


class Rows(NamedTuple):
    """Token ids of n texts, one text after another.

    Attributes:
        flat: `(sum of lengths,)` int32.
        starts: `(n,)` int32, where each text begins in `flat`.
        lengths: `(n,)` int32.
    """

    flat: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor

    @classmethod
    def from_ragged(cls, ids: tf.RaggedTensor) -> "Rows":
        splits = tf.cast(ids.row_splits, tf.int32)
        return cls(tf.cast(ids.flat_values, tf.int32), splits[:-1], splits[1:] - splits[:-1])


class Marks(NamedTuple):
    """The ids that frame texts in a row."""

    classifier: int
    separator: int
    padding: int


def longest_first(
    first_n: tf.Tensor, second_n: tf.Tensor, room: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lengths, `(n,)` int32 each, that two texts keep when together they may have `room` tokens."""
    short_n = tf.minimum(first_n, second_n)
    long_n = tf.where(short_n > room, short_n, tf.maximum(short_n, room - short_n))
    fits_n = short_n + long_n <= room
    short_n = tf.where(fits_n, short_n, room // 2)
    long_n = tf.where(fits_n, tf.minimum(long_n, tf.maximum(first_n, second_n)), room - room // 2)
    first_is_longer_n = first_n > second_n
    return (
        tf.where(first_is_longer_n, long_n, short_n),
        tf.where(first_is_longer_n, short_n, long_n),
    )


def pack(
    first: Rows, second: Rows | None, max_length: int, width: int | None, marks: Marks
) -> dict[str, tf.Tensor]:
    """Truncates and lays out the rows.

    Args:
        first: Ids of the texts.
        second: Ids of each text's partner, or None.
        max_length: The longest row, with the two or three marks.
        width: Width of the result; None: that of its longest row. At least `max_length`.
        marks: The ids around texts.

    Returns:
        token_ids, segment_ids and padding_mask (1 on tokens, 0 on padding), `(n, width)` int32.
    """
    if second is None:
        first_n = tf.minimum(first.lengths, max_length - 2)
        total_n = first_n + 2
    else:
        first_n, second_n = longest_first(first.lengths, second.lengths, max_length - 3)
        total_n = first_n + second_n + 3
    columns_1t = tf.range(tf.maximum(tf.reduce_max(total_n), 2) if width is None else width)[None]

    first_n1 = first_n[:, None]
    ids_nt = tf.fill([tf.size(total_n), tf.size(columns_1t)], tf.constant(marks.padding, tf.int32))
    if second is not None:
        second_start_n1 = first_n1 + 2
        second_end_n1 = second_start_n1 + second_n[:, None]
        ids_nt = tf.where(columns_1t == second_end_n1, marks.separator, ids_nt)
        in_second_nt = (columns_1t >= second_start_n1) & (columns_1t < second_end_n1)
        ids_nt = tf.where(in_second_nt, _take(second, columns_1t - second_start_n1), ids_nt)
    ids_nt = tf.where(columns_1t == first_n1 + 1, marks.separator, ids_nt)
    ids_nt = tf.where(columns_1t <= first_n1, _take(first, columns_1t - 1), ids_nt)
    ids_nt = tf.where(columns_1t == 0, marks.classifier, ids_nt)

    mask_nt = columns_1t < total_n[:, None]
    segments_nt = mask_nt & (columns_1t >= first_n1 + 2)
    return {
        "token_ids": ids_nt,
        "segment_ids": tf.cast(segments_nt, tf.int32),
        "padding_mask": tf.cast(mask_nt, tf.int32),
    }


def _take(rows: Rows, offsets_nt: tf.Tensor) -> tf.Tensor:
    """Ids at offsets into each text; anything for an offset outside of it."""
    flat = tf.concat([rows.flat, [0]], 0)  # Something to read where there are no tokens at all.
    where_nt = rows.starts[:, None] + offsets_nt
    return tf.gather(flat, tf.clip_by_value(where_nt, 0, tf.size(rows.flat)))
