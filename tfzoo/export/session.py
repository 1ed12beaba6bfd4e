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
import math
import os
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import c_api, meta_graph, wire
from tfzoo.export.c_api import TensorFlowError as TensorFlowError
from tfzoo.export.meta_graph import Signature as Signature
from tfzoo.export.meta_graph import TensorSpec as TensorSpec

_CODES = {name: code for code, name in meta_graph.DTYPES.items() if name != "bfloat16"}
_STRING = _CODES["string"]
_STRING_BYTES = 24  # sizeof(TF_TString)


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
        self.signatures = contents.signatures
        self._library = c_api.library(library_folder)
        self.tensorflow_version = self._library.version
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

        Strings are `str` or `bytes` and come back as `bytes` in object arrays. Integers are taken
        for float inputs; nothing that would lose its value is converted.

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
                given[index] = _to_tensor(library, array)
            arguments = (feeds, given, len(feeds), fetches, taken, len(fetches), None, 0, None)
            what = f"signature {spec.name!r} failed"
            library.call("TF_SessionRun", self._session, None, *arguments, what=what)
            return {
                name: _to_array(library, tensor)
                for name, tensor in zip(spec.outputs, taken, strict=True)
            }
        finally:
            for tensor, array in zip(given, arrays, strict=True):
                if tensor:
                    _free_input(library, tensor, array)
            for tensor in taken:
                if tensor:
                    library.TF_DeleteTensor(tensor)


def _check(spec: Signature, inputs: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns the arrays in the signature's order, each of its dtype and a shape it allows."""
    if set(inputs) != set(spec.inputs):
        missing, unknown = set(spec.inputs) - set(inputs), set(inputs) - set(spec.inputs)
        raise UserError(
            f"signature {spec.name!r} takes the inputs {sorted(spec.inputs)}; "
            f"missing: {sorted(missing)}, unknown: {sorted(unknown)}. "
            f"Received: inputs={sorted(inputs)}"
        )
    return [to_array(tensor, inputs[name]) for name, tensor in spec.inputs.items()]


def to_array(spec: TensorSpec, value: Any) -> np.ndarray:
    """Returns `value` as an array of the dtype and a shape that `spec` allows.

    Raises:
        UserError: when it is ragged, of another kind, out of range, or of another shape.
    """
    array = _strings(spec, value) if spec.dtype == "string" else _numbers(spec, value)
    allowed = spec.shape
    if allowed is not None and (
        len(allowed) != array.ndim
        or any(want not in (None, size) for want, size in zip(allowed, array.shape, strict=True))
    ):
        raise UserError(
            f"input {spec.name!r} has the wrong shape. Expected {shape_text(allowed)}. "
            f"Received: shape={list(array.shape)}"
        )
    return array


def shape_text(shape: Iterable[int | None]) -> str:
    """Returns a shape as people write it: [any, 128]."""
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def _strings(spec: TensorSpec, value: Any) -> np.ndarray:
    array = np.asarray(value, dtype=object)
    out = np.empty(array.size, dtype=object)
    for index, item in enumerate(array.reshape(-1)):
        if isinstance(item, str):
            try:
                out[index] = item.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"input {spec.name!r} holds text that is not Unicode (a lone surrogate). "
                    f"Received: item {index}={item[:40]!r}"
                ) from None
        elif isinstance(item, bytes):
            out[index] = item
        else:
            raise UserError(
                f"input {spec.name!r} takes strings, all lists of one length. "
                f"Received: item {index}={str(item)[:40]!r} of type {type(item).__name__}"
            )
    return out.reshape(array.shape)


def _numbers(spec: TensorSpec, value: Any) -> np.ndarray:
    if spec.dtype not in _CODES:
        raise UserError(f"input {spec.name!r} is of a type that cannot be fed: {spec.dtype}")
    target = np.dtype(spec.dtype)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # NumPy's words for a ragged list
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"input {spec.name!r} takes {spec.dtype} numbers, all lists of one length. "
            f"Received: {spec.name}={str(value)[:60]!r}"
        )
    if array.size and (
        (array.dtype.kind == "b") != (target.kind == "b")
        or not np.can_cast(array.dtype, target, "same_kind")
        or not _in_range(array, target)
    ):
        raise UserError(
            f"input {spec.name!r} takes {spec.dtype}. "
            f"Received: {array.dtype} values such as {array.reshape(-1)[0]}"
        )
    return np.ascontiguousarray(array, dtype=target).reshape(array.shape)


def _in_range(array: np.ndarray, target: np.dtype[Any]) -> bool:
    if target.kind not in "iu":
        return True
    limits = np.iinfo(target)
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def _to_tensor(library: c_api.Library, array: np.ndarray) -> int:
    shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
    code = _STRING if array.dtype == object else _CODES[array.dtype.name]
    size = array.size * _STRING_BYTES if code == _STRING else array.nbytes
    tensor = library.TF_AllocateTensor(code, shape, array.ndim, size)
    if not tensor:
        raise UserError(f"no memory for an input of {size} bytes. Received: shape={array.shape}")
    data = library.TF_TensorData(tensor)
    if code != _STRING:
        if size:
            ctypes.memmove(data, array.ctypes.data, size)
        return int(tensor)
    for index, item in enumerate(array.reshape(-1)):
        library.TF_StringInit(data + index * _STRING_BYTES)
        library.TF_StringCopy(data + index * _STRING_BYTES, item, len(item))
    return int(tensor)


def _free_input(library: c_api.Library, tensor: int, array: np.ndarray) -> None:
    if array.dtype == object:
        data = library.TF_TensorData(tensor)
        for index in range(array.size):
            library.TF_StringDealloc(data + index * _STRING_BYTES)
    library.TF_DeleteTensor(tensor)


def _to_array(library: c_api.Library, tensor: int) -> np.ndarray:
    code = library.TF_TensorType(tensor)
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    data = library.TF_TensorData(tensor)
    if code == _STRING:
        out = np.empty(math.prod(shape), dtype=object)
        for index in range(out.size):
            place = data + index * _STRING_BYTES
            out[index] = ctypes.string_at(
                library.TF_StringGetDataPointer(place), library.TF_StringGetSize(place)
            )
        return out.reshape(shape)
    dtype = meta_graph.DTYPES.get(code, "")
    if dtype not in _CODES:
        raise UserError(f"an output is of a type that cannot be read: {dtype or code}")
    # A copy of the model's memory, in an array that owns its own.
    array = np.empty(shape, dtype=dtype)
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    return array
