"""What a SavedModel says about itself, read from `saved_model.pb` without TensorFlow.

    SavedModel.meta_graphs -> MetaGraphDef (tag "serve") -> signature_def: names, types, shapes
                                                         -> graph_def: the ops that it needs

Source: tensorflow/core/protobuf/{saved_model,meta_graph}.proto, framework/graph.proto.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from tfzoo.core.errors import UserError
from tfzoo.export import wire

# tensorflow/core/framework/types.proto
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    9: "int64", 10: "bool", 14: "bfloat16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output of a signature.

    Attributes:
        name: the name in the signature, as a client writes it.
        dtype: "float32", "int64", "string", ...; "unknown 20" for a type with no name here.
        shape: one entry an axis, None where any size is allowed; None for any rank.
        tensor: the name in the graph, such as "serving_default_text:0".
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    tensor: str


@dataclasses.dataclass(frozen=True)
class Signature:
    """One callable of a SavedModel: names to tensors, sorted by name, and the method it serves.

    Attributes:
        name: its name.
        inputs: what it takes.
        outputs: what it gives.
        method: such as "tensorflow/serving/predict".
        defaults: of the inputs that may be left out, the serialized tensors, one value each.
    """

    name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method: str
    defaults: dict[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MetaGraph:
    """The served part of a SavedModel.

    Attributes:
        signatures: by name, without TensorFlow's own (`__saved_model_init_op`).
        ops: the name of every op of the graph and of its functions.
        tensorflow_version: that of the writer, such as "2.21.0".
    """

    signatures: dict[str, Signature]
    ops: frozenset[str]
    tensorflow_version: str


def read(folder: str | os.PathLike[str], tag: str = "serve") -> MetaGraph:
    """Reads the graph tagged `tag` of the SavedModel in `folder`.

    Raises:
        UserError: when the folder holds no readable SavedModel with that tag.
    """
    path = pathlib.Path(folder) / "saved_model.pb"
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"no SavedModel there: cannot read saved_model.pb ({error.strerror}). "
            f"Received: folder={str(folder)!r}. Give a version folder that `tfzoo export` wrote."
        ) from None
    try:
        tags = []
        for graph in wire.messages(content, 2):
            info = wire.first(graph, 1)
            found = {bytes(value).decode() for value in wire.messages(info, 4)}
            if found == {tag}:
                return _meta_graph(graph, wire.text(info, 5))
            tags.append(sorted(found))
    except ValueError as error:
        raise UserError(
            f"{path} is damaged: {error}. Received: folder={str(folder)!r}. Export it again."
        ) from None
    raise UserError(
        f"the SavedModel has no graph tagged {tag!r}, which is the one that servers load. "
        f"Received: tags={tags}. Export it with `tfzoo export` or tf.saved_model.save."
    )


def _meta_graph(graph: memoryview, tensorflow_version: str) -> MetaGraph:
    signatures = {}
    for entry in wire.messages(graph, 5):
        name = wire.text(entry, 1)
        if not name.startswith("__"):
            signatures[name] = _signature(name, wire.first(entry, 2))
    return MetaGraph(
        signatures=dict(sorted(signatures.items())),
        ops=frozenset(_ops(wire.first(graph, 2))),
        tensorflow_version=tensorflow_version,
    )


def _signature(name: str, message: memoryview) -> Signature:
    inputs, outputs = (
        dict(sorted((spec.name, spec) for spec in map(_spec, wire.messages(message, number))))
        for number in (1, 2)
    )
    defaults = {wire.text(e, 1): bytes(wire.first(e, 2)) for e in wire.messages(message, 4)}
    return Signature(name, inputs, outputs, wire.text(message, 3), defaults)


def _spec(entry: memoryview) -> TensorSpec:
    info = wire.first(entry, 2)
    code = wire.integer(info, 2)
    shape = wire.first(info, 3)
    sizes = [wire.integer(axis, 1) for axis in wire.messages(shape, 2)]
    return TensorSpec(
        name=wire.text(entry, 1),
        dtype=DTYPES.get(code, f"unknown {code}"),
        shape=None if wire.integer(shape, 3) else tuple(None if n < 0 else n for n in sizes),
        tensor=wire.text(info, 1),
    )


def _ops(graph: memoryview) -> Iterator[str]:
    functions = list(wire.messages(wire.first(graph, 2), 1))
    # A call of a function may stand in the graph as a node whose op is the function's name.
    own = {wire.text(wire.first(function, 1), 1) for function in functions}
    for nodes in [wire.messages(graph, 1), *(wire.messages(f, 3) for f in functions)]:
        yield from {wire.text(node, 2) for node in nodes} - own
