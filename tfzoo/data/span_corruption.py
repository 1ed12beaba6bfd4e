"""T5's objective: spans of the text are replaced by sentinels, and the decoder writes the spans.

Source: Raffel et al. 2019, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", https://arxiv.org/abs/1910.10683, section 3.1.4 and figure 2, with the noise of
section 3.3.4; checked against google-research/text-to-text-transfer-transformer,
t5/data/preprocessors.py (`random_spans_helper`, `random_spans_noise_mask`,
`noise_span_to_unique_sentinel`).

    text     Thank you for inviting me to your party last week .
    noise                ^^^^^^^^^^^^                ^^^^
    encoder  Thank you <X> me to your party <Y> week . </s>
    labels   <X> for inviting <Y> last <Z> </s>

Easy to get wrong: how much text goes into a row follows from how long the encoder's input is to be,
so that there is no padding at all. The labels are the text with everything *but* the noise
replaced, so that a last sentinel, <Z>, ends them only where text ends the row; rows drawn here, as
those of the published code, begin with text and end in noise.
"""

import dataclasses

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import blocks, chance
from tfzoo.data.batches import Batch, Source
from tfzoo.data.documents import Documents


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many tokens of a row are what.

    Attributes:
        tokens: Of the text.
        noise: Of these, replaced.
        spans: Into how many spans the noise falls.
    """

    tokens: int
    noise: int
    spans: int

    @property
    def encoder(self) -> int:
        """Length of the encoder's input: the text left, a sentinel a span, and the end."""
        return self.tokens - self.noise + self.spans + 1

    @property
    def decoder(self) -> int:
        """Length of the labels: the noise, a sentinel a span, and the end."""
        return self.noise + self.spans + 1


def sizes(encoder_length: int, density: float = 0.15, mean_span: float = 3.0) -> Sizes:
    """The most text whose corrupted form is not longer than `encoder_length`.

    Raises:
        UserError: when there is none, or an option is outside its range.
    """
    if not 0 < density < 1 or mean_span < 1:
        raise UserError(
            f"Noise must be a share of the text, between 0 and 1, in spans of at least one "
            f"token on average. Received: density={density}, mean_span={mean_span}."
        )
    found = None
    tokens = 2
    while (wanted := _of(tokens, density, mean_span)).encoder <= encoder_length:
        found = wanted
        tokens += 1
    if found is None:
        raise UserError(
            f"The encoder's input must hold a token, a sentinel and the end at least. "
            f"Received: encoder_length={encoder_length}."
        )
    return found


def span_corruption(
    documents: Documents,
    encoder_length: int,
    sentinel_ids: tuple[int, ...],
    eos_id: int,
    decoder_start_id: int,
    seed: int,
    density: float = 0.15,
    mean_span: float = 3.0,
) -> Source:
    """Blocks of the documents, joined without anything between them, with spans to be filled in.

    The blocks begin elsewhere in each epoch, and their noise is another. All tokens occur once an
    epoch, but for some of the last block, which goes on with the first ones.

    Args:
        documents: The texts.
        encoder_length: Tokens of the encoder's input, sentinels and end counted.
        sentinel_ids: What replaces the first span, the second, ...: <extra_id_0>, <extra_id_1>, ...
        eos_id: The end of both sequences.
        decoder_start_id: What the decoder begins with; T5's is its padding.
        seed: Decides the blocks and the noise.
        density: Which share of the tokens is noise.
        mean_span: How many tokens a span has on average.

    Returns:
        A source of inputs `encoder_token_ids`, `encoder_padding_mask` `(b, t)`, t being
        `sizes(...).encoder`, `decoder_token_ids`, `decoder_padding_mask` `(b, u)`, u being
        `sizes(...).decoder`; of targets `labels`, `label_weights` `(b, u)` and `weight` `(b,)`.

    Raises:
        UserError: when the documents do not fill a row, or need more sentinels than there are.
    """
    row = sizes(encoder_length, density, mean_span)
    stream = blocks.ring(documents, None)
    _check(row, len(stream), len(sentinel_ids), encoder_length)

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        firsts_b = rows * row.tokens + blocks.beginning(seed, epoch, len(stream))
        index_bt = firsts_b[:, None] + tf.range(row.tokens, dtype=tf.int64)
        ids_bt = tf.gather(stream, index_bt % len(stream))
        noise_bt = noise(chance.keys(seed, epoch, rows), row)
        encoder_bt = replaced(ids_bt, noise_bt, sentinel_ids, eos_id, row.encoder)
        labels_bu = replaced(ids_bt, ~noise_bt, sentinel_ids, eos_id, row.decoder)
        weight = tf.cast(is_real, tf.float32)
        inputs = {
            "encoder_token_ids": encoder_bt,
            "encoder_padding_mask": tf.ones_like(encoder_bt),
            "decoder_token_ids": shifted(labels_bu, decoder_start_id),
            "decoder_padding_mask": tf.ones_like(labels_bu),
        }
        label_weights_bu = tf.ones_like(labels_bu, tf.float32) * weight[:, None]
        return inputs, {"labels": labels_bu, "label_weights": label_weights_bu, "weight": weight}

    return Source(-(-len(stream) // row.tokens), examples)


def noise(keys_b: tf.Tensor, row: Sizes) -> tf.Tensor:
    """`(b, t)` boolean, True on the noise: spans of text and of noise by turns, text first.

    All ways to cut the noise into its spans, and the text into as many, are equally likely.
    """
    noise_starts_bs, noise_ends_bs = _segments(keys_b, 0, row.noise, row.spans)
    _, text_ends_bs = _segments(keys_b, 1, row.tokens - row.noise, row.spans)
    # Before the noise of a span stand the text up to it and all noise before.
    changes = 0
    for edges_bs, sign in ((noise_starts_bs, 1), (noise_ends_bs, -1)):
        places_bs = text_ends_bs + edges_bs
        rows_bs = tf.broadcast_to(tf.range(tf.shape(places_bs)[0])[:, None], tf.shape(places_bs))
        # One place more than tokens: the last noise ends behind them.
        shape = [tf.shape(places_bs)[0], row.tokens + 1]
        ones_bs = tf.fill(tf.shape(places_bs), sign)
        changes += tf.scatter_nd(tf.stack([rows_bs, places_bs], 2), ones_bs, shape)
    is_noise_bt = tf.cumsum(changes, axis=1)[:, : row.tokens] > 0
    return tf.ensure_shape(is_noise_bt, [keys_b.shape[0], row.tokens])


def replaced(
    ids_bt: tf.Tensor, noise_bt: tf.Tensor, sentinels: tuple[int, ...], eos_id: int, width: int
) -> tf.Tensor:
    """Each run of noise replaced by one sentinel, and the end put behind.

    Args:
        ids_bt: `(b, t)` int32 tokens.
        noise_bt: `(b, t)` boolean, True on what is replaced.
        sentinels: What replaces the first run of a row, the second, ...
        eos_id: The end.
        width: How many tokens each row then has, u.

    Returns:
        `(b, u)` int32.
    """
    before_bt = tf.pad(noise_bt[:, :-1], [[0, 0], [1, 0]])
    is_first_bt = noise_bt & ~before_bt
    number_bt = tf.maximum(tf.cumsum(tf.cast(is_first_bt, tf.int32), axis=1) - 1, 0)
    marked_bt = tf.where(is_first_bt, tf.gather(tf.constant(sentinels), number_bt), ids_bt)
    ended = tf.pad(marked_bt, [[0, 0], [0, 1]], constant_values=eos_id)
    is_kept = tf.pad(~(noise_bt & before_bt), [[0, 0], [0, 1]], constant_values=True)
    kept = tf.boolean_mask(ended, is_kept)
    return tf.ensure_shape(tf.reshape(kept, [-1, width]), [ids_bt.shape[0], width])


def shifted(labels_bt: tf.Tensor, start_id: int) -> tf.Tensor:
    """What a decoder reads to write `labels_bt`: `start_id`, and each label but the last."""
    return tf.pad(labels_bt[:, :-1], [[0, 0], [1, 0]], constant_values=start_id)


def _of(tokens: int, density: float, mean_span: float) -> Sizes:
    """How much of some tokens is noise: at least one of them, and not all."""
    noise_tokens = min(max(round(tokens * density), 1), tokens - 1)
    # Each span of noise comes after one of text, of one token at least.
    spans = min(max(round(noise_tokens / mean_span), 1), tokens - noise_tokens)
    return Sizes(tokens, noise_tokens, spans)


def _segments(keys_b: tf.Tensor, draw: int, items: int, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where `count` segments of at least one item begin and end, `(b, count)` int32 each."""
    is_open = tf.fill([tf.shape(keys_b)[0], items], True) & (tf.range(items) > 0)
    counts_b = tf.fill(tf.shape(keys_b), count - 1)
    is_start = chance.chosen(keys_b, draw, is_open, counts_b) | (tf.range(items) == 0)
    starts_bs = tf.reshape(tf.cast(tf.where(is_start)[:, 1], tf.int32), [-1, count])
    return starts_bs, tf.pad(starts_bs[:, 1:], [[0, 0], [0, 1]], constant_values=items)


def _check(row: Sizes, available: int, num_sentinels: int, encoder_length: int) -> None:
    if available < row.tokens:
        raise UserError(
            f"The documents must fill a row at least, {row.tokens} tokens. Give more text or a "
            f"smaller encoder_length. Received: {available} tokens, "
            f"encoder_length={encoder_length}."
        )
    if num_sentinels < row.spans:
        raise UserError(
            f"Each of the {row.spans} spans of a row needs a sentinel of its own. Take a smaller "
            f"encoder_length or a vocabulary with more. Received: {num_sentinels} sentinels, "
            f"encoder_length={encoder_length}."
        )
