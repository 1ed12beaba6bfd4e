"""Draws: what may be drawn, how often, and by which counters."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.decoding import sampling

LOGITS = np.random.default_rng(5).normal(0, 2, (6, 50)).astype("float32")


def left(**parameters):
    """Which tokens may be drawn, `(b, v)`."""
    found = sampling.warped(tf.constant(LOGITS), parameters).numpy()
    kept = np.isfinite(found)
    np.testing.assert_allclose(
        found[kept], (LOGITS / parameters.get("temperature", 1.0))[kept], atol=1e-6
    )
    return kept


def test_filters_leave_what_they_say():
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    for row, kept in enumerate(left(top_k=7)):
        assert set(np.flatnonzero(kept)) == set(np.argsort(-LOGITS[row])[:7])
    for row, kept in enumerate(left(top_p=0.8)):
        assert shares[row][kept].sum() >= 0.8
        assert shares[row][kept].sum() - shares[row][kept].min() < 0.8
        assert shares[row][kept].min() > shares[row][~kept].max()
    for row, kept in enumerate(left(min_p=0.1)):
        np.testing.assert_array_equal(kept, shares[row] >= 0.1 * shares[row].max())
    assert left(top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, temperature=0.5).all()
    assert (left(top_p=1e-6).sum(1) == 1).all()


def test_each_row_has_its_own_filters():
    rows = {
        "temperature": [1.0, 1.0, 1.0, 2.0, 1.0, 0.5],
        "top_k": [3, 0, 10, 0, 0, 100],
        "top_p": [1.0, 0.5, 0.9, 1.0, 1.0, 1.0],
        "min_p": [0.0, 0.0, 0.02, 0.0, 0.1, 0.0],
        "typical_p": [1.0, 1.0, 0.5, 0.3, 1.0, 0.9],
    }
    dtypes = {"top_k": tf.int32}
    given = {name: tf.constant(v, dtypes.get(name, tf.float32)) for name, v in rows.items()}
    together = sampling.warped(tf.constant(LOGITS), given).numpy()
    for row in range(6):
        own = {name: values[row] for name, values in rows.items()}
        alone = sampling.warped(tf.constant(LOGITS[row : row + 1]), own).numpy()
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)
    assert len(set(np.isfinite(together).sum(1))) > 3


def test_draws_follow_the_softmax():
    rows, logits = 20_000, LOGITS[:1, :20]
    drawn = sampling.drawn(tf.constant(np.repeat(logits, rows, 0)), tf.range(rows), 3)
    counts = np.bincount(drawn.numpy(), minlength=20)
    expected = np.exp(logits[0]) / np.exp(logits[0]).sum() * rows
    # Chi-square of 19 degrees of freedom: above 43.8 in one of a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 43.8
    assert counts[np.argmax(logits)] > 1000


def test_what_is_forbidden_is_never_drawn():
    logits = np.full((5000, 9), -np.inf, "float32")
    logits[:, [2, 5]] = 0.0
    drawn = sampling.drawn(tf.constant(logits), tf.range(5000), 0).numpy()
    assert set(drawn) == {2, 5} and abs((drawn == 2).mean() - 0.5) < 0.03


def test_each_counter_gives_other_numbers():
    seeds, steps = np.meshgrid(np.arange(100, dtype="int32"), np.arange(100, dtype="int32"))
    numbers = [
        sampling.uniform(tf.constant(seeds.ravel()), tf.constant(steps.ravel()), copy).numpy()
        for copy in (0, 1)
    ]
    everything = np.concatenate(numbers)
    assert everything.min() >= 0 and everything.max() < 1
    assert len(np.unique(everything)) > 0.99 * everything.size
    for found in numbers:
        counts = np.histogram(found, 20, (0, 1))[0]
        assert ((counts - 500) ** 2 / 500).sum() < 43.8
    grid = numbers[0].reshape(100, 100)
    for one, other in ((grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1]), numbers):
        assert abs(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]) < 0.04
    many = sampling.uniform(tf.constant([3, 4]), 5, places=tf.range(4000)).numpy()
    assert many.shape == (2, 4000) and abs(many.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(many)[0, 1]) < 0.06


@pytest.mark.parity
@pytest.mark.parametrize("keep", [1, 3])
def test_filters_are_those_of_transformers(keep):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.generation import logits_process as theirs

    makers = {
        "temperature": lambda value: theirs.TemperatureLogitsWarper(value),
        "top_k": lambda value: theirs.TopKLogitsWarper(value, min_tokens_to_keep=keep),
        "top_p": lambda value: theirs.TopPLogitsWarper(value, min_tokens_to_keep=keep),
        "min_p": lambda value: theirs.MinPLogitsWarper(value, min_tokens_to_keep=keep),
        "typical_p": lambda value: theirs.TypicalLogitsWarper(value, min_tokens_to_keep=keep),
    }
    for given in (
        *({"top_k": 1}, {"top_p": 0.3}, {"top_p": 0.95}, {"min_p": 0.05}, {"min_p": 1.0}),
        *({"typical_p": 0.1}, {"typical_p": 0.9}, {"top_k": 20, "typical_p": 0.5}),
        {"temperature": 0.7, "top_k": 10, "top_p": 0.8, "min_p": 0.1, "typical_p": 0.7},
    ):
        expected = torch.tensor(LOGITS)
        for name, value in given.items():
            expected = makers[name](value)(None, expected)
        found = sampling.warped(tf.constant(LOGITS), given, keep).numpy()
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, err_msg=str(given))
