"""TensorFlow's C API by ctypes: the shared libraries of its wheel, without `import tensorflow`.

    site-packages/tensorflow/libtensorflow_framework.so.2, libtensorflow_cc.so.2
    site-packages/tensorflow_text/python/ops/_*.so        ops of the tokenizers, loaded on demand

Easy to get wrong:
- A status object is not thread-safe: every call makes its own.
- `ctypes.CDLL` lets other threads run during a call and then waits for its turn again, which takes
  milliseconds under load; it is for calls that work for long. Short ones go through `PyDLL`.
- The symbols must be global: tensorflow-text's libraries hold copies of protobuf of their own, and
  abort at a kernel with attributes when they use those. But TensorFlow also carries a library of
  cryptography, on which Python's `hashlib` and `ssl` crash unless they are imported, so bound,
  first.
- XLA is a switch of the whole process. A Session switches it off, as TensorFlow Serving does, so a
  process that itself runs `jit_compile=True` functions leaves Sessions to a child process.

Source: tensorflow/c/c_api.h, tf_tensor.h, tf_tstring.h; model_servers/server.cc for XLA's default.
"""

import contextlib
import ctypes
import hashlib  # noqa: F401  (before TensorFlow's libraries, see above)
import importlib.util
import mmap
import os
import pathlib
import re
import ssl  # noqa: F401  (likewise)
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tfzoo.core.errors import UserError
from tfzoo.export import wire

_LIBRARIES = {
    "linux": ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"),
    "darwin": ("libtensorflow_framework.2.dylib", "libtensorflow_cc.2.dylib"),
}
# tensorflow::DisableXlaCompilation() and EnableXlaCompilation(), which no C function offers.
_DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
_ENABLE_XLA = "_ZN10tensorflow20EnableXlaCompilationEv"
# absl::SetMinLogLevel(LogSeverityAtLeast)
_SET_LOG_LEVEL = re.compile(rb"_ZN4absl\d+lts_\d+SetMinLogLevelENS0_18LogSeverityAtLeastE")

# tensorflow/core/protobuf/error_codes.proto
CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

_LONG_CALLS = {"TF_LoadLibrary", "TF_LoadSessionFromSavedModel", "TF_SessionRun", "TF_CloseSession"}


class TensorFlowError(UserError):
    """TensorFlow refused a model or a request.

    Attributes:
        code: TensorFlow's own name of the kind of error, such as "INVALID_ARGUMENT".
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow owns."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]

    def read(self) -> bytes:
        """Returns a copy of the bytes."""
        return ctypes.string_at(self.data, self.length) if self.length else b""


class Output(ctypes.Structure):
    """TF_Output: one output of one operation of a graph."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


# Result and argument types; a status always comes last and is added by `Library.call`.
_P, _S, _I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (_S, []),
    "TF_NewStatus": (_P, []),
    "TF_DeleteStatus": (None, [_P]),
    "TF_GetCode": (_I, [_P]),
    "TF_Message": (_S, [_P]),
    "TF_DeleteBuffer": (None, [ctypes.POINTER(Buffer)]),
    "TF_GetAllOpList": (ctypes.POINTER(Buffer), []),
    "TF_GetOpList": (Buffer, [_P]),
    "TF_LoadLibrary": (_P, [_S, _P]),
    "TF_DeleteLibraryHandle": (None, [_P]),
    "TF_NewGraph": (_P, []),
    "TF_DeleteGraph": (None, [_P]),
    "TF_GraphOperationByName": (_P, [_P, _S]),
    "TF_OperationNumOutputs": (_I, [_P]),
    "TF_NewSessionOptions": (_P, []),
    "TF_DeleteSessionOptions": (None, [_P]),
    "TF_SetConfig": (None, [_P, _S, ctypes.c_size_t, _P]),
    "TF_LoadSessionFromSavedModel": (_P, [_P, _P, _S, ctypes.POINTER(_S), _I, _P, _P, _P]),
    "TF_CloseSession": (None, [_P, _P]),
    "TF_DeleteSession": (None, [_P, _P]),
    "TF_SessionRun": (
        None,
        [_P, _P, _P, ctypes.POINTER(_P), _I, _P, ctypes.POINTER(_P), _I, _P, _I, _P, _P],
    ),
    "TF_AllocateTensor": (_P, [_I, ctypes.POINTER(ctypes.c_int64), _I, ctypes.c_size_t]),
    "TF_DeleteTensor": (None, [_P]),
    "TF_TensorType": (_I, [_P]),
    "TF_NumDims": (_I, [_P]),
    "TF_Dim": (ctypes.c_int64, [_P, _I]),
    "TF_TensorByteSize": (ctypes.c_size_t, [_P]),
    "TF_TensorData": (_P, [_P]),
    "TF_StringInit": (None, [_P]),
    "TF_StringCopy": (None, [_P, _S, ctypes.c_size_t]),
    "TF_StringDealloc": (None, [_P]),
    "TF_StringGetDataPointer": (_P, [_P]),
    "TF_StringGetSize": (ctypes.c_size_t, [_P]),
}


class Library:
    """TensorFlow's C functions, from one site-packages folder; one per process (see `library`)."""

    def __init__(self, site_folder: pathlib.Path) -> None:
        self._site_folder = site_folder
        self._lock = threading.Lock()
        folder = site_folder / "tensorflow"
        framework, main = (folder / name for name in _LIBRARIES[sys.platform])
        level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 0 info ... 3 fatal
        with _without_notes():
            loaded = ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
            long_calls = ctypes.CDLL(str(main), mode=ctypes.RTLD_GLOBAL)
        _set_log_level(loaded, framework, int(level) if level.isdigit() else 3)
        short_calls = ctypes.PyDLL(str(main), mode=ctypes.RTLD_GLOBAL)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(long_calls if name in _LONG_CALLS else short_calls, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self._short_calls = short_calls
        self._known_ops = self._registered_ops()

    def __getattr__(self, name: str) -> Any:  # for the type checker: set from _FUNCTIONS above
        raise AttributeError(name)

    @property
    def version(self) -> str:
        """TensorFlow's version, such as "2.21.0"."""
        return bytes(self.TF_Version()).decode()

    def allow_xla(self, allowed: bool) -> None:
        """Lets the process compile with XLA, or not, which is how models are to be tried."""
        getattr(self._short_calls, _ENABLE_XLA if allowed else _DISABLE_XLA)()

    def call(self, name: str, *arguments: Any, what: str) -> Any:
        """Calls a C function that reports through a status.

        Raises:
            TensorFlowError: when it reports an error; `what` says what was being done.
        """
        status = self.TF_NewStatus()
        try:
            result = getattr(self, name)(*arguments, status)
            code = self.TF_GetCode(status)
            if code:
                message = bytes(self.TF_Message(status)).decode("utf-8", "replace")
                kind = CODES[code] if code < len(CODES) else "UNKNOWN"
                raise TensorFlowError(f"{what}: {_one_line(message)}", kind)
            return result
        finally:
            self.TF_DeleteStatus(status)

    def load_ops(self, ops: frozenset[str]) -> None:
        """Loads those tensorflow-text libraries that define any of `ops` TensorFlow lacks.

        Raises:
            UserError: when an op stays unknown.
        """
        with self._lock:
            missing = set(ops - self._known_ops)
            for path in self._text_libraries():
                if not missing:
                    return
                # Loading all of them costs half a second; looking into the files does not.
                if not _mentions(path, missing):
                    continue
                handle = self.call("TF_LoadLibrary", os.fsencode(path), what=f"loading {path.name}")
                self._known_ops |= _op_names(self.TF_GetOpList(handle).read())
                self.TF_DeleteLibraryHandle(handle)  # the ops stay
                missing -= self._known_ops
        if missing:
            raise UserError(
                f"the model needs ops that TensorFlow {self.version} and tensorflow-text in "
                f"{self._site_folder} do not have. Received: ops={sorted(missing)}. "
                "Install the tensorflow-text that belongs to this TensorFlow."
            )

    def _text_libraries(self) -> list[pathlib.Path]:
        return sorted((self._site_folder / "tensorflow_text" / "python" / "ops").glob("_*.so"))

    def _registered_ops(self) -> set[str]:
        buffer = self.TF_GetAllOpList()
        names = _op_names(buffer.contents.read())
        self.TF_DeleteBuffer(buffer)
        return names


_loading = threading.Lock()
_loaded: dict[pathlib.Path, Library] = {}


def loaded() -> list[Library]:
    """The libraries that this process has loaded: none, or one."""
    return list(_loaded.values())


def library(folder: str | os.PathLike[str] | None = None) -> Library:
    """Returns TensorFlow's C API, loaded once per process.

    Args:
        folder: the site-packages folder that holds `tensorflow`; None for this Python's own.

    Raises:
        UserError: when there is no TensorFlow with a C API, or another one is already loaded.
    """
    site = pathlib.Path(folder).resolve() if folder is not None else _own_site_packages()
    names = _LIBRARIES.get(sys.platform)
    if names is None:
        raise UserError(
            "exported models run through TensorFlow's C API, which its wheels hold on Linux and "
            f"macOS only. Received: platform={sys.platform!r}. Use TensorFlow Serving in Docker."
        )
    for name in names:
        if not (site / "tensorflow" / name).is_file():
            raise UserError(
                f"no TensorFlow library {name} there. Expected a site-packages folder with the "
                f"tensorflow wheel (2.16 or newer). Received: library_folder={str(site)!r}."
            )
    with _loading:
        if not _loaded:
            _loaded[site] = Library(site)
        if site not in _loaded:
            raise UserError(
                "a process can hold one TensorFlow only. Expected the folder that is loaded, "
                f"{str(next(iter(_loaded)))!r}. Received: library_folder={str(site)!r}. "
                "Start another process."
            )
        return _loaded[site]


def _own_site_packages() -> pathlib.Path:
    # find_spec of a top-level package finds the folder without running its __init__.
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "TensorFlow is not installed in this Python, and its libraries run the exported model. "
            f"Received: python={sys.executable!r}. Run: pip install tensorflow tensorflow-text"
        )
    return pathlib.Path(next(iter(spec.submodule_search_locations))).resolve().parent


def _op_names(op_list: bytes) -> set[str]:
    return {wire.text(op, 1) for op in wire.messages(op_list, 1)}


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Drops stderr: loading the libraries prints notes on oneDNN and CUDA before any switch."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _set_log_level(framework: ctypes.CDLL, path: pathlib.Path, level: int) -> None:
    """Shows log lines from `level` on: errors come back as statuses, and need no log.

    TensorFlow 2.20 reads TF_CPP_MIN_LOG_LEVEL itself. From 2.21 on its Python half does, so absl's
    own switch is set here; its name holds absl's version and is looked up in the file.
    """
    with _mapped(path) as content:
        match = _SET_LOG_LEVEL.search(content)
        name = match.group().decode() if match else ""
    if name:
        getattr(framework, name)(level)


def _mentions(path: pathlib.Path, ops: set[str]) -> bool:
    with _mapped(path) as content:
        return any(content.find(op.encode()) >= 0 for op in ops)


@contextlib.contextmanager
def _mapped(path: pathlib.Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _one_line(message: str, limit: int = 600) -> str:
    line = " ".join(message.split())
    return line if len(line) <= limit else f"{line[:limit]} ..."
