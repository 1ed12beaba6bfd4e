"""Sentences a second of a tokenizer beside Hugging Face's, in turns, on the same texts.

"tfzoo" calls one `tf.function` for each batch, from a list of Python strings to the three padded
tensors a model takes; "tfzoo, tf.data" maps it over a dataset, which uses all cores. "tokenizers"
goes from the same lists to its own Encoding objects, padded, not yet copied into arrays, which
favours it, with its parallelism off and on. "an empty call" is what TensorFlow itself takes to call
a function that does nothing: at a batch size of 1 that is most of the time, which a model that
tokenizes in its own graph pays anyway.
"""

import functools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text.tokenizer import Tokenizer

_SWITCH = "TOKENIZERS_PARALLELISM"


class Row(NamedTuple):
    """One line of the table; the rate is the median of the rounds."""

    name: str
    batch_size: int
    sentences_per_second: float


def run(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    batch_sizes: Sequence[int] = (256, 1),
    rounds: int = 5,
    max_length: int = 128,
) -> list[Row]:
    """Measures every contestant on every batch size, one after the other in each round.

    Args:
        texts: Sentences; of a batch size of 1 only the first 512 are used.
        tokenizer: Whose files both sides use.
        batch_sizes: Texts in a call.
        rounds: How often the turn goes around, after one that does not count.
        max_length: Where rows are cut.

    Returns:
        A row for each contestant and batch size.

    Raises:
        UserError: when there are no texts, `tokenizers` is not installed, or has no such tokenizer.
    """
    if not texts:
        raise UserError("A measurement needs texts. Received: none.")
    rows = []
    for size in batch_sizes:
        used = list(texts) if size > 1 else list(texts[:512])
        batches = [used[i : i + size] for i in range(0, len(used), size)]
        contestants = _contestants(used, tokenizer, max_length)
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(rounds + 1):
            for name, work in contestants.items():
                start = time.perf_counter()
                work(batches)
                if turn:
                    seconds[name].append(time.perf_counter() - start)
        rows += [Row(n, size, len(used) / statistics.median(s)) for n, s in seconds.items()]
    return rows


def limit_threads(count: int) -> None:
    """Lets TensorFlow use so many threads; only before it has computed anything."""
    tf.config.threading.set_inter_op_parallelism_threads(count)
    tf.config.threading.set_intra_op_parallelism_threads(count)


def _contestants(
    texts: Sequence[str], tokenizer: Tokenizer, max_length: int
) -> dict[str, Callable[[list[list[str]]], Any]]:
    graph = tf.function(
        lambda batch: tokenizer(batch, max_length=max_length),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    other = _hugging_face(tokenizer, max_length)

    def tfzoo(batches: list[list[str]]) -> None:
        for batch in batches:
            graph(tf.constant(batch))["token_ids"].numpy()

    empty = tf.function(tf.strings.length, input_signature=graph.input_signature, autograph=False)

    def empty_call(batches: list[list[str]]) -> None:
        for batch in batches:
            empty(tf.constant(batch)).numpy()

    @functools.cache
    def dataset(size: int) -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices(list(texts)).batch(size)
        return rows.map(graph, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def tf_data(batches: list[list[str]]) -> None:
        for batch in dataset(len(batches[0])):
            batch["token_ids"].numpy()

    def hugging_face(parallel: str) -> Callable[[list[list[str]]], None]:
        def work(batches: list[list[str]]) -> None:
            before = os.environ.get(_SWITCH)
            os.environ[_SWITCH] = parallel
            try:
                for batch in batches:
                    other.encode_batch(batch)
            finally:
                os.environ.pop(_SWITCH) if before is None else os.environ.update({_SWITCH: before})

        return work

    return {
        "tfzoo": tfzoo,
        "tfzoo, tf.data": tf_data,
        "tokenizers, one core": hugging_face("false"),
        "tokenizers, all cores": hugging_face("true"),
        "an empty call": empty_call,
    }


def _hugging_face(tokenizer: Tokenizer, max_length: int) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "The comparison needs Hugging Face's tokenizers. Received: no such package. "
            "Run `pip install tokenizers`."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        path = pathlib.Path(folder) / "tokenizer.json"
        if not path.exists():
            raise UserError(
                "The comparison needs a tokenizer that has a tokenizer.json. "
                f"Received: {type(tokenizer).__name__}."
            )
        other = tokenizers.Tokenizer.from_file(str(path))
    other.enable_truncation(max_length)
    other.enable_padding(
        pad_id=tokenizer.pad_id,
        pad_token=tokenizer.vocabulary[tokenizer.pad_id],
        direction=tokenizer.frame.padding_side,
    )
    return other
