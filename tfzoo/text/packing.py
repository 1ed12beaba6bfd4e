"""Lays token ids of one or two texts into rows: [CLS] first [SEP] second [SEP] padding.

What stands around the texts, and on which side the padding is, is a family's `Frame`.

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


class Frame(NamedTuple):
    """What stands around the texts of a row, and what fills it up.

    Attributes:
        before: Ids before the first text.
        between: Ids after the first text of a pair, before the second.
        after: Ids after the last text.
        padding: The id that fills rows up.
        padding_side: "right" or "left".
        segments: Whether the second text and what comes after it is segment 1.
    """

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    padding: int = 0
    padding_side: str = "right"
    segments: bool = False

    def count(self, pairs: bool) -> int:
        """How many ids of a row are not of a text."""
        return len(self.before) + len(self.after) + (len(self.between) if pairs else 0)


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
    first: Rows, second: Rows | None, max_length: int, width: int | None, frame: Frame
) -> dict[str, tf.Tensor]:
    """Truncates and lays out the rows.

    Args:
        first: Ids of the texts.
        second: Ids of each text's partner, or None.
        max_length: The longest row, with what the frame adds. At least that.
        width: Width of the result; None: that of its longest row. At least `max_length`.
        frame: What stands around the texts.

    Returns:
        token_ids, segment_ids and padding_mask (1 on tokens, 0 on padding), `(n, width)` int32.
    """
    fixed = frame.count(pairs=second is not None)
    if second is None:
        first_n = tf.minimum(first.lengths, max_length - fixed)
        total_n = first_n + fixed
    else:
        first_n, second_n = longest_first(first.lengths, second.lengths, max_length - fixed)
        total_n = first_n + second_n + fixed
    if width is None:
        width = tf.maximum(tf.reduce_max(total_n), fixed)
    columns_nt = tf.range(width)[None]
    if frame.padding_side == "left":
        columns_nt -= width - total_n[:, None]

    ids_nt = tf.fill([tf.size(total_n), width], tf.constant(frame.padding, tf.int32))
    ids_nt = _place(ids_nt, columns_nt, frame.before)
    places_nt = columns_nt - len(frame.before)
    ids_nt = _lay(ids_nt, places_nt, first, first_n)
    places_nt -= first_n[:, None]
    segments_nt = tf.zeros_like(ids_nt)
    if second is not None:
        ids_nt = _place(ids_nt, places_nt, frame.between)
        places_nt -= len(frame.between)
        if frame.segments:
            in_second_nt = (places_nt >= 0) & (columns_nt < total_n[:, None])
            segments_nt = tf.cast(in_second_nt, tf.int32)
        ids_nt = _lay(ids_nt, places_nt, second, second_n)
        places_nt -= second_n[:, None]
    ids_nt = _place(ids_nt, places_nt, frame.after)

    mask_nt = (columns_nt >= 0) & (columns_nt < total_n[:, None])
    return {
        "token_ids": ids_nt,
        "segment_ids": segments_nt,
        "padding_mask": tf.cast(mask_nt, tf.int32),
    }


def _place(ids_nt: tf.Tensor, places_nt: tf.Tensor, tokens: tuple[int, ...]) -> tf.Tensor:
    """Writes fixed tokens, the first where the place is 0."""
    for place, token in enumerate(tokens):
        ids_nt = tf.where(places_nt == place, token, ids_nt)
    return ids_nt


def _lay(ids_nt: tf.Tensor, places_nt: tf.Tensor, rows: Rows, lengths_n: tf.Tensor) -> tf.Tensor:
    """Writes the first tokens of each text, the first of them where the place is 0."""
    flat = tf.concat([rows.flat, [0]], 0)  # Something to read where there are no tokens at all.
    where_nt = tf.clip_by_value(rows.starts[:, None] + places_nt, 0, tf.size(rows.flat))
    inside_nt = (places_nt >= 0) & (places_nt < lengths_n[:, None])
    return tf.where(inside_nt, tf.gather(flat, where_nt), ids_nt)
