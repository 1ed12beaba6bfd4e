"""The loop over tokens: its caches grow with the text, and it ends with the last row."""

import numpy as np
import tensorflow as tf

from tfzoo.decoding import loop


def test_caches_grow_by_sixteen_and_keep_what_was_in_them():
    caches = ({"cache": (tf.ones([2, 1, 3, 1]),) * 2, "encoder_cache": tf.zeros([2, 1, 5, 1])},)
    lengths = []

    def step(state):
        lengths.append(state["caches"][0]["cache"][0].shape[2])
        return {**state, "written": state["written"] + 1}

    # Outside of a graph a loop's body is called for each of its turns.
    found = loop.run(
        lambda state: state["written"] < 20, step, {"written": tf.constant(0), "caches": caches}
    )
    assert lengths == [19] * 16 + [35] * 4
    assert found["written"] == 20
    (entry,) = found["caches"]
    assert entry["encoder_cache"].shape == (2, 1, 5, 1)
    for cache in entry["cache"]:
        np.testing.assert_array_equal(cache[0, 0, :, 0], [1] * 3 + [0] * 32)


def test_rows_are_repeated_and_moved_with_their_caches():
    caches = ({"cache": (tf.reshape(tf.range(2), [2, 1, 1, 1]),), "encoder_cache": tf.range(2)},)
    many = loop.repeated(({"a": tf.constant([5, 6]), "b": 7, "c": tf.constant(8)}, caches), 2)
    assert many[0]["a"].numpy().tolist() == [5, 5, 6, 6]
    assert many[0]["b"] == 7 and many[0]["c"] == 8
    moved = loop.reordered(many[1], tf.constant([1, 3, 3, 2]))
    assert moved[0]["cache"][0].numpy().ravel().tolist() == [0, 1, 1, 1]
    assert moved[0]["encoder_cache"].numpy().tolist() == [0, 0, 1, 1]
