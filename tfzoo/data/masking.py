"""Hiding tokens for a model to say which they were, as BERT and RoBERTa are trained.

Source: Devlin et al. 2018, "BERT", section 3.1, task 1, and appendix A.1 and A.2,
https://arxiv.org/abs/1810.04805, compared with google-research/bert, create_pretraining_data.py;
Liu et al. 2019, "RoBERTa", section 4.1 (a new mask in every epoch),
https://arxiv.org/abs/1907.11692.

    text       [CLS] my dog is hairy [SEP] ...
    chosen                     ^^^^^           15 % of the tokens
    80 %       [CLS] my dog is [MASK] [SEP]
    10 %       [CLS] my dog is apple [SEP]     any token of the vocabulary
    10 %       [CLS] my dog is hairy [SEP]     still to be predicted

Easy to get wrong: the 15 % are counted with [CLS] and [SEP] but never fall on them; they are an
exact number for each row, not a chance for each token; each token of a chosen word has a fate of
its own.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance, host
from tfzoo.data.batches import Batch, Tensors

# Numbers of draws; those of pairs are above.
_CHOICE, _FATE, _REPLACEMENT = range(3)
# After the first word too long for what is left, others may still fit. Each round but the first
# finds one or ends, and what is left is less than a word.
_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Masking:
    """How tokens are hidden.

    Attributes:
        mask_id: What hides a token.
        vocab_size: Random tokens are below this.
        continues: `(v,)` boolean, True on token ids that go on with a word: words are chosen, not
            tokens. None: tokens are.
        share: Which share of a row's tokens is chosen, rounded; one at least.
        most: How many at most, m.
    """

    mask_id: int
    vocab_size: int
    continues: np.ndarray | None = None
    share: float = 0.15
    most: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.most < 1:
            raise UserError(
                f"A share of the tokens must be chosen, above 0 and at most 1, and one at least. "
                f"Received: share={self.share}, most={self.most}."
            )
        if self.continues is not None and len(self.continues) != self.vocab_size:
            raise UserError(
                f"Each token of the vocabulary goes on with a word or not. Received: "
                f"{len(self.continues)} entries in continues, vocab_size={self.vocab_size}."
            )


def masked(
    row: Tensors,
    keys_b: tf.Tensor,
    masking: Masking,
    never: tuple[int, int],
    is_real: tf.Tensor,
) -> Batch:
    """Hides tokens of rows.

    Args:
        row: `token_ids` and `padding_mask`, `(b, t)`, and other inputs.
        keys_b: What `chance.keys` returned.
        masking: How tokens are hidden.
        never: Ids that are not chosen.
        is_real: `(b,)` boolean: which rows weigh anything.

    Returns:
        The inputs, some tokens hidden, with `masked_positions` `(b, m)`, in order and then 0; the
        targets `labels`, `label_weights` `(b, m)` and `weight` `(b,)`.
    """
    ids_bt = row["token_ids"]
    width = ids_bt.shape[1]
    is_open_bt = row["padding_mask"] > 0
    for special in never:
        is_open_bt &= ids_bt != special
    sizes_b = tf.cast(tf.reduce_sum(row["padding_mask"], axis=1), tf.float64)
    counts_b = tf.cast(tf.round(sizes_b * masking.share), tf.int32)
    counts_b = tf.clip_by_value(counts_b, 1, masking.most)
    continues_bt = None
    if masking.continues is not None:
        continues_bt = tf.gather(host.constant(masking.continues), ids_bt)
    is_chosen_bt = choose(keys_b, is_open_bt, continues_bt, counts_b)
    random_bt = chance.bits(keys_b, _REPLACEMENT, width) % masking.vocab_size
    fate_bt = chance.uniform(keys_b, _FATE, width)
    hidden_bt = hide(ids_bt, is_chosen_bt, fate_bt, tf.cast(random_bt, tf.int32), masking.mask_id)
    # The chosen places in order, and 0 behind them.
    from_end_bt = tf.where(is_chosen_bt, width - tf.range(width), 0)
    found_bm = tf.math.top_k(from_end_bt, min(masking.most, width)).values
    positions_bm = tf.where(found_bm > 0, width - found_bm, 0)
    weight = tf.cast(is_real, tf.float32)
    labels_bm = tf.where(found_bm > 0, tf.gather(ids_bt, positions_bm, batch_dims=1), 0)
    targets = {
        "labels": labels_bm,
        "label_weights": tf.cast(found_bm > 0, tf.float32) * weight[:, None],
        "weight": weight,
    }
    return {**row, "token_ids": hidden_bt, "masked_positions": positions_bm}, targets


def choose(
    keys_b: tf.Tensor, is_open_bt: tf.Tensor, continues_bt: tf.Tensor | None, counts_b: tf.Tensor
) -> tf.Tensor:
    """Chooses tokens, or whole words, in random order, leaving out words that are too long.

    Args:
        keys_b: What `chance.keys` returned.
        is_open_bt: `(b, t)` boolean with a static t: what can be chosen.
        continues_bt: `(b, t)` boolean, True on tokens that belong to the word of the token before
            if that can be chosen too. None: every token is a word.
        counts_b: `(b,)` int32: how many tokens to choose, at most.

    Returns:
        `(b, t)` boolean, True on the chosen tokens.
    """
    if continues_bt is None:
        return chance.chosen(keys_b, _CHOICE, is_open_bt, counts_b)
    width = is_open_bt.shape[1]
    before_bt = tf.pad(is_open_bt[:, :-1], [[0, 0], [1, 0]])
    begins_bt = is_open_bt & ~(continues_bt & before_bt)
    word_bt = tf.maximum(tf.cumsum(tf.cast(begins_bt, tf.int32), axis=1) - 1, 0)
    first_b1 = tf.range(tf.shape(word_bt)[0])[:, None] * width
    sizes_bw = tf.math.unsorted_segment_sum(
        tf.cast(is_open_bt, tf.int32), word_bt + first_b1, tf.size(word_bt)
    )
    sizes_bw = tf.reshape(sizes_bw, tf.shape(word_bt))
    numbers_bw = tf.where(sizes_bw > 0, chance.bits(keys_b, _CHOICE, width), tf.int64.max)
    order_bw = tf.argsort(numbers_bw, axis=1)
    taken_bw = _fitting(tf.gather(sizes_bw, order_bw, batch_dims=1), counts_b[:, None])
    taken_bw = tf.gather(taken_bw, tf.argsort(order_bw, axis=1), batch_dims=1)
    return is_open_bt & tf.gather(taken_bw, word_bt, batch_dims=1)


def hide(
    ids_bt: tf.Tensor,
    is_chosen_bt: tf.Tensor,
    fate_bt: tf.Tensor,
    random_bt: tf.Tensor,
    mask_id: int,
) -> tf.Tensor:
    """Replaces the chosen tokens by the mask, by random ones, or not at all.

    Args:
        ids_bt: `(b, t)` int32.
        is_chosen_bt: `(b, t)` boolean.
        fate_bt: `(b, t)` in [0, 1): the mask below 0.8, the random token below 0.9.
        random_bt: `(b, t)` int32, the random tokens.
        mask_id: The mask.
    """
    hidden_bt = tf.where(fate_bt < 0.8, mask_id, tf.where(fate_bt < 0.9, random_bt, ids_bt))
    return tf.where(is_chosen_bt, hidden_bt, ids_bt)


def _fitting(sizes_bw: tf.Tensor, counts_b1: tf.Tensor) -> tf.Tensor:
    """`(b, w)` boolean: words taken in order, those left out that no longer fit."""
    is_taken = tf.ones_like(sizes_bw, tf.bool)
    for _ in range(_ROUNDS):
        total = tf.cumsum(tf.where(is_taken, sizes_bw, 0), axis=1)
        fits = is_taken & (total <= counts_b1)
        left = counts_b1 - tf.reduce_max(tf.where(fits, total, 0), axis=1, keepdims=True)
        is_taken = fits | (is_taken & (sizes_bw <= left))
    return is_taken & (tf.cumsum(tf.where(is_taken, sizes_bw, 0), axis=1) <= counts_b1)
