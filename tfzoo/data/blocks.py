"""Causal language modelling: every token is predicted from those before it.

Source: Radford et al. 2018 (GPT), section 3.1; Radford et al. 2019 (GPT-2); Brown et al. 2020
(GPT-3), section 2.2 and appendix B, whose documents are joined by an end-of-text token.

    the ring      [doc 0] END [doc 1] END ... [doc d] END, and on with doc 0
    blocks        |- - - length - - -|- - - length - - -|       one after the other
    documents     END [doc 7] | END [doc 2] | pad pad           whole documents side by side

In both ways each document comes after an END and ends in one, its own being predicted, so that both
predict the same tokens. Blocks begin elsewhere on the ring in each epoch. Documents side by side do
not see each other: `padding_mask` holds the number of the document in the row, 1, 2, 3, ...

Easy to get wrong: a token may be predicted in one row only, or it weighs twice; what a document
that is too long loses by being cut is the context of the later parts, not their tokens.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance, host
from tfzoo.data.batches import Batch, Source
from tfzoo.data.documents import Documents


def joined(documents: Documents, length: int, end_id: int | None, pad_id: int, seed: int) -> Source:
    """Blocks of `length` tokens, cut from the documents as if they were one.

    Every token but the first of all is predicted exactly once an epoch. Only the last row of an
    epoch has padding. Epoch 0 begins at the beginning of the documents, others anywhere.

    Args:
        documents: What to predict.
        length: Tokens in a row, t.
        end_id: The token after each document. None: nothing stands between them.
        pad_id: The token that fills up the last row.
        seed: Decides where the epochs begin.

    Returns:
        A source of inputs `token_ids`, `padding_mask` and targets `labels`, `label_weights`, each
        `(b, t)`, and `weight` `(b,)`.

    Raises:
        UserError: when `length` is less than 1.
    """
    _check_length(length)
    stream = ring(documents, end_id)
    size = len(stream)

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        places_bt = rows[:, None] * length + tf.range(length, dtype=tf.int64)
        is_token_bt = places_bt < size
        index_bt = (places_bt + beginning(seed, epoch, size)) % size
        # The first token has nothing before it; the end of all documents does not count as that.
        is_label_bt = is_token_bt & (index_bt < size - 1)
        return _batch(
            stream, index_bt, tf.cast(is_token_bt, tf.int32), is_label_bt, is_real, pad_id
        )

    return Source(-(-size // length), examples)


def packed(
    documents: Documents,
    length: int,
    end_id: int,
    pad_id: int,
    together: bool = True,
    multiple: int | None = None,
) -> Source:
    """Rows of whole documents, which do not see each other; longer ones are cut.

    Every token, and the end of every document, is predicted exactly once an epoch.

    Args:
        documents: What to predict.
        length: Tokens in a row, t.
        end_id: The token before and after each document.
        pad_id: The token that fills up the rows.
        together: Put as many documents into a row as fit. False: one, or one part of a long one,
            with their `lengths` in the source.
        multiple: Rows are no wider than the longest of a batch, up to the next multiple of this.
            None: all are `length` wide.

    Returns:
        A source as that of `joined`, whose `padding_mask` holds the number of the document in its
        row, 1 for the first, and 0 for padding.

    Raises:
        UserError: when `length` is less than 1.
    """
    _check_length(length)
    stream = ring(documents, end_id)
    plan = pack(documents, length, together)
    splits = host.constant(plan.row_starts)
    starts, lengths = host.constant(plan.starts), host.constant(plan.lengths)

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        parts_bp = tf.ragged.range(tf.gather(splits, rows), tf.gather(splits, rows + 1))
        lengths_bp = tf.ragged.map_flat_values(lambda part: tf.gather(lengths, part), parts_bp)
        starts_bp = tf.ragged.map_flat_values(lambda part: tf.gather(starts, part), parts_bp)
        # A part of no row is as long as a row, so that every place of a row is in some part.
        ends_bp = tf.cumsum(lengths_bp.to_tensor(length), axis=1)
        places_t = tf.range(_width(lengths_bp, length, multiple), dtype=tf.int64)
        places_bt = tf.tile(places_t[None], [tf.shape(rows)[0], 1])
        part_bt = tf.searchsorted(ends_bp, places_bt, side="right")
        is_token_bt = part_bt < tf.cast(parts_bp.row_lengths(), tf.int32)[:, None]
        part_bt = tf.where(is_token_bt, part_bt, 0)
        # Place on the ring of each part's beginning, less where in the row it begins.
        shift_bp = starts_bp.to_tensor() - (ends_bp - lengths_bp.to_tensor(length))
        index_bt = (places_bt + tf.gather(shift_bp, part_bt, batch_dims=1)) % len(stream)
        numbers_bt = tf.where(is_token_bt, part_bt + 1, 0)
        return _batch(stream, index_bt, numbers_bt, is_token_bt, is_real, pad_id)

    return Source(plan.num_rows, examples, None if together else lengths)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which parts of the ring stand in which row.

    Attributes:
        starts: `(p,)` int64, where on the ring each part begins, row after row.
        lengths: `(p,)` int64, how many tokens it is read for.
        row_starts: `(r + 1,)` int64, the first part of each row, and p.
        length: Tokens that fit into a row.
    """

    starts: np.ndarray
    lengths: np.ndarray
    row_starts: np.ndarray
    length: int

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.row_starts) - 1

    @property
    def padding_share(self) -> float:
        """Which share of all places in all rows is padding."""
        return 1 - float(self.lengths.sum()) / (self.num_rows * self.length)


def pack(documents: Documents, length: int, together: bool) -> Plan:
    """Cuts documents, with the END before them, to parts of at most `length`, and these into rows.

    Parts go, from the longest to the shortest, into the fullest row that has room for them.
    """
    firsts = documents.token_starts[:-1] + np.arange(len(documents)) - 1
    sizes = np.diff(documents.token_starts) + 1
    counts = -(-sizes // length)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(firsts, counts) + within * length
    lengths = np.minimum(np.repeat(sizes, counts) - within * length, length)
    if not together:
        return Plan(starts, lengths, np.arange(len(starts) + 1), length)
    rows = _best_fit(lengths, length)
    order = np.argsort(rows, kind="stable")
    row_starts = np.searchsorted(rows[order], np.arange(rows.max() + 2))
    return Plan(starts[order], lengths[order], row_starts, length)


def padding_shares(documents: Documents, length: int) -> dict[str, float]:
    """Which share of the places is padding in `joined`, `packed` and `packed` with one a row."""
    size = len(documents.token_ids) + len(documents)
    return {
        "joined": 1 - size / (-(-size // length) * length),
        "packed": pack(documents, length, together=True).padding_share,
        "one document a row": pack(documents, length, together=False).padding_share,
    }


def ring(documents: Documents, end_id: int | None) -> tf.Tensor:
    """`(n,)` int32: all documents, and `end_id` after each unless it is None."""
    if end_id is None:
        return host.constant(documents.token_ids)
    return host.constant(np.insert(documents.token_ids, documents.token_starts[1:], end_id))


def beginning(seed: int, epoch: tf.Tensor, size: int) -> tf.Tensor:
    """`()` int64: where on a ring of `size` an epoch begins, 0 in epoch 0."""
    keys_1 = chance.keys(seed, epoch, tf.constant([-1], tf.int64))  # the number of no row
    drawn = chance.below(tf.constant([size], tf.int64), keys_1, 0)[0]
    return tf.where(epoch == 0, tf.constant(0, tf.int64), drawn)


def _batch(
    stream: tf.Tensor,
    index_bt: tf.Tensor,
    mask_bt: tf.Tensor,
    is_label_bt: tf.Tensor,
    is_real: tf.Tensor,
    pad_id: int,
) -> Batch:
    """The tokens at places of the ring, and those after them."""
    weight = tf.cast(is_real, tf.float32)
    inputs = {
        "token_ids": tf.where(mask_bt > 0, tf.gather(stream, index_bt), pad_id),
        "padding_mask": mask_bt,
    }
    following_bt = tf.gather(stream, (index_bt + 1) % len(stream))
    targets = {
        "labels": tf.where(is_label_bt, following_bt, pad_id),
        "label_weights": tf.cast(is_label_bt, tf.float32) * weight[:, None],
        "weight": weight,
    }
    return inputs, targets


def _width(lengths_bp: tf.RaggedTensor, length: int, multiple: int | None) -> tf.Tensor | int:
    """How wide the rows of a batch have to be."""
    if multiple is None:
        return length
    longest = tf.reduce_max(tf.reduce_sum(lengths_bp, axis=1))
    return tf.minimum((longest + multiple - 1) // multiple * multiple, length)


def _best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """The number of the row that each part goes to."""
    open_rows: list[list[int]] = [[] for _ in range(capacity + 1)]  # by the room that they have
    rooms = 0  # bit i: some row has room for i more
    rows = np.empty(len(lengths), np.int64)
    num_rows = 0
    order = np.argsort(-lengths, kind="stable")
    for part, size in zip(order.tolist(), lengths[order].tolist(), strict=True):
        enough = rooms >> size
        if enough:
            room = size + (enough & -enough).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms &= ~(1 << room)
        else:
            room, row = capacity, num_rows
            num_rows += 1
        rows[part] = row
        if room > size:
            open_rows[room - size].append(row)
            rooms |= 1 << (room - size)
    return rows


def _check_length(length: int) -> None:
    if length < 1:
        raise UserError(f"Rows must hold at least one token. Received: length={length}.")
