"""Documents whose tokens are numbered through, and what every objective has to satisfy."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tfzoo.data import batches
from tfzoo.data.documents import Documents

FIRST = 100  # the first token; those below are free for special ones


def numbered(documents):
    """Documents, lists of the sizes of their sentences, made of tokens 100, 101, 102, ..."""
    sizes = np.concatenate(documents)
    token_ids = np.arange(FIRST, FIRST + sizes.sum(), dtype=np.int32)
    sentences = np.concatenate([[0], np.cumsum(sizes)])
    starts = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
    return Documents(token_ids, sentences, starts, 1)


def drawn(count, most_sentences, most_tokens, seed=0):
    """Numbered documents of chance sizes."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, most_sentences, count, endpoint=True)
    return numbered([generator.integers(1, most_tokens, n, endpoint=True) for n in counts])


@functools.cache
def _graph(examples):
    """A source's function, drawn once for any number of rows."""
    signature = [
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([None], tf.bool),
    ]
    return tf.function(examples, signature, autograph=False)


def take(source, rows=None, epoch=0, is_real=None):
    """Rows of a source, all at first, as arrays by name."""
    rows = np.arange(source.num_rows) if rows is None else np.asarray(rows)
    is_real = np.ones(len(rows), bool) if is_real is None else np.asarray(is_real, bool)
    parts = []
    for start in range(0, len(rows), 4096):
        part = slice(start, start + 4096)
        inputs, targets = _graph(source.examples)(rows[part], epoch, is_real[part])
        parts.append({**inputs, **targets})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_chance(source):
    """A row is the same in any company, and what chance decides is another in each epoch."""
    whole = take(source, epoch=3)
    order = np.random.default_rng(1).permutation(source.num_rows)
    for rows in (order, order[:1], order[:5]):
        for name, column in take(source, rows, epoch=3).items():
            np.testing.assert_array_equal(column, whole[name][rows], name)
    assert any((column != whole[name]).any() for name, column in take(source, epoch=4).items())


def check_fillers(source):
    """Rows that are not real weigh nothing, and others are as they were."""
    real, mixed = (take(source, [0, 1, 0], 0, is_real) for is_real in ([1] * 3, [1, 0, 1]))
    assert mixed["weight"].tolist() == [1, 0, 1]
    assert real["weight"].tolist() == [1, 1, 1]
    assert not mixed["label_weights"][1].any()
    np.testing.assert_array_equal(mixed["label_weights"][[0, 2]], real["label_weights"][[0, 2]])


def check_batches(source):
    """Batches have one known shape, and two replicas make what one does, whatever their order."""
    examples = tf.autograph.experimental.do_not_convert(source.examples)
    source = dataclasses.replace(source, examples=examples)
    whole = batches.training(source, 4, 5)
    for part in whole.element_spec:
        for name, spec in part.items():
            assert spec.shape.is_fully_defined() and spec.shape[0] == 4, name
            assert spec.dtype == (tf.float32 if "weight" in name else tf.int32), name
    shares = [batches.training(source, 4, 5, 0, batches.Share(i, 1, 2)) for i in range(2)]
    for one, *two in tf.data.Dataset.zip(whole, *shares).take(3).as_numpy_iterator():
        for replica, half in enumerate(two):
            for part, wanted in zip(half, one, strict=True):
                for name, column in part.items():
                    np.testing.assert_array_equal(column, wanted[name][replica::2], name)


def check(source):
    """All of it."""
    check_chance(source)
    check_fillers(source)
    check_batches(source)
