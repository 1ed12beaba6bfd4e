"""Byte pair encoding of many words at once, inside the graph: pairs of ids, merged by rank.

Source: Sennrich et al. 2016; tokenizers 0.23, models/bpe/word.rs. A word begins as one id a
character (or byte). The neighbouring pair of least rank becomes one id, the leftmost first, until
no pair is in the table.

    words ─► one table of whole words ─┬─► ids ──────────────────────────────────┐
                                       └─► distinct others ─► ids ─► merge loop ─┴─► ragged ids

All words of a batch lie flat behind each other and each turn of the loop merges in every word. Most
words of a text are single tokens and never come there.

Easy to get wrong: a turn merges every place of a word's best pair, not the leftmost alone. That is
the same only where a merge never makes a pair of lesser rank, as in every table that was trained;
`Merges` looks whether it is so. And of the overlapping places in "aaa" only every other one counts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfzoo.text.added_tokens import make_table
from tfzoo.text.vocabulary import Vocabulary

_NONE = np.int64(2**62)  # The rank of a pair that does not merge.
_SHIFT = 32  # Two ids, or a rank and an id, in one int64.
_LOW = np.int64(2**_SHIFT - 1)


class Spelling(NamedTuple):
    """Words as ids, one word after another.

    Attributes:
        ids: `(m,)` int64.
        words: `(m,)` int64, ascending, which word each is of.
    """

    ids: tf.Tensor
    words: tf.Tensor


class Merges(tf.Module):
    """The merge loop.

    Args:
        merges: `(r, 3)` integers, in the order of their rank: the left id, the right id, and the id
            that they become.
    """

    def __init__(self, merges: np.ndarray):
        super().__init__()
        merges = np.asarray(merges, np.int64).reshape(-1, 3)
        keys = merges[:, 0] << _SHIFT | merges[:, 1]
        # Of a pair that is listed twice the last counts, as in tokenizers.
        _, last = np.unique(keys[::-1], return_index=True)
        kept = np.sort(len(keys) - 1 - last)
        ranks = np.arange(len(merges))
        values = ranks << _SHIFT | merges[:, 2]
        with tf.init_scope(), tf.device("CPU"):
            # No table may be empty, so one pair is in it that no ids make.
            entries = tf.lookup.KeyValueTensorInitializer(
                tf.constant([*keys[kept], -1], tf.int64),
                tf.constant([*values[kept], _NONE], tf.int64),
            )
            self._table = tf.lookup.StaticHashTable(entries, _NONE)
        self._every_place = _never_earlier(merges[kept], ranks[kept])
        # A function of its own, so that the loop is none of Python's where all else is eager.
        spec = tf.TensorSpec([None], tf.int64)
        self._loop = tf.function(self._turns, input_signature=[spec, spec], autograph=False)

    def __call__(self, spelling: Spelling, count: tf.Tensor) -> tf.RaggedTensor:
        """Merges in every word.

        Args:
            spelling: The words.
            count: How many words there are.

        Returns:
            `(count, (t))` int32.
        """
        ids, words = self._loop(*spelling)
        return tf.RaggedTensor.from_value_rowids(ids, words, count, validate=False)

    def _turns(self, ids: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.TensorShape([None])
        ids, words, _ = tf.while_loop(
            lambda ids, words, ranks: tf.reduce_any(ranks < _NONE),
            self._turn,
            (ids, words, self._ranks(ids, words)),
            shape_invariants=(size, size, size),
        )
        return tf.cast(ids, tf.int32), words

    def _ranks(self, ids: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """Of each id with its right neighbour: rank and merged id in one number, or `_NONE`."""
        found = self._table.lookup(tf.bitwise.left_shift(ids[:-1], _SHIFT) | ids[1:])
        found = tf.where(words[:-1] == words[1:], found, _NONE)
        return tf.concat([found, tf.fill([tf.minimum(tf.size(ids), 1)], _NONE)], 0)

    def _turn(
        self, ids: tf.Tensor, words: tf.Tensor, ranks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        best = tf.gather(tf.math.segment_min(ranks, words), words)
        merges = (ranks == best) & (ranks < _NONE)
        if self._every_place:
            overlap = tf.reduce_any(merges[1:] & merges[:-1])
            merges = tf.cond(overlap, lambda: _every_other(merges), lambda: merges)
        else:
            places = tf.range(tf.size(ids))
            none = tf.where(merges, places, tf.int32.max)
            merges &= places == tf.gather(tf.math.segment_min(none, words), words)
        ids = tf.where(merges, tf.bitwise.bitwise_and(ranks, _LOW), ids)
        kept = tf.where(tf.concat([[True], ~merges[:-1]], 0))[:, 0]
        ids, words = tf.gather(ids, kept), tf.gather(words, kept)
        return ids, words, self._ranks(ids, words)


def _every_other(merges: tf.Tensor) -> tf.Tensor:
    """Of places that overlap, those at an odd distance from what is before their run."""
    places = tf.range(tf.size(merges))
    run = tf.cumsum(tf.cast(~merges, tf.int32))
    before = tf.gather(tf.math.segment_max(tf.where(merges, -1, places), run), run)
    return merges & ((places - before) % 2 == 1)


def _never_earlier(merges: np.ndarray, ranks: np.ndarray) -> bool:
    """Whether no merge makes an id that an earlier merge takes."""
    first_use = np.full(merges.max(initial=0) + 1, len(ranks) + 1)
    for column in (0, 1):
        np.minimum.at(first_use, merges[:, column], ranks)
    return bool((first_use[merges[:, 2]] > ranks).all())


class MergeRules:
    """Pairs of tokens, in the order of their rank.

    A plain object, because TensorFlow would track every pair that a `tf.Module` holds.

    Args:
        pairs: The pairs.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self.pairs = tuple(pairs)

    def ids(self, vocabulary: Vocabulary) -> np.ndarray:
        """The pairs as `Merges` takes them.

        Raises:
            UserError: when a part or what becomes of them is no token.
        """
        id_of = vocabulary.id_of
        return np.array([[id_of(a), id_of(b), id_of(a + b)] for a, b in self.pairs], np.int64)


class Words(tf.Module):
    """Words to ids: by a table of those that are one id, by merging the others.

    Args:
        merges: The merge loop.
        spell: Words, `(w,)` strings, to what they are before any merge.
        known: Words to put into the table where `spell` and `merges` make one id of them.
        marks: Further entries of the table, that no spelling could find.
    """

    def __init__(
        self,
        merges: Merges,
        spell: Callable[[tf.Tensor], Spelling],
        known: Sequence[bytes],
        marks: dict[bytes, int],
    ):
        super().__init__()
        self._merges = merges
        self._spell = spell
        keys, ids = list(marks), list(marks.values())
        with tf.init_scope():
            found = self._merge(tf.constant(known, tf.string))
            lengths, starts = found.row_lengths().numpy(), found.row_starts().numpy()
            flat = found.flat_values.numpy()
        for number in np.flatnonzero(lengths == 1):
            if known[number] not in marks:
                keys.append(known[number])
                ids.append(flat[starts[number]])
        self._table = make_table(keys, ids)

    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        """`(w,)` words to `(w, (t))` int32."""
        ids = self._table.lookup(words)
        missing = ids < 0
        count = tf.size(words)

        def merged() -> tuple[tf.Tensor, tf.Tensor]:
            distinct, which = tf.unique(tf.boolean_mask(words, missing))
            others = self._merge(distinct)
            places = tf.cast(tf.where(missing), tf.int32)
            # Where each word's ids are in `ids` with the others behind them, and how many they are.
            starts = tf.tensor_scatter_nd_update(
                tf.range(count),
                places,
                count + tf.gather(tf.cast(others.row_starts(), tf.int32), which),
            )
            lengths = tf.tensor_scatter_nd_update(
                tf.ones([count], tf.int32),
                places,
                tf.gather(tf.cast(others.row_lengths(), tf.int32), which),
            )
            taken = tf.ragged.range(starts, starts + lengths, row_splits_dtype=tf.int64)
            source = tf.concat([ids, others.flat_values], 0)
            return tf.gather(source, taken.flat_values), taken.row_splits

        flat, splits = tf.cond(
            tf.reduce_any(missing),
            merged,
            lambda: (ids, tf.range(tf.cast(count, tf.int64) + 1)),
        )
        return tf.RaggedTensor.from_row_splits(flat, splits, validate=False)

    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        return self._merges(self._spell(words), tf.size(words, tf.int64))
