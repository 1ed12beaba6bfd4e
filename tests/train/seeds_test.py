"""Dropout streams are found and spread; that replicas then drop other elements: loop_test.py."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.train import seeds


@pytest.fixture
def model():
    """Two layers of dropout, one of them within another model, and a layer with other state."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, name="inner_dropout")])
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization(name="norm")(inner(x))
    return keras.Model(x, keras.layers.Dropout(0.5, name="dropout")(y))


def replicated(variable, copies):
    """What a Keras variable looks like on several replicas."""
    return types.SimpleNamespace(
        path=variable.path,
        value=types.SimpleNamespace(values=tuple(tf.Variable(variable.value) for _ in copies)),
    )


def test_the_states_of_all_generators_are_found_and_nothing_else(model):
    found = seeds.seeds(model)
    assert len(found) == 2
    assert all(tuple(v.shape) == (2,) for v in found)
    assert not {id(v) for v in found} & {id(v) for v in model.trainable_variables}


def test_keras_still_counts_the_draws_in_that_state(model):
    """When this fails, Keras keeps dropout's state elsewhere, and no resume is exact."""
    before = [np.array(v) for v in seeds.seeds(model)]
    model(tf.ones([1, 4]), training=True)
    for old, new in zip(before, seeds.seeds(model), strict=True):
        assert np.array(new)[0] == old[0]
        assert np.array(new)[1] > old[1]


def test_one_replica_keeps_the_seeds_it_has(model):
    before = [np.array(v).tolist() for v in seeds.seeds(model)]
    seeds.spread_seeds(model, tf.distribute.get_strategy())
    assert [np.array(v).tolist() for v in seeds.seeds(model)] == before


@pytest.mark.parametrize("workers", [1, 3])
def test_all_replicas_of_all_workers_have_seeds_of_their_own_and_one_count(
    model, workers, monkeypatch
):
    taken, counts = set(), set()
    originals = seeds.seeds(model)
    for worker in range(workers):
        copies = [replicated(v, range(2)) for v in originals]
        monkeypatch.setattr(seeds, "seeds", lambda model, copies=copies: copies)
        monkeypatch.setattr(seeds, "worker", lambda strategy, worker=worker: worker)
        seeds.spread_seeds(model, None)
        for index, variable in enumerate(copies):
            for copy in variable.value.values:
                seed, count = copy.numpy().tolist()
                taken.add((index, seed))
                counts.add((index, count))
    assert len(taken) == len(originals) * workers * 2
    assert len(counts) == len(originals)


def test_a_seed_near_the_end_of_32_bits_goes_round(model, monkeypatch):
    variable = replicated(seeds.seeds(model)[0], range(2))
    for copy in variable.value.values:
        copy.assign([2**32 - 1, 5])
    monkeypatch.setattr(seeds, "seeds", lambda model: [variable])
    seeds.spread_seeds(model, tf.distribute.get_strategy())
    first, second = (copy.numpy().tolist() for copy in variable.value.values)
    assert first == [2**32 - 1, 5]
    assert second == [1_000_002, 5]
