"""Batches are a pure function of seed and step, and lose or repeat no row."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data import batches


def rows(count):
    return {"number": tf.range(count), "weight": tf.ones([count])}


def encode(columns):
    return {"number": columns["number"]}, {"weight": columns["weight"]}


def taken(dataset, steps):
    found = []
    for inputs, targets in dataset.take(steps).as_numpy_iterator():
        found.append((inputs["number"], targets["weight"]))
    return found


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (1, 4), (2, 2), (3, 2), (5, 8), (17, 4), (64, 16), (101, 10)]
)
def test_every_row_occurs_once_in_every_epoch(count, size):
    per_epoch = batches.steps_per_epoch(count, size)
    found = taken(batches.training(rows(count), encode, size, seed=3), 3 * per_epoch)
    orders = []
    for epoch in range(3):
        part = found[epoch * per_epoch : (epoch + 1) * per_epoch]
        real = np.concatenate([number[weight > 0] for number, weight in part])
        assert sorted(real) == list(range(count))
        assert all(len(number) == size for number, _ in part)
        orders.append(real.tolist())
    if count >= 17:
        assert len({tuple(order) for order in orders}) == 3
        assert orders[0] != sorted(orders[0])


def test_a_run_goes_on_anywhere():
    whole = taken(batches.training(rows(37), encode, 5, seed=9), 30)
    for start in (1, 8, 20):
        rest = taken(batches.training(rows(37), encode, 5, seed=9, start=start), 30 - start)
        np.testing.assert_array_equal(whole[start:], rest)


def test_another_seed_is_another_order():
    one, two = (taken(batches.training(rows(40), encode, 40, seed), 1)[0][0] for seed in (0, 2**40))
    assert one.tolist() != two.tolist()


def test_every_row_is_as_likely_at_every_position():
    size, epochs = 12, 400
    found = [number for number, _ in taken(batches.training(rows(size), encode, size, 0), epochs)]
    counts = np.zeros((size, size))
    for number in found:
        counts[np.arange(size), number] += 1
    expected = epochs / size
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # 121 degrees of freedom, standard deviation 15.6. Plain keys and 4 rounds give 5 times as much.
    assert 60 < chi_squared < 190
    assert len({tuple(number) for number in found}) > 395  # plain keys give 256


def test_evaluation_is_in_order_and_fills_up_with_weight_0():
    found = list(batches.evaluation(rows(5), encode, 2).as_numpy_iterator())
    assert [inputs["number"].tolist() for inputs, _ in found] == [[0, 1], [2, 3], [4, 4]]
    assert found[-1][1]["weight"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("length", "multiple", "limit", "wanted"),
    [(3, 8, 32, 8), (8, 8, 32, 8), (9, 8, 32, 16), (9, 8, 12, 12), (3, 12, 12, 12)],
)
def test_padding_reaches_the_multiple_but_never_the_limit(length, multiple, limit, wanted):
    padded = batches.pad({"ids": tf.ones([2, length], tf.int32)}, multiple, limit)["ids"]
    assert padded.shape == (2, wanted)
    assert padded.numpy().sum() == 2 * length


def test_padding_to_the_limit_has_a_static_shape():
    def widen(ids):
        return batches.pad({"ids": ids}, 6, 6)["ids"]

    spec = tf.TensorSpec([4, None], tf.int32)
    assert tf.function(widen).get_concrete_function(spec).output_shapes == (4, 6)
