"""Caches of keys and values."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import caches, runtime
from tfzoo.layers.blocks import Block
from tfzoo.testing.conformance import near

OLD = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype("float32")
NEW = np.random.default_rng(1).normal(size=(2, 3, 2, 4)).astype("float32")


def test_new_rows_replace_old_ones_at_start_and_nowhere_else():
    expected = OLD.copy()
    expected[:, :, 3:5] = NEW
    near(caches.write(OLD, NEW, 3), expected, 0)


def test_each_row_has_its_own_start():
    expected = OLD.copy()
    expected[0, :, 0:2], expected[1, :, 4:6] = NEW[0], NEW[1]
    near(caches.write(OLD, NEW, np.array([0, 4])), expected, 0)


def test_what_has_no_room_is_left_out():
    expected = OLD.copy()
    expected[:, :, 5] = NEW[:, :, 0]
    near(caches.write(OLD, NEW, 5), expected, 0)


@pytest.mark.parametrize("start", [0, 3, np.array([4], "int32")])
@pytest.mark.parametrize("count", [1, 2])
def test_for_tflite_one_row_is_written_alike(start, count):
    old, new = OLD[:1], NEW[:1, :, :count]
    expected = caches.write(old, new, start)
    with runtime.drawing_for("tflite"):
        near(caches.write(old, new, start), expected, 0)
        near(caches.write(new, 2 * new, 0), 2 * new, 0)


def test_for_tflite_it_is_an_operation_of_its_own():
    def write(start):
        return caches.write(tf.constant(OLD[:1]), tf.constant(NEW[:1]), start)

    spec = tf.TensorSpec([1], tf.int32)
    with runtime.drawing_for("tflite"):
        graph = tf.function(write).get_concrete_function(spec).graph
    assert "XlaDynamicUpdateSlice" in {op.type for op in graph.get_operations()}
    graph = tf.function(lambda start: write(start)).get_concrete_function(spec).graph
    assert not [op.type for op in graph.get_operations() if op.type.startswith("Xla")]


def block(**options):
    made = Block(2, 16, **options)
    x = np.ones((3, 4, 8), "float32")
    made(x, **({"encoder_bkd": x} if options.get("cross") else {}))
    return made


def test_empty_caches_have_an_entry_for_each_block():
    found = caches.empty([block(), block(head_dim=5)], 3, 7)
    assert [set(entry) for entry in found] == [{"cache"}] * 2
    assert [tuple(t.shape) for t in found[0]["cache"]] == [(3, 2, 7, 4)] * 2
    assert [tuple(t.shape) for t in found[1]["cache"]] == [(3, 2, 7, 5)] * 2
    assert not any(np.any(t) for entry in found for t in entry["cache"])


def test_empty_caches_of_a_decoder_of_an_encoder_hold_the_keys_of_its_output():
    made, encoder = block(cross=True), np.ones((3, 6, 8), "float32")
    (found,) = caches.empty([made], 3, 7, encoder)
    for part, wanted in zip(
        found["encoder_cache"], made.cross_attention.key_values(encoder), strict=True
    ):
        assert tuple(part.shape) == (3, 2, 6, 4)
        near(part, wanted, 0)


def test_empty_caches_have_the_precision_of_the_attention():
    found = caches.empty([block(dtype="mixed_bfloat16")], 1, 2)
    assert found[0]["cache"][0].dtype == "bfloat16"
