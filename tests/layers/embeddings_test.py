"""The gradient of a lookup is dense, summed, and that of the formula."""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.layers import runtime
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.testing.conformance import near

IDS = np.array([[1, 3, 1], [1, 0, 3]], "int32")


def test_repeated_tokens_sum_their_gradients_into_a_dense_tensor():
    layer = TokenEmbedding(5, 2)
    layer.build(None)
    upstream = np.arange(12, dtype="float32").reshape(2, 3, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IDS) * upstream)
    gradient = tape.gradient(loss, layer.embeddings_vd.value)
    expected = np.zeros((5, 2), "float32")
    np.add.at(expected, IDS, upstream)
    assert isinstance(gradient, tf.Tensor)
    near(gradient, expected, 0)


def test_one_adam_step_squares_the_summed_gradient():
    layer = TokenEmbedding(5, 2)
    layer.build(None)
    optimizer = keras.optimizers.Adam(0.1, beta_2=0.999)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.array([[2, 2]])) * 2.0)
    optimizer.apply(tape.gradient(loss, [layer.embeddings_vd.value]), [layer.embeddings_vd])
    velocity = np.asarray(optimizer.variables[3])
    near(velocity[2], 0.001 * 4.0**2, 1e-7)  # 0.008 where the two rows are squared apart


def test_a_row_met_thousands_of_times_gets_its_whole_gradient_in_16_bits():
    layer = TokenEmbedding(2, 2, dtype="mixed_bfloat16")
    layer.build(None)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(np.zeros((16, 512), "int32")), "float32") * 0.01)
    gradient = tape.gradient(loss, layer.embeddings_vd.value)
    near(gradient[0] / (16 * 512 * 0.01), 1.0, 0.01)


def test_reverse_scores_against_the_whole_table_in_float32():
    layer = TokenEmbedding(5, 2, output_bias=True, dtype="mixed_bfloat16")
    layer.build(None)
    layer.bias_v.assign(np.arange(5, dtype="float32"))
    x = np.ones((1, 3, 2), "float32")
    logits = layer(x, reverse=True)
    assert logits.dtype == tf.float32
    near(logits[0, 0], np.asarray(layer.embeddings_vd).sum(1) + np.arange(5), 1e-3)


def test_a_table_reads_back_its_own_rows():
    layer = TokenEmbedding(5, 2)
    near(layer(IDS), np.asarray(layer.embeddings_vd)[IDS], 0)


def test_one_token_of_each_text_gets_the_scores_it_has_in_a_longer_row():
    layer = TokenEmbedding(5, 2, output_bias=True)
    layer.build(None)
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
    near(layer(x[:, 1:2], reverse=True), layer(x, reverse=True)[:, 1:2], 1e-6)


def test_for_tflite_scores_are_a_product_with_the_table_behind():
    layer = TokenEmbedding(5, 2, output_bias=True)
    layer.build(None)
    x = np.random.default_rng(0).normal(size=(1, 1, 2)).astype("float32")
    orders = []
    with runtime.drawing_for("tflite"):
        near(layer(x, reverse=True), layer(np.repeat(x, 2, 1), reverse=True)[:, :1], 1e-6)
    for name in ("tensorflow", "tflite"):
        with runtime.drawing_for(name):
            graph = tf.function(lambda: layer(x, reverse=True)).get_concrete_function().graph
        (product,) = [op for op in graph.get_operations() if op.type == "MatMul"]
        orders.append([tuple(tensor.shape) for tensor in product.outputs])
    assert orders == [[(5, 1)], [(1, 5)]]
