"""The graph of one step, as TensorBoard draws it."""

import re

import tensorflow as tf

# What the `for` over steps puts before the names in its body, and in those of gradients.
_SCOPE = re.compile(r"^(\^?)((?:gradient_tape/)?)while/")


def of_loop(graph: tf.Graph) -> tf.compat.v1.GraphDef:
    """The body of a graph's loop over steps, where TensorBoard would show a closed box.

    Args:
        graph: A graph with one loop at its top. Without any it is returned as it is.
    """
    whole = graph.as_graph_def(add_shapes=True)
    loops = [node for node in whole.node if node.op in ("While", "StatelessWhile")]
    if not loops:
        return whole
    inside = {loops[0].attr[which].func.name for which in ("cond", "body")}
    functions = {function.signature.name: function for function in whole.library.function}
    body = functions[loops[0].attr["body"].func.name]
    arguments = {argument.name for argument in body.signature.input_arg}
    step = tf.compat.v1.GraphDef(versions=whole.versions)
    for name in sorted(arguments):
        step.node.add(name=f"variables/{name}", op="Placeholder")
    for inner in body.node_def:
        node = step.node.add()
        node.CopyFrom(inner)
        node.name = _SCOPE.sub(r"\1\2", inner.name)
        node.input[:] = [_input(name, arguments) for name in inner.input]
    for name in functions.keys() - inside:
        step.library.function.add().CopyFrom(functions[name])
    return step


def _input(name: str, arguments: set[str]) -> str:
    """An input's name in a graph: functions write `node:output:0`, graphs `node:0`."""
    if name in arguments:
        return f"variables/{name}"
    node, *_, number = name.split(":") if ":" in name else (name, "")
    return _SCOPE.sub(r"\1\2", node) + (f":{number}" if number else "")
