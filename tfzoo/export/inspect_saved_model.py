"""What can be said of a SavedModel without running it: operations, signatures, weights, size.

TensorFlow Serving's default build has TensorFlow's operations and those of tensorflow-text
(tensorflow_serving/model_servers/BUILD), no Python, and XLA switched off.
"""

import math
import pathlib
import re
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export import meta_graph, saved_model, warm_up
from tfzoo.export.report import Check
from tfzoo.tasks.task import Task

# Python that no server has; XLA that it refuses; state that outlives a request.
FORBIDDEN = re.compile(r"Xla|(Eager)?PyFunc|(Anonymous)?Mutable|ReadFile|WriteFile|Print")
# What the tokenizers of tfzoo.text use, out of what TensorFlow Serving 2.12 and newer links.
TEXT_OPS = frozenset(
    {
        "FastBertNormalize",
        "FastWordpieceTokenizeWithOffsets",
        "FastWordpieceDetokenize",
        "TFText>FastSentencepieceTokenize",
        "SentencepieceOp",
        "SentencepieceTokenizeOp",
    }
)
# A function with jit_compile=True: NodeDef or FunctionDef attribute `_XlaMustCompile`, b = true.
_MUST_COMPILE = re.compile(rb"_XlaMustCompile\x12\x02\x28\x01")

# Of the whole folder, by that of the weights; and what a tokenizer with its tables and the graphs
# may take beside them (3.0 MB measured with 30,522 entries).
SIZE_RATIO = 1.1
FIXED_BYTES = 2_000_000
LOOPS_BYTES = 4_000_000  # more, of what writes text (1.7 MB measured with one layer)
BYTES_PER_ENTRY = 128


def checks(folder: pathlib.Path, contents: meta_graph.MetaGraph, task: Task) -> list[Check]:
    """Everything this module checks."""
    return [
        _operations(folder, contents),
        _signatures(contents, saved_model.signatures(task)),
        _weights(folder, task),
        _size(folder, task),
        _warm_up(folder, contents),
    ]


def weight_bytes(task: Task) -> int:
    """Size of the model's weights as they are in memory."""
    weights = saved_model.weights(task).values()
    return sum(math.prod(w.shape) * tf.as_dtype(w.dtype).size for w in weights)


def allowance_bytes(task: Task) -> int:
    """What may come on top of the weights: vocabulary, tokenizer, graphs."""
    entries = task.tokenizer.vocab_size if task.tokenizer is not None else 0
    loops = LOOPS_BYTES if hasattr(task, "decoding") else 0
    return FIXED_BYTES + BYTES_PER_ENTRY * entries + loops


def folder_bytes(folder: pathlib.Path) -> int:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def megabytes(size: float) -> str:
    """A number of bytes as people read it."""
    return f"{size / 1e6:.2f} MB"


def _operations(folder: pathlib.Path, contents: meta_graph.MetaGraph) -> Check:
    custom = contents.ops - set(dir(tf.raw_ops)) - TEXT_OPS
    found = sorted({op for op in contents.ops if FORBIDDEN.match(op)} | custom)
    if _MUST_COMPILE.search((folder / "saved_model.pb").read_bytes()):
        found.append("jit_compile=True")
    measured = f"{len(contents.ops)} kinds" + (f", among them {', '.join(found)}" if found else "")
    return Check(
        "operations",
        not found,
        measured,
        "without XLA, Python, mutable tables, files, and unknown operations",
    )


def _signatures(contents: meta_graph.MetaGraph, functions: dict[str, Any]) -> Check:
    wrong = []
    if set(contents.signatures) != set(functions):
        wrong.append(f"{sorted(contents.signatures)} instead of {sorted(functions)}")
    for name, signature in contents.signatures.items():
        wanted = {
            spec.name: (spec.dtype.name, tuple(spec.shape.as_list()))
            for spec in getattr(functions.get(name), "input_signature", ())
        }
        found = {spec.name: (spec.dtype, spec.shape) for spec in signature.inputs.values()}
        if name in functions and found != wanted:
            wrong.append(f"{name} takes {found} instead of {wanted}")
        for spec in [*signature.inputs.values(), *signature.outputs.values()]:
            if not spec.shape or spec.shape[0] is not None:
                wrong.append(f"{name}: the first axis of {spec.name} is no batch of any size")
        method = saved_model.CLASSIFY if name == "classify" else saved_model.PREDICT
        if signature.method != method:
            wrong.append(f"{name} serves {signature.method} instead of {method}")
    return Check(
        "signatures",
        not wrong,
        "; ".join(wrong) or ", ".join(contents.signatures),
        "those of the task, with its names, types, methods, and batches of any size",
    )


def _weights(folder: pathlib.Path, task: Task) -> Check:
    limit = "the model's weights, each of them once, bit for bit"
    wanted = {_checkpoint_key(p): np.asarray(w) for p, w in saved_model.weights(task).items()}
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        names = set(reader.get_variable_to_shape_map())
        equal = [n for n in names if _same(reader.get_tensor(n), wanted.get(n))]
        names.discard("_CHECKPOINTABLE_OBJECT_GRAPH")  # read above, so that it is whole
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        return Check("weights", False, f"unreadable: {' '.join(str(error).split())[:200]}", limit)
    more = sorted(names - set(wanted))
    measured = f"{len(equal)} of {len(wanted)} equal"
    if more:
        measured += f", and {len(more)} more, such as {more[0]}"
    return Check("weights", len(equal) == len(wanted) and not more, measured, limit)


def _size(folder: pathlib.Path, task: Task) -> Check:
    size, weights = folder_bytes(folder), weight_bytes(task)
    limit = SIZE_RATIO * weights + allowance_bytes(task)
    return Check(
        "size",
        size <= limit,
        f"{megabytes(size)}, {size / weights:.3f} x the weights",
        f"at most {megabytes(limit)}: {SIZE_RATIO} x the weights, and vocabulary and graphs",
    )


def _warm_up(folder: pathlib.Path, contents: meta_graph.MetaGraph) -> Check:
    limit = "at least one request for each signature"
    try:
        requests = warm_up.read(folder)
    except UserError as error:
        return Check("warm-up requests", False, str(error).rstrip("."), limit)
    covered = {request.signature for request in requests}
    missing = sorted(set(contents.signatures) - covered)
    measured = f"{len(requests)} requests" + (f", none for {missing}" if missing else "")
    return Check("warm-up requests", not missing, measured, limit)


def _checkpoint_key(path: str) -> str:
    escaped = path.replace(".", "..").replace("/", ".S")  # tensorflow/python/trackable/base.py
    return f"weights/{escaped}/.ATTRIBUTES/VARIABLE_VALUE"


def _same(stored: Any, weight: np.ndarray | None) -> bool:
    if weight is None or stored.dtype != weight.dtype or stored.shape != weight.shape:
        return False
    return bool(stored.tobytes() == weight.tobytes())
