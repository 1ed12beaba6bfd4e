"""Batches from tf.data service: made by other machines, for input that this one is too slow for."""

import tensorflow as tf


def through(address: str | None, batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same endless batches in the same order, made by the service at `address`.

    Each consumer's batches are one job that one of the service's workers does from its start to its
    end: several would hand over the steps in the order in which they are ready.

    Args:
        address: Of the service's dispatcher, such as "grpc://host:5000". None: they are made here.
        batches: What is to be made there; it never ends.
    """
    if address is None:
        return batches
    service = tf.data.experimental.service
    # Dynamic sharding gives each element of what a dataset begins with to one worker, and here that
    # is one element. Without sharding every worker makes all batches.
    whole = tf.data.Dataset.from_tensors(0).flat_map(lambda _: batches)
    policy = service.ShardingPolicy.DYNAMIC
    made = whole.apply(service.distribute(policy, address, max_outstanding_requests=2))
    return made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
