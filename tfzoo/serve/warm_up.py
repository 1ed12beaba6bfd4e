"""Runs the requests that a model brings along, so that its first client does not wait.

    VERSION/assets.extra/tf_serving_warmup_requests: TFRecords of PredictionLog
        -> predict, classify and regress requests -> the session, answers thrown away

The first run of a signature takes up to two seconds: TensorFlow optimizes the graph then.

Source: tensorflow/serving, servables/tensorflow/saved_model_warmup.cc; apis/prediction_log.proto,
predict.proto, input.proto; tensorflow/core/framework/tensor.proto.
"""

import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import meta_graph, wire
from tfzoo.export.session import Session

FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MOST_RECORDS = 1000  # as TensorFlow Serving

# The fields of PredictionLog that hold a request, and how its inputs are read.
_EXAMPLE_LOGS, _PREDICT_LOG = (2, 3), 6
# The fields of TensorProto that hold numbers one by one: packed varints or fixed-size ones.
_VARINTS = {"int32": 7, "int16": 7, "int8": 7, "uint8": 7, "int64": 10, "bool": 11}
_FIXED = {"float32": 5, "float64": 6}

Request = tuple[str, dict[str, Any]]


def run(session: Session, folder: str | os.PathLike[str]) -> int:
    """Runs the requests of the version folder and returns how many there were.

    Raises:
        UserError: when the file is damaged or a request of it fails.
    """
    path = pathlib.Path(folder) / FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in records(path.read_bytes()):
            if count == MOST_RECORDS:
                raise UserError(f"more than {MOST_RECORDS} warm-up requests. Received: file={path}")
            signature, inputs = read_request(record)
            session.run(signature, **inputs)
            count += 1
    except (UserError, ValueError) as error:
        raise UserError(f"warm-up request {count} of {path} failed: {error}") from error
    return count


def records(data: bytes) -> Iterator[memoryview]:
    """Yields the records of a TFRecord file: length, its checksum, bytes, their checksum.

    The checksums are not looked at: a damaged record fails as a request.

    Raises:
        ValueError: when the file ends in the middle of a record.
    """
    view, position = memoryview(data), 0
    while position < len(view):
        if position + 12 > len(view):
            raise ValueError(f"the file ends within a record at byte {position}")
        (length,) = struct.unpack_from("<Q", view, position)
        start = position + 12
        if start + length + 4 > len(view):
            raise ValueError(f"the file ends within a record at byte {position}")
        yield view[start : start + length]
        position = start + length + 4


def read_request(record: bytes | memoryview) -> Request:
    """Returns the signature and the inputs that one PredictionLog asks for.

    Raises:
        ValueError: when it is not a predict, classify or regress request.
    """
    for number, log in wire.fields(record):
        if not isinstance(log, memoryview):
            continue
        request = wire.first(log, 1)
        name = wire.text(wire.first(request, 1), 3) or "serving_default"
        if number == _PREDICT_LOG:
            entries = wire.messages(request, 2)
            return name, {wire.text(e, 1): read_tensor(wire.first(e, 2)) for e in entries}
        if number in _EXAMPLE_LOGS:
            return name, {"inputs": _read_examples(wire.first(request, 2))}
    raise ValueError("a record holds no predict, classify or regress request")


def read_tensor(tensor: memoryview) -> np.ndarray:
    """Returns the array of a TensorProto; strings as bytes in an object array.

    Raises:
        ValueError: when its values do not fill its shape, or its type is not supported.
    """
    dtype = meta_graph.DTYPES.get(wire.integer(tensor, 1), "?")
    shape = [wire.integer(axis, 1) for axis in wire.messages(wire.first(tensor, 2), 2)]
    size = int(np.prod(shape, dtype=np.int64))
    content = wire.first(tensor, 4)
    if dtype == "string":
        flat = np.empty(size, dtype=object)
        items = [bytes(item) for item in wire.messages(tensor, 8)]
        flat[:] = items[:1] * size if len(items) == 1 else items
        return flat.reshape(shape)
    if dtype not in _VARINTS and dtype not in _FIXED:
        raise ValueError(f"a warm-up tensor is of a type that is not supported: {dtype}")
    flat = np.frombuffer(content, dtype) if len(content) else _numbers(tensor, dtype)
    # A tensor may be written short: its last value fills the rest.
    if 0 < len(flat) < size:
        flat = np.concatenate([flat, np.full(size - len(flat), flat[-1])])
    return flat.reshape(shape)


def _numbers(tensor: memoryview, dtype: str) -> np.ndarray:
    if dtype in _FIXED:
        parts = [bytes(part) for part in wire.messages(tensor, _FIXED[dtype])]
        return np.frombuffer(b"".join(parts), dtype)
    out: list[int] = []
    for number, value in wire.fields(tensor):
        if number == _VARINTS[dtype]:
            out += [value] if isinstance(value, int) else wire.unpack_varints(value)
    return np.array(out, dtype)


def _read_examples(message: memoryview) -> np.ndarray:
    """Returns serialized examples from Input: a list, or a list with a shared context."""
    plain, shared = wire.first(message, 1), wire.first(message, 2)
    context = bytes(wire.first(shared, 2))
    found = [bytes(example) for example in wire.messages(plain, 1)]
    found += [context + bytes(example) for example in wire.messages(shared, 1)]
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array
