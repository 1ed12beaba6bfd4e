"""The requests that a server replays before it reports a new model as ready.

    <version>/assets.extra/tf_serving_warmup_requests        TFRecords of PredictionLog messages

The first request of a shape is the slow one (0.5 to 2 s): graph optimization and kernel choice. The
messages are written by hand: tensorflow-serving-api, which has their classes, is pinned to one
TensorFlow release and brings gRPC along for nothing else.

Source: tensorflow_serving/apis/{prediction_log,predict,classification,input}.proto,
tensorflow/core/framework/tensor.proto, tensorflow/core/lib/io/record_writer.h.
"""

import dataclasses
import os
import pathlib
import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import meta_graph, wire
from tfzoo.export.wire import delimited, varint

FILE = "assets.extra/tf_serving_warmup_requests"
_CLASSIFY_LOG, _REGRESS_LOG, _PREDICT_LOG = 2, 3, 6  # fields of PredictionLog
# The fields of TensorProto that hold numbers one by one: packed varints or fixed-size ones.
_VARINTS = {"int32": 7, "int16": 7, "int8": 7, "uint8": 7, "int64": 10, "bool": 11}
_FIXED = {"float32": 5, "float64": 6}
_CODES = {"float32": 1, "int32": 3, "object": 7, "bool": 10}  # DataType: DT_FLOAT, DT_INT32, ...


@dataclasses.dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        signature: Name of the signature.
        inputs: Its inputs by name; strings are object arrays of bytes (`write`: float32, int32,
            bool and those).
        classify: Whether it goes to the method classify, whose one input is serialized tf.Examples.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    classify: bool = False


def write(folder: str | os.PathLike[str], model: str, requests: Iterable[Request]) -> None:
    """Writes the warm-up file of the SavedModel in `folder`, which a server calls `model`."""
    path = pathlib.Path(folder) / FILE
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for request in requests:
            file.write(framed(_log(model, request)))


def read(folder: str | os.PathLike[str]) -> list[Request]:
    """Reads the warm-up file of the SavedModel in `folder`.

    Raises:
        UserError: when there is none, or it is damaged.
    """
    path = pathlib.Path(folder) / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"no warm-up requests: {error.strerror}. Received: {path}.") from None
    try:
        return [read_request(record) for record in _records(data)]
    except ValueError as error:
        raise UserError(f"the warm-up requests are damaged: {error}. Received: {path}.") from None


def framed(data: bytes) -> bytes:
    """One record of a TFRecord file: length, its checksum, bytes, their checksum."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def example(**features: str | bytes) -> bytes:
    """A serialized tf.Example with one string each feature."""
    entries = b""
    for name, value in features.items():
        values = delimited(1, delimited(1, value))  # Feature.bytes_list.value
        entries += delimited(1, delimited(1, name) + delimited(2, values))
    return delimited(1, entries)


def _log(model: str, request: Request) -> bytes:
    spec = delimited(1, delimited(1, model) + delimited(3, request.signature))
    if request.classify:
        examples = b"".join(delimited(1, item) for item in request.inputs["inputs"])
        message = spec + delimited(2, delimited(1, examples))  # Input.example_list
        return delimited(_CLASSIFY_LOG, delimited(1, message))
    inputs = b"".join(
        delimited(2, delimited(1, name) + delimited(2, _tensor(array)))
        for name, array in request.inputs.items()
    )
    return delimited(_PREDICT_LOG, delimited(1, spec + inputs))


def _tensor(array: np.ndarray) -> bytes:
    axes = b"".join(delimited(2, b"\x08" + varint(size)) for size in array.shape)
    head = b"\x08" + varint(_CODES[array.dtype.name]) + delimited(2, axes)
    if array.dtype == object:
        return head + b"".join(delimited(8, item) for item in array.reshape(-1))
    return head + delimited(4, array.astype(array.dtype.newbyteorder("<")).tobytes())


def read_request(record: bytes | memoryview) -> Request:
    """The request that one PredictionLog holds.

    Raises:
        ValueError: when it is not a predict, classify or regress request.
    """
    for number, log in wire.fields(record):
        if not isinstance(log, memoryview):
            continue
        message = wire.first(log, 1)
        name = wire.text(wire.first(message, 1), 3) or "serving_default"
        if number == _PREDICT_LOG:
            entries = wire.messages(message, 2)
            return Request(name, {wire.text(e, 1): read_tensor(wire.first(e, 2)) for e in entries})
        if number in (_CLASSIFY_LOG, _REGRESS_LOG):
            inputs = {"inputs": _read_examples(wire.first(message, 2))}
            return Request(name, inputs, classify=number == _CLASSIFY_LOG)
    raise ValueError("a record holds no predict, classify or regress request")


def read_tensor(tensor: memoryview) -> np.ndarray:
    """The array of a TensorProto; strings as bytes in an object array.

    Raises:
        ValueError: when its values do not fill its shape, or its type is not supported.
    """
    dtype = meta_graph.DTYPES.get(wire.integer(tensor, 1), "?")
    shape = [wire.integer(axis, 1) for axis in wire.messages(wire.first(tensor, 2), 2)]
    size = int(np.prod(shape, dtype=np.int64))
    content = wire.first(tensor, 4)
    if dtype == "string":
        items = [bytes(item) for item in wire.messages(tensor, 8)]
        return _objects(items * size if len(items) == 1 else items).reshape(shape)
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
    """Serialized examples from Input: a list, or a list with a shared context."""
    plain, shared = wire.first(message, 1), wire.first(message, 2)
    context = bytes(wire.first(shared, 2))
    found = [bytes(example) for example in wire.messages(plain, 1)]
    return _objects(found + [context + bytes(e) for e in wire.messages(shared, 1)])


def _objects(items: Sequence[bytes]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _records(data: bytes) -> Iterator[bytes]:
    """Yields what `framed` wrote."""
    position = 0
    while position < len(data):
        head = data[position : position + 8]
        if len(head) < 8:
            raise ValueError(f"the file ends within a record at byte {position}")
        (length,) = struct.unpack("<Q", head)
        body = data[position + 12 : position + 12 + length]
        end = position + 12 + length
        if end + 4 > len(data):
            raise ValueError(f"the file ends within a record at byte {position}")
        sums = data[position + 8 : position + 12] + data[end : end + 4]
        if _masked_crc(head) + _masked_crc(body) != sums:
            raise ValueError(f"the checksum of the record at byte {position} is wrong")
        yield body
        position = end + 4


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # CRC-32C, Castagnoli
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
