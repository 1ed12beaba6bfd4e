"""Batches are a pure function of seed and step, and lose or repeat no row."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.data import batches


def source(count, lengths=None):
    """Rows that say their own number and the epoch."""

    def examples(numbers, epoch, is_real):
        inputs = {"number": numbers, "epoch": tf.fill(tf.shape(numbers), epoch)}
        return inputs, {"weight": tf.cast(is_real, tf.float32)}

    return batches.Source(count, examples, lengths)


def taken(dataset, steps):
    """The numbers of the rows and their weights, step by step."""
    found = []
    for inputs, targets in dataset.take(steps).as_numpy_iterator():
        found.append((inputs["number"], targets["weight"]))
    return found


def together(count, size, replicas, steps, start=0, lengths=None, pipelines=1):
    """The real rows of each step, over all replicas of all pipelines."""
    local = replicas // pipelines
    found = [set() for _ in range(steps)]
    for first in range(0, replicas, local):
        share = batches.Share(first, local, replicas)
        made = batches.training(source(count, lengths), size, 3, start, share)
        for i, (numbers, weights) in enumerate(taken(made, steps * local)):
            assert len(numbers) == size // replicas
            found[i // local] |= set(numbers[weights > 0].tolist())
    return found


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (1, 4), (2, 2), (3, 2), (5, 8), (17, 4), (64, 16), (101, 10)]
)
def test_every_row_occurs_once_in_every_epoch(count, size):
    per_epoch = batches.steps_per_epoch(count, size)
    found = taken(batches.training(source(count), size, seed=3), 3 * per_epoch)
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
    whole = taken(batches.training(source(37), 5, seed=9), 30)
    for start in (1, 8, 20):
        rest = taken(batches.training(source(37), 5, seed=9, start=start), 30 - start)
        np.testing.assert_array_equal(whole[start:], rest)


def test_another_seed_is_another_order():
    one, two = (taken(batches.training(source(40), 40, seed), 1)[0][0] for seed in (0, 2**40))
    assert one.tolist() != two.tolist()


def test_every_row_is_as_likely_at_every_position():
    size, epochs = 12, 400
    found = [number for number, _ in taken(batches.training(source(size), size, 0), epochs)]
    counts = np.zeros((size, size))
    for number in found:
        counts[np.arange(size), number] += 1
    expected = epochs / size
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # 121 degrees of freedom, standard deviation 15.6. Plain keys and 4 rounds give 5 times as much.
    assert 60 < chi_squared < 190
    assert len({tuple(number) for number in found}) > 395  # plain keys give 256


def test_evaluation_is_in_order_and_fills_up_with_weight_0():
    found = list(batches.evaluation(source(5), 2).as_numpy_iterator())
    assert [inputs["number"].tolist() for inputs, _ in found] == [[0, 1], [2, 3], [4, 4]]
    assert found[-1][1]["weight"].tolist() == [1, 0]


def test_an_example_knows_its_epoch_and_evaluation_is_of_epoch_0():
    made = batches.training(source(6), 4, seed=1, start=2)
    epochs = [inputs["epoch"].tolist() for inputs, _ in made.take(3).as_numpy_iterator()]
    assert epochs == [[1] * 4, [1] * 4, [2] * 4]
    ((inputs, _),) = batches.evaluation(source(4), 4).as_numpy_iterator()
    assert inputs["epoch"].tolist() == [0] * 4


def test_the_rows_of_a_table_are_taken_by_number_and_fillers_weigh_nothing():
    rows = {"word": tf.constant(["a", "b", "c"]), "weight": tf.constant([1.0, 2.0, 0.5])}
    made = batches.of_rows(rows, lambda taken: ({"word": taken["word"]}, {"w": taken["weight"]}))
    inputs, targets = made.examples(
        tf.constant([2, 1, 0], tf.int64), tf.constant(4, tf.int64), tf.constant([True, True, False])
    )
    assert inputs["word"].numpy().tolist() == [b"c", b"b", b"a"]
    assert targets["w"].numpy().tolist() == [0.5, 2.0, 0.0]
    assert made.num_rows == 3


@pytest.mark.parametrize("lengths", [None, tf.range(37) % 11])
def test_the_rows_of_a_step_are_the_same_for_any_number_of_replicas_and_hosts(lengths):
    one = together(37, 8, 1, 10, lengths=lengths)
    for replicas, pipelines in ((2, 1), (4, 1), (2, 2), (4, 2)):
        assert together(37, 8, replicas, 10, lengths=lengths, pipelines=pipelines) == one
    assert together(37, 8, 2, 4, start=6, lengths=lengths) == one[6:]


def test_a_batch_that_the_replicas_cannot_share_evenly_is_refused():
    with pytest.raises(UserError, match=r"batch_size=6, 4 replicas"):
        batches.training(source(9), 6, 0, share=batches.Share(0, 1, 4))


def test_rows_of_about_one_length_come_together_and_each_occurs_once_an_epoch():
    count, size = 1001, 4  # 4 windows of 64 batches, the last of them short
    lengths = np.random.default_rng(0).permutation(count)
    made = batches.training(source(count, tf.constant(lengths)), size, seed=3)
    per_epoch = batches.steps_per_epoch(count, size)
    orders, spreads = [], []
    for inputs, targets in made.take(2 * per_epoch).as_numpy_iterator():
        real = inputs["number"][targets["weight"] > 0]
        orders.append(real.tolist())
        spreads.append(np.ptp(lengths[real]))
    for epoch in (orders[:per_epoch], orders[per_epoch:]):
        assert sorted(number for batch in epoch for number in batch) == list(range(count))
    # A window has 256 of the 1001 lengths, so that neighbours are about 4 apart; by chance alone
    # the spread of 4 rows would be 600.
    assert np.mean(spreads) < 20
    assert sorted(map(tuple, orders[:per_epoch])) != sorted(map(tuple, orders[per_epoch:]))
    # The batches of a window do not come by length.
    means = np.array([lengths[batch].mean() for batch in orders[:64]])
    assert 20 < (np.diff(means) > 0).sum() < 43


def test_replicas_get_neighbours_in_length():
    lengths = np.arange(64)
    shares = [
        taken(batches.training(source(64, lengths), 8, 1, 0, batches.Share(i, 1, 2)), 8)
        for i in (0, 1)
    ]
    for (first, _), (second, _) in zip(*shares, strict=True):
        assert np.abs(lengths[first] - lengths[second]).max() == 1


def test_training_never_ends_and_says_so():
    """Otherwise tf.distribute asks all replicas in every step whether there still is a batch."""
    assert batches.training(source(5), 2, 0).cardinality() == tf.data.INFINITE_CARDINALITY


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
