"""BERT's and RoBERTa's objective: rows of text in which tokens are hidden.

Source: Devlin et al. 2018, "BERT", section 3.1 and appendix A.2, https://arxiv.org/abs/1810.04805;
Liu et al. 2019, "RoBERTa", section 4.2 (full sentences), https://arxiv.org/abs/1907.11692.

    pairs       [CLS] the man went to [MASK] store [SEP] he bought a gallon [MASK] milk [SEP]
    segments      0    0   0   0    0    0     0     0    1   1    1    1      1     1    1
    sentences   [CLS] as many whole sentences as fit [SEP] and the next document's [SEP] [PAD]
"""

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance, host, sentence_runs
from tfzoo.data.batches import Batch, Source, Tensors
from tfzoo.data.documents import Documents
from tfzoo.data.masking import Masking, masked
from tfzoo.data.next_sentence import Pairs, Segments


def masked_pairs(
    documents: Documents,
    length: int,
    cls_id: int,
    sep_id: int,
    pad_id: int,
    masking: Masking,
    seed: int,
    short_share: float = 0.1,
    walks: int = 10,
) -> Source:
    """Masked language modelling and next sentence prediction.

    Args:
        documents: Two at least.
        length: Tokens in a row, the special ones counted, t.
        cls_id: What a row begins with.
        sep_id: What each segment ends with.
        pad_id: What fills up the rows.
        masking: How tokens are hidden.
        seed: Decides pairs and masks.
        short_share: As in `next_sentence.Pairs`.
        walks: As in `next_sentence.Pairs`.

    Returns:
        A source of inputs `token_ids`, `segment_ids`, `padding_mask` `(b, t)`, `masked_positions`
        `(b, m)`; of targets `labels`, `label_weights` `(b, m)`, `next_sentence` `(b,)`, 0 where
        the second segment follows and 1 where it is random, and `weight` `(b,)`.

    Raises:
        UserError: as `next_sentence.Pairs`.
    """
    pairs = Pairs(documents, length - 3, short_share, walks, seed)
    stream = host.constant(documents.token_ids)

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        segments = pairs.segments(rows, epoch)
        row = _row(stream, segments, length, cls_id, sep_id, pad_id)
        keys_b = chance.keys(seed, epoch, rows)
        inputs, targets = masked(row, keys_b, masking, (cls_id, sep_id), is_real)
        return inputs, {**targets, "next_sentence": segments.is_random}

    return Source(pairs.num_rows, examples)


def masked_sentences(
    documents: Documents,
    length: int,
    cls_id: int,
    sep_id: int,
    pad_id: int,
    masking: Masking,
    seed: int,
) -> Source:
    """Masked language modelling on full sentences, without next sentence prediction.

    A row holds as many whole sentences as fit, one after the other, and goes on with the next
    document after a separator. Arguments as in `masked_pairs`, one document being enough.

    Returns:
        A source as that of `masked_pairs`, without `next_sentence`; all `segment_ids` are 0.

    Raises:
        UserError: when a row has no room for a token.
    """
    if length < 3:
        raise UserError(f"Rows must hold a token and two special ones. Received: length={length}.")
    token_ids, firsts, ends = sentence_runs.across_documents(documents, length - 2, sep_id)
    stream, first, size = (
        host.constant(token_ids),
        host.constant(firsts),
        host.constant(ends - firsts),
    )

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        none = tf.zeros_like(rows)
        segments = Segments(tf.gather(first, rows), tf.gather(size, rows), none, none, none)
        row = _row(stream, segments, length, cls_id, sep_id, pad_id)
        return masked(row, chance.keys(seed, epoch, rows), masking, (cls_id, sep_id), is_real)

    return Source(len(firsts), examples)


def _row(
    stream: tf.Tensor, segments: Segments, length: int, cls_id: int, sep_id: int, pad_id: int
) -> Tensors:
    """[CLS] first segment [SEP] second segment [SEP], without the latter where it is empty."""
    places_t = tf.range(length, dtype=tf.int64)
    size_a, size_b = segments.size_a[:, None], segments.size_b[:, None]
    is_a = (places_t > 0) & (places_t <= size_a)
    is_b = (places_t > size_a + 1) & (places_t < size_a + 2 + size_b)
    index_a = segments.first_a[:, None] + places_t - 1
    index_b = segments.first_b[:, None] + places_t - size_a - 2
    index_bt = tf.where(is_a, index_a, tf.where(is_b, index_b, 0))
    end = size_a + 2 + tf.where(size_b > 0, size_b + 1, 0)
    is_sep = (places_t == size_a + 1) | (places_t == end - 1)
    special_bt = tf.where(is_sep, sep_id, tf.where(places_t == 0, cls_id, pad_id))
    second = (places_t > size_a + 1) & (places_t < end)
    return {
        "token_ids": tf.where(is_a | is_b, tf.gather(stream, index_bt), special_bt),
        "segment_ids": tf.cast(second, tf.int32),
        "padding_mask": tf.cast(places_t < end, tf.int32),
    }
