"""Pairs of segments for BERT's next sentence prediction.

Source: Devlin et al. 2018, "BERT", section 3.1, task 2, and appendix A.2,
https://arxiv.org/abs/1810.04805; compared with google-research/bert, create_pretraining_data.py.

    document   s0 s1 s2 s3 | s4 s5 | s6 ...      as many whole sentences as fill a row
    follows    [s0] [s1 s2 s3]                   cut somewhere
    random     [s4] [sentences of another document, from any on]; the next row begins with s5

Easy to get wrong: the second segment of a random pair comes from another document; what it stands
for is not lost but begins the next row; a last sentence alone can only be half of a random pair, so
that of short documents more than half of the pairs are random. Where the published code decides
once for a document, whether its rows are short is decided here for each row.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import chance, host
from tfzoo.data.documents import Documents

# Numbers of draws; masking takes the ones below.
_DOCUMENT, _SENTENCE, _FRONT_A, _FRONT_B = range(10, 14)


@dataclasses.dataclass(frozen=True)
class Segments:
    """Where the segments of some rows stand among all tokens, `(b,)` int64 each.

    Attributes:
        first_a: First token of the first segment.
        size_a: How many it has.
        first_b: First token of the second segment.
        size_b: How many it has.
        is_random: `(b,)` int32, 1 where the second segment is of another document, else 0.
    """

    first_a: tf.Tensor
    size_a: tf.Tensor
    first_b: tf.Tensor
    size_b: tf.Tensor
    is_random: tf.Tensor


class Pairs:
    """Pairs of segments by number. Several walks through the documents cut them differently.

    Every sentence is in a pair of every walk. Epoch e takes walk e modulo `walks`; the second
    segments of random pairs and what of a pair is too long are drawn anew in every epoch.

    Args:
        documents: Two at least.
        most: Tokens of both segments together, at most.
        short_share: How many of the pairs aim at fewer tokens, any number from 2 on.
        walks: How many walks; the published code's `dupe_factor`.
        seed: Decides the walks.

    Raises:
        UserError: when there are fewer than 2 documents, or a row has no room.
    """

    def __init__(
        self, documents: Documents, most: int, short_share: float, walks: int, seed: int
    ) -> None:
        _check(documents, most, short_share, walks)
        walk = _walk(documents, most, short_share, walks, seed)
        counts = np.bincount(walk.pop("walk"), minlength=walks)
        self._columns = {name: host.constant(column) for name, column in walk.items()}
        self._counts = host.constant(counts)
        self._firsts = host.constant(np.cumsum(counts) - counts)
        self._sentences = host.constant(documents.sentence_starts)
        self._documents = host.constant(documents.document_starts)
        self._most = most
        self._seed = seed
        self.num_rows = int(counts.max())

    def segments(self, rows: tf.Tensor, epoch: tf.Tensor) -> Segments:
        """The segments of `(b,)` int64 rows in an epoch, `()` int64, with no more than `most`."""
        walk = epoch % len(self._counts)
        # Walks that found fewer pairs than the longest begin again.
        numbers = self._firsts[walk] + rows % self._counts[walk]
        row = {name: tf.gather(column, numbers) for name, column in self._columns.items()}
        keys_b = chance.keys(self._seed, epoch, rows)
        first_a, cut, end = (tf.gather(self._sentences, row[n]) for n in ("first", "cut", "end"))
        wanted = tf.cast(row["target"], tf.int64) - (cut - first_a)
        other_b, other_end = self._of_another(keys_b, tf.cast(row["first"], tf.int64), wanted)
        first_b = tf.where(row["is_random"], other_b, cut)
        end_b = tf.where(row["is_random"], other_end, end)
        return self._truncated(keys_b, first_a, cut - first_a, first_b, end_b - first_b, row)

    def _of_another(
        self, keys_b: tf.Tensor, sentence: tf.Tensor, wanted: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Whole sentences of another document, until there are enough tokens or it ends."""
        own = tf.searchsorted(self._documents, sentence, side="right", out_type=tf.int64) - 1
        count = tf.fill(tf.shape(own), tf.size(self._documents, tf.int64) - 2)
        other = chance.below(count, keys_b, _DOCUMENT)
        other += tf.cast(other >= own, tf.int64)
        first, end = tf.gather(self._documents, other), tf.gather(self._documents, other + 1)
        first += chance.below(end - first, keys_b, _SENTENCE)
        start = tf.gather(self._sentences, first)
        enough = tf.searchsorted(
            self._sentences, start + tf.maximum(wanted, 1), side="left", out_type=tf.int64
        )
        return start, tf.gather(self._sentences, tf.minimum(enough, end))

    def _truncated(
        self,
        keys_b: tf.Tensor,
        first_a: tf.Tensor,
        size_a: tf.Tensor,
        first_b: tf.Tensor,
        size_b: tf.Tensor,
        row: dict[str, tf.Tensor],
    ) -> Segments:
        """Takes tokens from the longer segment, from its front and back, until both fit."""
        kept_a = tf.minimum(size_a, tf.maximum(self._most - size_b, (self._most + 1) // 2))
        kept_b = tf.minimum(size_b, tf.maximum(self._most - size_a, self._most // 2))
        first_a += chance.below(size_a - kept_a + 1, keys_b, _FRONT_A)
        first_b += chance.below(size_b - kept_b + 1, keys_b, _FRONT_B)
        return Segments(first_a, kept_a, first_b, kept_b, tf.cast(row["is_random"], tf.int32))


def _walk(
    documents: Documents, most: int, short_share: float, walks: int, seed: int
) -> dict[str, np.ndarray]:
    """All pairs of all walks, walk after walk.

    Each step makes one pair of every document in every walk that has sentences left.

    Returns:
        `(p,)` columns: `walk`; the sentences `first` to `cut`, the first segment, and to `end`, the
        second one unless `is_random`; how many tokens were aimed at, `target`.
    """
    generator = np.random.default_rng(seed % 2**64)
    starts = documents.sentence_starts
    current = np.tile(documents.document_starts[:-1], walks)
    last = np.tile(documents.document_starts[1:], walks)
    walk = np.repeat(np.arange(walks), len(documents))
    found = []
    while len(current):
        target = np.full(len(current), most)
        short = generator.random(len(current)) < short_share
        target[short] = generator.integers(2, most, short.sum(), endpoint=True)
        end = np.minimum(np.searchsorted(starts, starts[current] + target), last)
        cut = current + generator.integers(1, np.maximum(end - current, 2))
        is_random = (generator.random(len(current)) < 0.5) | (end - current == 1)
        columns = {"first": current, "cut": cut, "end": end, "target": target, "walk": walk}
        found.append({n: c.astype(np.int32) for n, c in columns.items()} | {"is_random": is_random})
        current = np.where(is_random, cut, end)
        left = current < last
        current, last, walk = current[left], last[left], walk[left]
    order = np.argsort(np.concatenate([step["walk"] for step in found]), kind="stable")
    return {name: np.concatenate([step[name] for step in found])[order] for name in found[0]}


def _check(documents: Documents, most: int, short_share: float, walks: int) -> None:
    if len(documents) < 2:
        raise UserError(
            f"Next sentence prediction takes sentences from another document: it needs 2 documents "
            f"at least. Received: documents={len(documents)}."
        )
    if most < 2 or walks < 1 or not 0 <= short_share <= 1:
        raise UserError(
            f"Two segments need room for a token each, the documents one walk through them at "
            f"least, and the share of short pairs is from 0 to 1. Received: most={most}, "
            f"walks={walks}, short_share={short_share}."
        )
