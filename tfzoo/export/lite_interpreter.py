"""Runs a TFLite file with LiteRT, as a phone does; TensorFlow is not imported.

A file that starts from text needs two operations of tensorflow-text. Their TFLite kernels are in a
library of its wheel, `tflite_registrar`, which is loaded by its path: importing its package would
import TensorFlow.
"""

import collections
import ctypes
import importlib.util
import os
import pathlib
import sys
from types import ModuleType
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError

# Custom operation -> the function of tflite_registrar that adds its kernel.
TEXT_OPS = {
    "FastBertNormalize": "AddFastBertNormalize",
    "FastWordpieceTokenizeWithOffsets": "AddFastWordpieceTokenize",
    "FastWordpieceDetokenize": "AddFastWordpieceDetokenize",
}


class LiteModel:
    """A loaded TFLite file. Not for several threads at once.

    Args:
        file: The file.
        threads: Threads of one request.

    Attributes:
        ops: How often each operation occurs; custom ones as `CUSTOM:name`.
        inputs: Names of the inputs of each signature.
        shapes: Of each signature the shapes of its inputs by name, as the file has them.
        outputs: The same of its outputs.
        path: The file.

    Raises:
        UserError: when the file is missing or damaged, or needs an operation that is not there.
    """

    def __init__(self, file: str | os.PathLike[str], threads: int = 1):
        from ai_edge_litert import interpreter

        self.path = path = pathlib.Path(file)
        if not path.is_file():
            raise UserError(f"no such TFLite file. Received: {path}.")
        self.ops = operations(path)
        custom = {op.removeprefix("CUSTOM:") for op in self.ops if op.startswith("CUSTOM:")}
        unknown = sorted(custom - set(TEXT_OPS))
        if unknown:
            raise UserError(f"{path} needs operations that LiteRT lacks. Received: ops={unknown}.")
        options: dict[str, Any] = {"model_path": os.fspath(path), "num_threads": threads}
        try:
            if custom:
                registrar = _registrar()
                adders = [getattr(registrar, TEXT_OPS[name]) for name in sorted(custom)]
                self._model = interpreter.InterpreterWithCustomOps(adders, **options)
            else:
                self._model = interpreter.Interpreter(**options)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None
        signatures = self._model.get_signature_list()
        self._runners = {name: self._model.get_signature_runner(name) for name in signatures}
        self.inputs = {name: sorted(found["inputs"]) for name, found in signatures.items()}
        self.shapes = {name: _shapes(r.get_input_details()) for name, r in self._runners.items()}
        self.outputs = {name: _shapes(r.get_output_details()) for name, r in self._runners.items()}

    def run(self, signature: str, /, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Runs one signature on int32 arrays, or object arrays of bytes.

        Raises:
            UserError: for an unknown signature, wrong names of inputs, or values LiteRT refuses.
        """
        if signature not in self._runners:
            raise UserError(
                f"the file has no such signature. Expected one of {sorted(self._runners)}. "
                f"Received: signature={signature!r}."
            )
        if sorted(inputs) != self.inputs[signature]:
            raise UserError(
                f"the signature takes {self.inputs[signature]}. Received: {sorted(inputs)}."
            )
        try:
            return dict(self._runners[signature](**inputs))
        except (ValueError, RuntimeError) as error:
            raise UserError(f"LiteRT failed: {' '.join(str(error).split())}") from None


def _shapes(details: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(detail["shape"].tolist()) for name, detail in details.items()}


def operations(file: str | os.PathLike[str]) -> dict[str, int]:
    """How often each operation occurs in a TFLite file; custom ones are named `CUSTOM:name`.

    Raises:
        UserError: when the bytes are not those of a TFLite file.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = pathlib.Path(file).read_bytes()
    if data[4:8] != b"TFL3":
        raise UserError(f"{file} is not a TFLite file: its identifier is not TFL3.")
    model = schema.Model.GetRootAs(data, 0)
    operators = vars(schema.BuiltinOperator).items()
    names = {code: name for name, code in operators if not name.startswith("_")}
    counts: collections.Counter[str] = collections.Counter()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = names.get(number, f"unknown {number}")
            if name == "CUSTOM":
                name = f"CUSTOM:{code.CustomCode().decode()}"
            counts[name] += 1
    return dict(sorted(counts.items()))


def _registrar() -> ModuleType:
    """The module tflite_registrar of tensorflow-text, without its package."""
    darwin = sys.platform == "darwin"
    framework = f"libtensorflow_framework.{'2.dylib' if darwin else 'so.2'}"
    ctypes.CDLL(str(_folder("tensorflow") / framework))  # the kernels need it and do not find it
    file = _folder("tensorflow_text") / "core" / "pybinds" / "tflite_registrar.so"
    spec = importlib.util.spec_from_file_location("tflite_registrar", file)
    if spec is None or spec.loader is None:
        raise UserError(f"tensorflow-text's TFLite kernels cannot be loaded. Received: {file}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folder(package: str) -> pathlib.Path:
    # find_spec of a top-level package finds the folder without running its __init__.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{package} is not installed, and the file's operations on text are in it.")
    return pathlib.Path(next(iter(spec.submodule_search_locations)))
