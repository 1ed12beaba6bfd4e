"""What is seen in the files of a SavedModel: each kind of damage is one check that fails."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.export import tiny_tasks
from tfzoo.export import inspect_saved_model, meta_graph, saved_model, warm_up


def failed(folder, task):
    """The names of the checks that fail, and what they measured."""
    checks = inspect_saved_model.checks(folder, meta_graph.read(folder), task)
    return {check.name: check.measured for check in checks if not check.passed}


def save(folder, function, *specs):
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.function})
    return inspect_saved_model._operations(folder, meta_graph.read(folder))


NUMBERS = tf.TensorSpec([None], tf.float32, name="x")


def test_a_good_export_fails_nothing(exported, tiny_task):
    assert not failed(exported.folders["savedmodel"], tiny_task)


def test_a_missing_warm_up_file_fails(copied, tiny_task):
    os.remove(copied / warm_up.FILE)
    assert "no warm-up requests" in failed(copied, tiny_task)["warm-up requests"]


def test_a_signature_without_warm_up_fails(copied, tiny_task):
    requests = [r for r in warm_up.read(copied) if r.signature != "embed"]
    warm_up.write(copied, "tiny", requests)
    assert failed(copied, tiny_task) == {"warm-up requests": "9 requests, none for ['embed']"}


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated_variables_fail(copied, tiny_task, keep):
    path = copied / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:keep])
    assert set(failed(copied, tiny_task)) == {"weights"}


def test_a_truncated_index_of_variables_fails(copied, tiny_task):
    path = copied / "variables" / "variables.index"
    path.write_bytes(path.read_bytes()[:-30])
    assert "unreadable" in failed(copied, tiny_task)["weights"]


def test_missing_variables_fail(copied, tiny_task):
    shutil.rmtree(copied / "variables")
    assert "unreadable" in failed(copied, tiny_task)["weights"]


def test_one_changed_bit_of_a_weight_fails(exported, tiny_task):
    changed = tiny_tasks.classification()
    kernel = changed.model.get_layer("classifier").kernel
    bits = np.asarray(kernel).view(np.int32).copy()
    bits[0, 0] ^= 1
    kernel.assign(bits.view(np.float32))
    assert failed(exported.folders["savedmodel"], changed) == {"weights": "20 of 21 equal"}


def test_what_is_too_large_fails(copied, tiny_task):
    (copied / "assets" / "more").write_bytes(bytes(3_000_000))
    assert "x the weights" in failed(copied, tiny_task)["size"]


def test_another_task_has_other_signatures(exported, tiny_task):
    pairs = tiny_tasks.classification(pairs=True)
    measured = failed(exported.folders["savedmodel"], pairs)["signatures"]
    assert "serving_default takes" in measured
    assert "'pair'" in measured


def test_a_lost_method_fails(copied, tiny_task):
    saved_model._set_method(copied, "classify", saved_model.PREDICT)
    measured = failed(copied, tiny_task)["signatures"]
    assert measured.startswith("classify serves tensorflow/serving/predict instead of")


def test_a_batch_of_fixed_size_fails(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([1], tf.float32, name="x")
    module.function = tf.function(lambda x: {"y": x}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"s": module.function})
    check = inspect_saved_model._signatures(meta_graph.read(tmp_path), {"s": module.function})
    assert not check.passed
    assert "the first axis of x is no batch" in check.measured


def test_python_in_the_graph_fails(tmp_path):
    def python(x):
        return {"y": tf.ensure_shape(tf.numpy_function(lambda a: a, [x], tf.float32), [None])}

    def eager(x):
        return {"y": tf.ensure_shape(tf.py_function(lambda a: a, [x], tf.float32), [None])}

    assert save(tmp_path / "1", python, NUMBERS).measured.endswith("among them PyFunc")
    assert save(tmp_path / "2", eager, NUMBERS).measured.endswith("among them EagerPyFunc")


def test_xla_fails_as_an_operation_and_as_an_attribute(tmp_path):
    from tensorflow.compiler.tf2xla.python import xla

    def as_operation(x):
        return {"y": xla.dynamic_update_slice(x, x[:1], [0])}

    inner = tf.function(lambda x: x * 2.0, jit_compile=True)
    found = save(tmp_path / "1", as_operation, NUMBERS)
    assert found.measured.endswith("among them XlaDynamicUpdateSlice")
    found = save(tmp_path / "2", lambda x: {"y": inner(x)}, NUMBERS)
    assert found.measured.endswith("among them jit_compile=True")


def test_a_mutable_table_fails_and_a_constant_one_does_not(tmp_path):
    mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    rows = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64))
    constant = tf.lookup.StaticHashTable(rows, -1)
    text = tf.TensorSpec([None], tf.string, name="text")
    assert not _save_table(tmp_path / "1", mutable, text).passed
    assert _save_table(tmp_path / "2", constant, text).passed


def _save_table(folder, table, spec):
    module = tf.Module()
    module.table = table
    module.function = tf.function(lambda text: {"y": table.lookup(text)}, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.function})
    return inspect_saved_model._operations(folder, meta_graph.read(folder))


def test_an_operation_that_tensorflow_serving_lacks_fails(tiny_models):
    folder = tiny_models / "text" / "1"
    check = inspect_saved_model._operations(folder, meta_graph.read(folder))
    assert check.measured.endswith("among them CaseFoldUTF8")


def test_functions_in_the_library_are_looked_into(tmp_path):
    @tf.function
    def inner(x):
        return tf.cond(
            tf.size(x) > 0, lambda: tf.numpy_function(lambda a: a, [x], tf.float32), lambda: x
        )

    found = save(tmp_path, lambda x: {"y": tf.ensure_shape(inner(x), [None])}, NUMBERS)
    assert found.measured.endswith("among them PyFunc")
