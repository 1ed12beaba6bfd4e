"""Which devices a run gets; what it does with two of them is in loop_test.py."""

import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice
from tfzoo.train import strategies


def test_the_default_is_one_device():
    assert strategies.choose(TrainChoice()).num_replicas_in_sync == 1


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
def test_mirrored_without_gpus_must_say_how_many():
    with pytest.raises(UserError, match=r"found no GPU.*train\.replicas=2"):
        strategies.choose(TrainChoice(strategy="mirrored"))


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")
def test_the_cpu_cannot_be_split_once_tensorflow_runs():
    tf.constant(1.0)
    with pytest.raises(UserError, match="in a process of its own"):
        strategies.choose(TrainChoice(strategy="mirrored", replicas=64, batch_size=64))
