"""Batches that a tf.data service makes are those that are made here."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data import batches
from tfzoo.train import services


def source():
    def examples(numbers, epoch, is_real):
        return {"number": numbers}, {"weight": tf.cast(is_real, tf.float32)}

    return batches.Source(37, examples)


@pytest.fixture(scope="module", params=[1, 2])
def address(request):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    config = service.WorkerConfig(dispatcher_address=dispatcher.target.partition("://")[2])
    workers = [service.WorkerServer(config) for _ in range(request.param)]
    yield dispatcher.target
    for worker in workers:
        worker._stop()
    dispatcher._stop()


def numbers(address, share=None, start=3):
    made = services.through(address, batches.training(source(), 8, 5, start, share))
    return [inputs["number"].tolist() for inputs, _ in made.take(60).as_numpy_iterator()]


def test_a_service_makes_the_same_batches_in_the_same_order(address):
    assert numbers(address) == numbers(None)
    # Each replica has its own, and a run that goes on begins where it stopped.
    for share in (batches.Share(0, 1, 2), batches.Share(1, 1, 2)):
        assert numbers(address, share, 9) == numbers(None, share, 9)


def test_two_consumers_at_the_same_time_get_all_their_batches(address):
    made = [
        services.through(address, batches.training(source(), 8, 5, 0, batches.Share(i, 1, 2)))
        for i in (0, 1)
    ]
    both = tf.data.Dataset.zip(*made).take(20).as_numpy_iterator()
    rows = [np.concatenate([first[0]["number"], second[0]["number"]]) for first, second in both]
    whole = batches.training(source(), 8, 5).take(20).as_numpy_iterator()
    for found, (inputs, _) in zip(rows, whole, strict=True):
        assert sorted(found) == sorted(inputs["number"])


def test_the_trainer_is_told_that_such_batches_never_end(address):
    made = services.through(address, batches.training(source(), 8, 5))
    assert made.cardinality() == tf.data.INFINITE_CARDINALITY


def test_without_an_address_the_batches_are_made_here():
    made = batches.training(source(), 8, 5)
    assert services.through(None, made) is made
