"""The likelihood of texts: from strings to figures, with decoders and with encoder-decoders."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfzoo.core.errors import UserError
from tfzoo.decoding import likelihood
from tfzoo.tasks import token_loss
from tfzoo.text.tokenizer import as_texts

Found = dict[str, np.ndarray]

_TOKENIZED_AT_ONCE = 1024


def stride_of(task: Any, stride: int | None) -> int:
    """How far each piece of a long text begins after the one before it; None is half a piece.

    Raises:
        UserError: when tokens would be left out or lose all context.
    """
    if stride is None:
        return int(task.max_length) // 2
    if not 1 <= stride < task.max_length:
        raise UserError(
            f"stride must be from 1 to {task.max_length - 1}, one less than the tokens that the "
            f"model reads at once. Received: stride={stride}."
        )
    return stride


def tokens(
    task: Any, text: tf.Tensor, pair: tf.Tensor | None, begin: bool
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """The tokens of texts for a decoder, and the first one of each that is scored.

    A text and what follows it are tokenized as one. What is scored begins with the first token
    that the text alone would not have: after "a " the pair "b" is the token " b".

    Args:
        task: Its tokenizer; what that puts before a text is context, and what it puts behind a text
            is left out.
        text: `(n,)` strings.
        pair: `(n,)` strings, what follows each text, which is then context. None: the text itself
            is scored.
        begin: Whether the model's own token for the beginning stands in front where the tokenizer
            puts nothing there.

    Returns:
        `(n, (t))` int32, and `(n,)` int32.
    """
    front = list(task.tokenizer.frame.before or ((begin_id(task),) if begin else ()))
    ids = task.tokenizer.tokenize(text if pair is None else tf.strings.join([text, pair]))
    first_n = tf.fill([ids.nrows(out_type=tf.int32)], max(len(front), 1))
    if pair is not None:
        shared_n = len(front) + _shared(task.tokenizer.tokenize(text), ids)
        first_n = tf.maximum(first_n, shared_n)
    front_nf = tf.tile(tf.constant([front], tf.int32), [tf.size(first_n), 1])
    return tf.concat([tf.RaggedTensor.from_tensor(front_nf), ids], 1), first_n


def begin_id(task: Any) -> int:
    """The model's token for the beginning of a text.

    Raises:
        UserError: when its config names none.
    """
    found = task.model.config.bos_id
    if found is None:
        raise UserError(
            "begin needs a token for the beginning of a text, and the model's config has none. "
            "Leave it out, or load the model with bos_id=N. Received: bos_id=None."
        )
    return int(found)


def score_with_decoder(
    task: Any,
    columns: Sequence[Sequence[str]],
    options: tuple[int, bool],
    batch_size: int,
    progress: bool,
) -> Found:
    """What `LanguageModel.score` gives.

    Args:
        task: The language model.
        columns: The texts, and the pairs where there are any.
        options: The stride, and whether the token for the beginning stands in front.
        batch_size: At most so many pieces are read at once.
        progress: Whether to show a progress bar.
    """
    ids, firsts = _tokenized(task, columns, options[1])
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    with tf.device("CPU"):
        found = likelihood.windows(lengths, firsts, task.max_length, options[0])
    sizes = (found.ends - found.begins).numpy()
    order = np.argsort(-sizes, kind="stable")
    sums = _nothing(len(columns[0]))
    with tqdm(total=len(order), desc="score", unit="piece", disable=not progress) as bar:
        at = 0
        while at < len(order):
            count = min(batch_size, int(likelihood.at_once(sizes[order[at]])))
            some = order[at : at + count]
            with tf.device("CPU"):
                piece = likelihood.Windows(*(tf.gather(part, some) for part in found))
                cut = likelihood.cut(ids, piece)
            scores = task.score_pieces(*cut)
            for name, total in sums.items():
                np.add.at(total, piece.rows.numpy(), scores[name].numpy())
            at += count
            bar.update(len(some))
    return _described(sums, columns[-1])


def score_pairs(
    function: Any, columns: Sequence[Sequence[str]], batch_size: int, progress: bool
) -> Found:
    """What `SequenceToSequence.score` gives, from its function of texts and pairs."""
    sums = _nothing(len(columns[0]))
    order = sorted(range(len(columns[0])), key=lambda i: -sum(len(c[i]) for c in columns))
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc="score", unit="batch", disable=not progress):
        rows = order[start : start + batch_size]
        scores = function(*(as_texts([column[i] for i in rows]) for column in columns))
        for name, total in sums.items():
            total[rows] = scores[name].numpy()
    return _described(sums, columns[-1])


def checked(
    task: Any, texts: Sequence[str], pairs: Sequence[str] | None
) -> tuple[Sequence[str], ...]:
    """The columns of what is to be scored.

    Raises:
        UserError: without a tokenizer, for anything but lists of strings, or for lists of unequal
            lengths.
    """
    if task.tokenizer is None:
        raise UserError("This model came without a tokenizer; there is nothing to read texts with.")
    columns = (texts,) if pairs is None else (texts, pairs)
    for column in columns:
        if isinstance(column, str) or not all(isinstance(text, str) for text in column):
            raise UserError(
                "Texts must be a list of strings: put one text into a list. "
                f"Received: {column!r:.60}."
            )
    if len(columns[0]) != len(columns[-1]):
        raise UserError(
            f"Every text needs its pair. Received: {len(texts)} texts, {len(columns[-1])} pairs."
        )
    return columns


def report(found: Found) -> token_loss.Report:
    """The figures of all texts together, from those of each.

    `loss` in nats, `perplexity` and `accuracy` are by the token; `loss_per_character` in nats and
    `bits_per_character` compare models of different vocabularies.

    Raises:
        UserError: when no token was scored.
    """
    num_tokens = int(found["num_tokens"].sum())
    if not num_tokens:
        raise UserError(
            "No token can be scored: the first one of a text has nothing before it to follow from. "
            f"Received: {len(found['num_tokens'])} texts of one token or none."
        )
    names = {"nats": -found["log_likelihood"], "tokens": found["num_tokens"]}
    values: dict[str, Any] = token_loss.scores({**names, "right": found["num_right"]})
    num_characters = int(found["num_characters"].sum())
    nats = float(names["nats"].sum())
    if num_characters:
        values["loss_per_character"] = nats / num_characters
        values["bits_per_character"] = nats / num_characters / math.log(2)
    counts = {"texts": len(found["num_tokens"]), "tokens": num_tokens, "characters": num_characters}
    return token_loss.Report({**values, **counts})


def _tokenized(
    task: Any, columns: Sequence[Sequence[str]], begin: bool
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """All texts, in the memory of the host."""

    def parts() -> Iterator[tuple[tf.RaggedTensor, tf.Tensor]]:
        for start in range(0, max(len(columns[0]), 1), _TOKENIZED_AT_ONCE):
            some = [as_texts(list(c[start : start + _TOKENIZED_AT_ONCE])) for c in columns]
            yield tokens(task, some[0], some[1] if len(some) > 1 else None, begin)

    with tf.device("CPU"):
        ids, firsts = zip(*parts(), strict=True)
        return tf.concat(ids, 0), tf.concat(firsts, 0)


def _shared(one: tf.RaggedTensor, two: tf.RaggedTensor) -> tf.Tensor:
    """With how many equal ids rows begin, `(n,)` int32."""
    one_nt, two_nt = one.to_tensor(-1), two.to_tensor(-2)
    width = tf.minimum(tf.shape(one_nt)[1], tf.shape(two_nt)[1])
    equal_nt = tf.cast(one_nt[:, :width] == two_nt[:, :width], tf.int32)
    return tf.reduce_sum(tf.math.cumprod(equal_nt, 1), 1)


def _nothing(num_rows: int) -> Found:
    """Sums are float64: a text may have a million tokens."""
    counts = {name: np.zeros(num_rows, "int64") for name in ("num_tokens", "num_right")}
    return {"log_likelihood": np.zeros(num_rows), **counts}


def _described(sums: Found, texts: Sequence[str]) -> Found:
    """The sums with what follows from them: NaN where there is nothing to divide by."""
    characters = np.array([len(text) for text in texts], "int64")
    nats = -sums["log_likelihood"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        by_token = np.where(sums["num_tokens"] > 0, nats / sums["num_tokens"], np.nan)
        by_character = np.where(characters > 0, nats / characters, np.nan)
        perplexity = np.exp(by_token)
    return {
        **sums,
        "num_characters": characters,
        "perplexity": perplexity,
        "loss_per_character": by_character,
    }
