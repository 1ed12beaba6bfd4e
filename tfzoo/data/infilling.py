"""BART's objective: the encoder reads a damaged text, the decoder writes the original.

Source: Lewis et al. 2019, "BART: Denoising Sequence-to-Sequence Pre-training", section 2.2 and
figure 2, https://arxiv.org/abs/1910.13461; compared with fairseq's data/denoising_dataset.py.

    text                A B C . D E .
    sentences permuted  D E . A B C .
    text infilling      A _ . D _ E .      spans of 2 and 0 tokens, one <mask> each
    labels              <s> A B C . D E . </s>

Easy to get wrong: a span is replaced by one <mask> whatever its length, and one of length 0 puts a
<mask> between two tokens. Spans here never overlap, so that exactly the wanted share of the tokens
is gone; fairseq's may, and cover less. The last span is cut to the share, as there, and may stand
anywhere.
"""

import math

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance, host, sentence_runs
from tfzoo.data.batches import Batch, Source
from tfzoo.data.documents import Documents


def infilling(
    documents: Documents,
    length: int,
    mask_id: int,
    bos_id: int,
    eos_id: int,
    pad_id: int,
    decoder_start_id: int,
    seed: int,
    share: float = 0.3,
    mean_span: float = 3.0,
    permute: bool = True,
) -> Source:
    """Runs of whole sentences of one document, damaged anew in every epoch.

    Args:
        documents: The texts.
        length: Tokens in a row, `bos_id` and `eos_id` counted, t.
        mask_id: What stands for a span.
        bos_id: The beginning of both sequences.
        eos_id: Their end.
        pad_id: What fills up the rows.
        decoder_start_id: What the decoder begins with, before `bos_id`; BART's is `eos_id`.
        seed: Decides the damage.
        share: Which share of the tokens the spans cover, rounded up to whole tokens.
        mean_span: Mean of the Poisson distribution of their lengths.
        permute: Whether the sentences of a row are shuffled before.

    Returns:
        A source of inputs `encoder_token_ids`, `encoder_padding_mask`, `decoder_token_ids`,
        `decoder_padding_mask` and targets `labels`, `label_weights`, each `(b, t)`, and `weight`
        `(b,)`. Its `lengths` are the tokens of the labels.

    Raises:
        UserError: when an option is outside its range.
    """
    _check(length, share, mean_span)
    begins = np.zeros(len(documents.token_ids), bool)
    begins[documents.sentence_starts[:-1]] = True
    runs = sentence_runs.within_documents(documents, length - 2)
    stream, is_start, firsts, ends = map(host.constant, (documents.token_ids, begins, *runs))

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        firsts_b = tf.gather(firsts, rows)
        sizes_b = tf.gather(ends, rows) - firsts_b
        index_bt = firsts_b[:, None] + tf.range(length - 2, dtype=tf.int64)
        index_bt = tf.minimum(index_bt, len(stream) - 1)
        ids_bt = tf.gather(stream, index_bt)
        sizes_b = tf.cast(sizes_b, tf.int32)
        keys_b = chance.keys(seed, epoch, rows)
        source_bt = ids_bt
        if permute:
            source_bt = permuted(keys_b, ids_bt, tf.gather(is_start, index_bt), sizes_b)
        is_mask_bt, spans_bk, counts_b = spans(keys_b, sizes_b, length - 2, share, mean_span)
        damaged_bt, left_b = infilled(source_bt, sizes_b, is_mask_bt, spans_bk, counts_b, mask_id)
        encoder_bt, encoder_mask_bt = _enclosed(damaged_bt, left_b, bos_id, eos_id, pad_id)
        labels_bt, mask_bt = _enclosed(ids_bt, sizes_b, bos_id, eos_id, pad_id)
        decoder_bt = tf.pad(labels_bt[:, :-1], [[0, 0], [1, 0]], constant_values=decoder_start_id)
        weight = tf.cast(is_real, tf.float32)
        inputs = {
            "encoder_token_ids": encoder_bt,
            "encoder_padding_mask": encoder_mask_bt,
            "decoder_token_ids": tf.where(mask_bt > 0, decoder_bt, pad_id),
            "decoder_padding_mask": mask_bt,
        }
        label_weights_bt = tf.cast(mask_bt, tf.float32) * weight[:, None]
        return inputs, {"labels": labels_bt, "label_weights": label_weights_bt, "weight": weight}

    return Source(len(firsts), examples, ends - firsts + 2)


def permuted(
    keys_b: tf.Tensor, ids_bt: tf.Tensor, is_start_bt: tf.Tensor, sizes_b: tf.Tensor
) -> tf.Tensor:
    """The sentences of each row in another order, every order as likely.

    Args:
        keys_b: What `chance.keys` returned.
        ids_bt: `(b, t)` int32 tokens.
        is_start_bt: `(b, t)` boolean, True where a sentence begins.
        sizes_b: `(b,)` int32: how many tokens each row has; what is behind them stays there.
    """
    starts_bt = tf.cast(is_start_bt, tf.int32)
    # Counted from the row's first token, which may stand inside a sentence.
    sentence_bt = tf.cumsum(starts_bt, axis=1) - starts_bt[:, :1]
    places_bt = chance.bits(keys_b, 0, ids_bt.shape[1])
    order_bt = tf.gather(places_bt, sentence_bt, batch_dims=1)
    is_token_bt = tf.range(ids_bt.shape[1]) < sizes_b[:, None]
    order_bt = tf.where(is_token_bt, order_bt, tf.int64.max)
    return tf.gather(ids_bt, tf.argsort(order_bt, axis=1, stable=True), batch_dims=1)


def spans(
    keys_b: tf.Tensor, sizes_b: tf.Tensor, width: int, share: float, mean_span: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws which spans of each row are replaced: so many that they cover its share exactly.

    Args:
        keys_b: What `chance.keys` returned.
        sizes_b: `(b,)` int32: how many tokens each row has.
        width: The most tokens that a row can have, t.
        share: Which share of the tokens is covered, rounded up.
        mean_span: Mean of the spans' lengths.

    Returns:
        Which places of the damaged row are masks, `(b, t)` boolean; how many tokens each mask
        stands for, in order, `(b, k)` int32; how many masks there are, `(b,)` int32.
    """
    budgets_b = _budgets(sizes_b, share)
    most = math.ceil(width * share)
    drawn_bk = tf.searchsorted(
        tf.constant(_poisson(mean_span), tf.float64),
        tf.reshape(chance.uniform(keys_b, 1, most), [-1]),
        side="right",
    )
    drawn_bk = tf.reshape(drawn_bk, [-1, most])
    # As many masks as covered tokens at most, so that a row never grows.
    is_last_bk = tf.range(most) == budgets_b[:, None] - 1
    before_bk = tf.cumsum(drawn_bk, axis=1, exclusive=True)
    room_bk = budgets_b[:, None] - before_bk
    trimmed_bk = tf.where(is_last_bk, room_bk, tf.minimum(drawn_bk, room_bk))
    counts_b = tf.reduce_sum(tf.cast((room_bk > 0) & _first(most, budgets_b), tf.int32), axis=1)
    # The trimmed span is the last drawn; turned around a ring, it may stand anywhere.
    turn_b = tf.cast(chance.below(tf.cast(counts_b, tf.int64), keys_b, 2), tf.int32)
    source_bk = (tf.range(most) + turn_b[:, None]) % counts_b[:, None]
    spans_bk = tf.gather(trimmed_bk, source_bk, batch_dims=1)
    is_place_bt = _first(width, sizes_b - budgets_b + counts_b)
    return chance.chosen(keys_b, 3, is_place_bt, counts_b), spans_bk, counts_b


def infilled(
    ids_bt: tf.Tensor,
    sizes_b: tf.Tensor,
    is_mask_bt: tf.Tensor,
    spans_bk: tf.Tensor,
    counts_b: tf.Tensor,
    mask_id: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces spans by masks.

    Args:
        ids_bt: `(b, t)` int32 tokens.
        sizes_b: `(b,)` int32: how many tokens each row has.
        is_mask_bt: `(b, t)` boolean: which places of the result are masks.
        spans_bk: `(b, k)` int32: how many tokens each mask of a row stands for, in order.
        counts_b: `(b,)` int32: how many masks each row has.
        mask_id: The mask.

    Returns:
        `(b, t)` int32 and how many tokens each row has now, `(b,)` int32. What is behind them means
        nothing.
    """
    spans_bk = tf.where(_first(spans_bk.shape[1], counts_b), spans_bk, 0)
    masks_bt = tf.cumsum(tf.cast(is_mask_bt, tf.int32), axis=1)
    # Tokens that the first 0, 1, 2, ... masks of the row stand for.
    covered = tf.pad(tf.cumsum(spans_bk, axis=1), [[0, 0], [1, 0]])
    places_t = tf.range(ids_bt.shape[1])
    index_bt = places_t - masks_bt + tf.gather(covered, masks_bt, batch_dims=1)
    index_bt = tf.clip_by_value(index_bt, 0, ids_bt.shape[1] - 1)
    damaged_bt = tf.where(is_mask_bt, mask_id, tf.gather(ids_bt, index_bt, batch_dims=1))
    return damaged_bt, sizes_b - tf.reduce_sum(spans_bk, axis=1) + counts_b


def _budgets(sizes_b: tf.Tensor, share: float) -> tf.Tensor:
    return tf.cast(tf.math.ceil(tf.cast(sizes_b, tf.float64) * share), tf.int32)


def _poisson(mean: float) -> list[float]:
    """The probability of at most 0, 1, 2, ... up to where it is 1 for float64."""
    total, term, sums = 0.0, math.exp(-mean), []
    while not sums or 1 - total > 1e-15:
        total += term
        sums.append(total)
        term *= mean / len(sums)
        if term < 1e-18 and len(sums) > mean:
            break
    return sums


def _first(width: int, counts_b: tf.Tensor) -> tf.Tensor:
    """`(b, width)` boolean, True on the first `counts_b` places of each row."""
    return tf.range(width) < counts_b[:, None]


def _enclosed(
    ids_bt: tf.Tensor, sizes_b: tf.Tensor, bos_id: int, eos_id: int, pad_id: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Beginning and end put around each row, and its mask: `(b, t + 2)` int32 each."""
    places_t = tf.range(ids_bt.shape[1] + 2)
    wide_bt = tf.pad(ids_bt, [[0, 0], [1, 1]], constant_values=bos_id)
    end_b1 = sizes_b[:, None] + 1
    enclosed_bt = tf.where(places_t < end_b1, wide_bt, tf.where(places_t == end_b1, eos_id, pad_id))
    return enclosed_bt, tf.cast(places_t <= end_b1, tf.int32)


def _check(length: int, share: float, mean_span: float) -> None:
    if length < 3 or not 0 < share <= 1 or mean_span <= 0:
        raise UserError(
            f"Rows must hold a token between their beginning and end, the share of the tokens that "
            f"is covered must lie above 0 and at most at 1, and spans must be longer than 0 on "
            f"average. Received: length={length}, share={share}, mean_span={mean_span}."
        )
