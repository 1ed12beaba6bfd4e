"""Runs a SavedModel as TensorFlow Serving does: a Session of the C API, without Python graph code.

    folder/saved_model.pb + variables/ --(TF_LoadSessionFromSavedModel, tag "serve", XLA off)-->
    Session.run("serving_default", text=["a film"]) -> {"scores": array, "label": array of bytes}

TensorFlow is not imported: only the shared libraries of its wheel are loaded (`c_api.py`). What
runs here runs in TensorFlow Serving too, which a reload in Python does not prove.

Easy to get wrong: input tensors may be handed straight through to an output, so outputs are copied
before inputs are freed; a session may only be freed when nobody is running it.

Source: tensorflow/c/c_api.h; tensorflow/serving, servables/tensorflow/saved_model_bundle_factory.
"""

import ctypes
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import c_api, meta_graph, tensors, warm_up, wire
from tfzoo.export.c_api import TensorFlowError as TensorFlowError
from tfzoo.export.meta_graph import Signature as Signature
from tfzoo.export.meta_graph import TensorSpec as TensorSpec


class Session:
    """A loaded SavedModel. `run` may be called from many threads at once.

    Args:
        folder: a version folder: it holds saved_model.pb and variables/.
        threads: threads of one request and of requests together; None for one a core. The first
            session of a process decides for all.
        library_folder: the site-packages folder of the TensorFlow to use; None for this Python's.

    Attributes:
        signatures: what can be called, by name.
        tensorflow_version: the version of the libraries that run the model.

    Raises:
        UserError: when there is no such model, no TensorFlow, or an op that it does not know.
        TensorFlowError: when TensorFlow cannot load the model.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        threads: int | None = None,
        library_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UserError(f"threads must be 1 or more. Received: threads={threads}")
        self._folder = os.fspath(folder)
        contents = meta_graph.read(self._folder)
        _check_variables(self._folder, contents.ops)
        self.signatures = contents.signatures
        self._library = c_api.library(library_folder)
        self.tensorflow_version = self._library.version
        self._library.allow_xla(False)
        self._library.load_ops(contents.ops)
        self._graph = self._library.TF_NewGraph()
        try:
            self._session = self._load(threads)
            self._feeds = {n: self._places(s.inputs) for n, s in self.signatures.items()}
            self._fetches = {n: self._places(s.outputs) for n, s in self.signatures.items()}
        except BaseException:
            self._library.TF_DeleteGraph(self._graph)
            raise
        self._idle = threading.Condition()
        self._running = 0
        self._open = True

    def run(self, signature: str, /, **inputs: Any) -> dict[str, np.ndarray]:
        """Runs one signature on NumPy arrays, or anything that NumPy makes into one.

        Inputs that have a default may be left out. Strings are `str` or `bytes` and come back as
        `bytes` in object arrays. Integers are taken for float inputs; nothing that would lose its
        value is converted.

        Raises:
            UserError: for an unknown signature, a missing or unknown input, a wrong type or shape.
            TensorFlowError: when the model refuses the values.
        """
        spec = self._signature(signature)
        arrays = _check(spec, inputs)
        with self._idle:
            if not self._open:
                raise UserError(f"the session is closed. Received: folder={self._folder!r}")
            self._running += 1
        try:
            return self._run(spec, arrays)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Waits for running requests, then frees the model. Calling it again does nothing."""
        with self._idle:
            if not self._open:
                return
            self._open = False
            self._idle.wait_for(lambda: not self._running)
        self._library.call("TF_CloseSession", self._session, what="closing the session")
        self._library.call("TF_DeleteSession", self._session, what="freeing the session")
        self._library.TF_DeleteGraph(self._graph)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self, threads: int | None) -> int:
        library = self._library
        options = library.TF_NewSessionOptions()
        try:
            if threads is not None:
                # ConfigProto: intra_op_parallelism_threads = 2, inter_op_parallelism_threads = 5.
                config = b"\x10" + wire.varint(threads) + b"\x28" + wire.varint(threads)
                library.call("TF_SetConfig", options, config, len(config), what="setting threads")
            tags = (ctypes.c_char_p * 1)(b"serve")
            folder = os.fsencode(self._folder)
            arguments = (options, None, folder, tags, 1, self._graph, None)
            what = f"TensorFlow cannot load the model in {self._folder!r}"
            return int(library.call("TF_LoadSessionFromSavedModel", *arguments, what=what))
        finally:
            library.TF_DeleteSessionOptions(options)

    def _places(self, specs: Mapping[str, TensorSpec]) -> Any:
        places = (c_api.Output * len(specs))()
        for place, spec in zip(places, specs.values(), strict=True):
            name, _, index = spec.tensor.partition(":")
            place.operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
            place.index = int(index or 0)
            if not place.operation:
                raise UserError(
                    f"the model's signature names a tensor that its graph lacks. "
                    f"Received: {spec.name}={spec.tensor!r}. Export it again."
                )
        return places

    def _signature(self, name: str) -> Signature:
        found = self.signatures.get(name)
        if found is None:
            raise UserError(
                f"the model has no such signature. Expected one of {sorted(self.signatures)}. "
                f"Received: signature={name!r}"
            )
        return found

    def _run(self, spec: Signature, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        library = self._library
        feeds, fetches = self._feeds[spec.name], self._fetches[spec.name]
        given = (ctypes.c_void_p * len(arrays))()
        taken = (ctypes.c_void_p * len(fetches))()
        try:
            for index, array in enumerate(arrays):
                given[index] = tensors.to_tensor(library, array)
            arguments = (feeds, given, len(feeds), fetches, taken, len(fetches), None, 0, None)
            what = f"signature {spec.name!r} failed"
            library.call("TF_SessionRun", self._session, None, *arguments, what=what)
            return {
                name: tensors.from_tensor(library, tensor)
                for name, tensor in zip(spec.outputs, taken, strict=True)
            }
        finally:
            for tensor, array in zip(given, arrays, strict=True):
                if tensor:
                    tensors.free_input(library, tensor, array)
            for tensor in taken:
                if tensor:
                    library.TF_DeleteTensor(tensor)


def _check_variables(folder: str, ops: frozenset[str]) -> None:
    # TensorFlow loads a model without its weights gladly and fails at the first request.
    index = os.path.join(folder, "variables", "variables.index")
    if "VarHandleOp" in ops and not os.path.isfile(index):
        raise UserError(
            "the model's weights are missing: there is no variables/variables.index. "
            f"Received: folder={folder!r}. Copy the whole folder, or export it again."
        )


def _check(spec: Signature, inputs: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns the arrays in the signature's order, each of its dtype and a shape it allows."""
    inputs = {**{name: warm_up.read_tensor(memoryview(t)) for name, t in spec.defaults.items()},
              **inputs}  # fmt: skip
    if set(inputs) != set(spec.inputs):
        missing, unknown = set(spec.inputs) - set(inputs), set(inputs) - set(spec.inputs)
        raise UserError(
            f"signature {spec.name!r} takes the inputs {sorted(spec.inputs)}; "
            f"missing: {sorted(missing)}, unknown: {sorted(unknown)}. "
            f"Received: inputs={sorted(inputs)}"
        )
    return [tensors.to_array(tensor, inputs[name]) for name, tensor in spec.inputs.items()]
