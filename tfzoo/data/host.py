"""Arrays that input pipelines read."""

import numpy as np
import tensorflow as tf


def constant(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor in the host's memory, where input pipelines run.

    A plain constant would take the memory of the accelerator, to be copied back for each batch.
    """
    with tf.device("CPU"):
        return tf.constant(array)
