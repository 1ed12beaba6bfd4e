"""Random numbers by row are uniform, independent and a function of their key."""

import collections

import numpy as np
import tensorflow as tf

from tfzoo.data import chance


def keys(rows, seed=0, epoch=0):
    return chance.keys(seed, tf.constant(epoch, tf.int64), tf.constant(rows, tf.int64))


def test_the_numbers_are_those_of_the_published_generator():
    # java.util.SplittableRandom(1234567).nextLong(), unsigned.
    wanted = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert chance.numbers(tf.constant([1234567], tf.uint64), 5).numpy().tolist() == [wanted]


def test_every_seed_epoch_and_row_has_a_key_of_its_own():
    made = [
        key
        for seed in (-1, 0, 1, 2**40)
        for epoch in range(20)
        for key in keys(range(200), seed, epoch).numpy().tolist()
    ]
    assert len(set(made)) == 4 * 20 * 200


def test_a_row_draws_the_same_in_any_company():
    whole = chance.uniform(keys(range(10)), 3, 7).numpy()
    np.testing.assert_array_equal(chance.uniform(keys([4, 2]), 3, 7), whole[[4, 2]])


def test_floats_are_uniform_over_rows_and_over_places():
    floats = chance.uniform(keys(range(1000)), 0, 1000).numpy()
    assert floats.min() >= 0 and floats.max() < 1
    for axis in (0, 1):
        # 1000 means of 1000: standard deviation 0.0091, so that none is 5 of them away.
        assert abs(floats.mean(axis=axis) - 0.5).max() < 0.046
    counts = np.bincount((floats.ravel() * 100).astype(int), minlength=100)
    chi_squared = ((counts - 10_000) ** 2 / 10_000).sum()
    assert 40 < chi_squared < 175  # 99 degrees of freedom, 5 standard deviations


def test_draws_rows_and_places_are_independent():
    floats = np.stack([chance.uniform(keys(range(300)), draw, 300) for draw in range(2)]) - 0.5
    pairs = {
        "draws": (floats[0], floats[1]),
        "rows": (floats[:, 1:], floats[:, :-1]),
        "places": (floats[:, :, 1:], floats[:, :, :-1]),
        "place of the row before": (floats[:, 1:, :-1], floats[:, :-1, 1:]),
    }
    for name, (one, two) in pairs.items():
        correlation = (one * two).mean() * 12
        assert abs(correlation) < 5 / np.sqrt(one.size), name


def test_numbers_below_a_bound_reach_all_of_them_alike():
    bounds = tf.constant([1, 2, 7] * 10_000, tf.int64)
    found = chance.below(bounds, keys(range(30_000)), 0).numpy()
    assert not found[::3].any()
    assert abs(found[1::3].mean() - 0.5) < 0.025
    counts = np.bincount(found[2::3], minlength=7)
    assert len(counts) == 7 and abs(counts - 10_000 / 7).max() < 5 * np.sqrt(10_000 / 7)


def test_the_wanted_number_of_open_places_is_chosen():
    is_open = np.random.default_rng(0).random((500, 9)) < 0.6
    counts = np.arange(500) % 5
    found = chance.chosen(keys(range(500)), 0, tf.constant(is_open), tf.constant(counts)).numpy()
    assert not found[~is_open].any()
    np.testing.assert_array_equal(found.sum(axis=1), np.minimum(counts, is_open.sum(axis=1)))


def test_every_choice_is_as_likely():
    is_open = tf.tile([[True, True, False, True, True]], [12_000, 1])
    found = chance.chosen(keys(range(12_000)), 0, is_open, tf.fill([12_000], 2)).numpy()
    counts = collections.Counter(map(tuple, found.astype(int)))
    assert len(counts) == 6  # 2 of 4
    assert all(abs(count - 2000) < 5 * np.sqrt(2000) for count in counts.values())
