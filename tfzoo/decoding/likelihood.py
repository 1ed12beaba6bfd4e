"""How likely given tokens are: their log-likelihood under a model, in the graph.

A decoder reads a text that is longer than its window piece by piece. Each token is scored once, in
the first piece that holds it, with a context of at least `size - stride` tokens where there are so
many:

    text      0 1 2 3 4 5 6 7 8 9       size 4, stride 2; · is read and not scored
    piece 0   · 1 2 3
    piece 1       · · 4 5
    piece 2           · · 6 7
    piece 3               · · 8 9

Source: "Perplexity of fixed-length models" of Hugging Face's documentation of transformers, whose
pieces these are. Easy to get wrong: the mean of the guide counts one token too few in each piece
but the first, for it takes the one that a piece begins with for one that was not scored.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Scores = dict[str, tf.Tensor]

# Vectors whose scores of the whole vocabulary exist at once: 100 MB at 50,000 tokens.
_VECTORS = 512
_TOKENS = 4096  # that are read at once


class Windows(NamedTuple):
    """Pieces of texts, `(w,)` int32 each. Tokens are counted from the beginning of their text.

    Attributes:
        rows: Which text it is of.
        begins: Its first token.
        firsts: The first token that is scored in it.
        ends: Its last token, and one more.
    """

    rows: tf.Tensor
    begins: tf.Tensor
    firsts: tf.Tensor
    ends: tf.Tensor


def windows(lengths_b: tf.Tensor, firsts_b: tf.Tensor, size: int, stride: int) -> Windows:
    """The pieces that texts are read in, those of a text in order.

    Args:
        lengths_b: `(b,)` int32, the number of tokens of each text.
        firsts_b: `(b,)` int32, the first token that is scored. Those before it are context, of
            which the last ones are read if there is no room for all. The first token of a text has
            no context and is never scored.
        size: Tokens of a piece, 2 at least.
        stride: How far each piece begins after the one before it, from 1 to `size - 1`.

    Returns:
        The pieces; none of a text of which nothing is scored.
    """
    firsts_b = tf.maximum(firsts_b, 1)
    last_b = lengths_b - size
    begins_b = tf.maximum(tf.minimum(last_b, firsts_b - (size - stride)), 0)
    more_b = tf.maximum(last_b - begins_b, 0)
    counts_b = tf.where(firsts_b < lengths_b, 1 + (more_b + stride - 1) // stride, 0)

    rows_w = tf.repeat(tf.range(tf.size(lengths_b)), counts_b)
    before_b = tf.cumsum(counts_b, exclusive=True)
    numbers_w = tf.range(tf.size(rows_w)) - tf.gather(before_b, rows_w)
    begins_w = tf.gather(begins_b, rows_w) + numbers_w * stride
    scored_w = begins_w - stride + size  # where the piece before it ends
    firsts_w = tf.where(numbers_w == 0, tf.gather(firsts_b, rows_w), scored_w)
    ends_w = tf.minimum(begins_w + size, tf.gather(lengths_b, rows_w))
    return Windows(rows_w, begins_w, firsts_w, ends_w)


def cut(token_ids: tf.RaggedTensor, found: Windows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The tokens of pieces, at least one, as `of_windows` takes them."""
    flat = tf.cast(token_ids.flat_values, tf.int32)
    starts_w = tf.gather(tf.cast(token_ids.row_starts(), tf.int32), found.rows) + found.begins
    lengths_w = found.ends - found.begins
    columns_1t = tf.expand_dims(tf.range(tf.reduce_max(lengths_w)), 0)
    places_wt = tf.minimum(tf.expand_dims(starts_w, 1) + columns_1t, tf.size(flat) - 1)
    real_wt = tf.sequence_mask(lengths_w, tf.shape(places_wt)[1], tf.int32)
    return tf.gather(flat, places_wt) * real_wt, lengths_w, found.firsts - found.begins


def at_once(width: Any) -> Any:
    """How many pieces of a width are read at once, at least one."""
    return tf.maximum(_TOKENS // tf.maximum(width, 1), 1)


def of_windows(
    read: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    logits: Callable[[tf.Tensor], tf.Tensor],
    token_ids_bt: tf.Tensor,
    lengths_b: tf.Tensor,
    firsts_b: tf.Tensor,
) -> Scores:
    """Scores rows that a decoder can read at once.

    Args:
        read: `(b, t)` ids and mask, both int32, to what the decoder makes of them, `(b, t, d)`.
        logits: `(b, t, d)` to `(b, t, v)` scores of the token after each.
        token_ids_bt: `(b, t)` int32; behind a row's length anything.
        lengths_b: `(b,)` int32.
        firsts_b: `(b,)` int32, the first token that is scored, 1 at least.

    Returns:
        As `of_tokens`.
    """
    real_bt = tf.sequence_mask(lengths_b, tf.shape(token_ids_bt)[1], tf.int32)
    token_ids_bt *= real_bt
    x_btd = read(token_ids_bt, real_bt)
    columns_1t = tf.expand_dims(tf.range(tf.shape(token_ids_bt)[1]), 0)
    counted_bt = (columns_1t >= tf.expand_dims(firsts_b, 1)) & (real_bt > 0)
    return of_tokens(logits, x_btd[:, :-1], token_ids_bt[:, 1:], counted_bt[:, 1:])


def of_texts(
    read: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    logits: Callable[[tf.Tensor], tf.Tensor],
    token_ids: tf.RaggedTensor,
    firsts_b: tf.Tensor,
    size: int,
    stride: int,
) -> Scores:
    """Scores texts of any length with a decoder, a few pieces at once.

    Args:
        read: As in `of_windows`.
        logits: As in `of_windows`.
        token_ids: `(b, (t))` ids.
        firsts_b: As in `windows`.
        size: As in `windows`.
        stride: As in `windows`.

    Returns:
        As `of_tokens`.
    """
    found = windows(tf.cast(token_ids.row_lengths(), tf.int32), firsts_b, size, stride)
    count = at_once(tf.reduce_max(found.ends - found.begins))
    num_rows = tf.size(firsts_b)

    def goes_on(begin: tf.Tensor, sums: Scores) -> tf.Tensor:
        return begin < tf.size(found.rows)

    def some(begin: tf.Tensor, sums: Scores) -> tuple[tf.Tensor, Scores]:
        piece = Windows(*(part[begin : begin + count] for part in found))
        scores = of_windows(read, logits, *cut(token_ids, piece))
        return begin + count, _added(sums, scores, piece.rows, num_rows)

    _, sums = tf.while_loop(goes_on, some, (0, _zeros(num_rows)), parallel_iterations=1)
    return sums


def of_tokens(
    logits: Callable[[tf.Tensor], tf.Tensor],
    x_btd: tf.Tensor,
    labels_bt: tf.Tensor,
    counted_bt: tf.Tensor,
) -> Scores:
    """Scores the tokens that are counted, and computes the scores of no others.

    Args:
        logits: `(b, t, d)` to `(b, t, v)`.
        x_btd: Vectors of the decoder, each of what stands before a label.
        labels_bt: `(b, t)` int32, the tokens.
        counted_bt: `(b, t)` boolean, which of them count.

    Returns:
        Of each row `log_likelihood` `(b,)` float32 in nats, `num_tokens` `(b,)` int32, and
        `num_right` `(b,)` int32, how many of them no other token was likelier than.
    """
    places_n2 = tf.cast(tf.where(counted_bt), tf.int32)
    num_rows, num_places = tf.shape(labels_bt)[0], tf.shape(places_n2)[0]

    def goes_on(begin: tf.Tensor, sums: Scores) -> tf.Tensor:
        return begin < num_places

    def some(begin: tf.Tensor, sums: Scores) -> tuple[tf.Tensor, Scores]:
        places_k2 = places_n2[begin : begin + _VECTORS]
        labels_k = tf.gather_nd(labels_bt, places_k2)
        x_1kd = tf.expand_dims(tf.gather_nd(x_btd, places_k2), 0)
        logits_kv = tf.cast(logits(x_1kd)[0], tf.float32)
        scores = {
            "log_likelihood": -tf.nn.sparse_softmax_cross_entropy_with_logits(labels_k, logits_kv),
            "num_tokens": tf.ones_like(labels_k),
            "num_right": tf.cast(tf.argmax(logits_kv, -1, tf.int32) == labels_k, tf.int32),
        }
        return begin + _VECTORS, _added(sums, scores, places_k2[:, 0], num_rows)

    _, sums = tf.while_loop(goes_on, some, (0, _zeros(num_rows)), parallel_iterations=1)
    return sums


def _zeros(num_rows: tf.Tensor) -> Scores:
    return {
        "log_likelihood": tf.zeros([num_rows]),
        "num_tokens": tf.zeros([num_rows], tf.int32),
        "num_right": tf.zeros([num_rows], tf.int32),
    }


def _added(sums: Scores, scores: Scores, rows: tf.Tensor, num_rows: tf.Tensor) -> Scores:
    """The sums of rows, with more scores of some of them; the shapes are those of before."""
    return {
        name: tf.ensure_shape(
            total + tf.math.unsorted_segment_sum(scores[name], rows, num_rows), total.shape
        )
        for name, total in sums.items()
    }
