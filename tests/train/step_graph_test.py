"""The graph of a step."""

import tensorflow as tf

from tfzoo.train import step_graph


def drawn(steps_in_a_loop=True, nested=False):
    weight = tf.Variable(2.0, name="weight")

    @tf.function
    def inner(x):
        return x * 3.0

    def step():
        with tf.name_scope("layer"), tf.GradientTape() as tape:
            loss = tf.square(weight.read_value(), name="square")
            loss = inner(loss) if nested else loss
        weight.assign_sub(tape.gradient(loss, weight))

    @tf.function
    def train(steps):
        if steps_in_a_loop:
            for _ in tf.range(steps):
                step()
        else:
            step()
        return weight.read_value()

    return train.get_concrete_function(tf.constant(1)).graph


def names(graph):
    return {node.name for node in graph.node}


def test_the_body_of_the_loop_is_shown_by_the_names_of_the_layers():
    found = step_graph.of_loop(drawn())
    assert "layer/square" in names(found)
    assert any(name.startswith("gradient_tape/layer/") for name in names(found))
    assert not any("while/" in name for name in names(found))
    assert not found.library.function


def test_every_input_is_a_node_that_is_there():
    found = step_graph.of_loop(drawn())
    inputs = {name.lstrip("^").split(":")[0] for node in found.node for name in node.input}
    assert inputs <= names(found)
    square = next(node for node in found.node if node.name == "layer/square")
    assert square.input[0] == "layer/Identity:0"  # of the variable that is read


def test_functions_that_a_step_calls_stay():
    found = step_graph.of_loop(drawn(nested=True))
    assert any("inner" in function.signature.name for function in found.library.function)
    assert not any("while" in function.signature.name for function in found.library.function)


def test_a_graph_without_a_loop_stays_as_it_is():
    graph = drawn(steps_in_a_loop=False)
    assert step_graph.of_loop(graph) == graph.as_graph_def(add_shapes=True)
