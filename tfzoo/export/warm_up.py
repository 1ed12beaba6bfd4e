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
from collections.abc import Iterable, Iterator

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import wire
from tfzoo.export.wire import delimited, varint

FILE = "assets.extra/tf_serving_warmup_requests"
_CLASSIFY_LOG, _PREDICT_LOG = 2, 6  # fields of PredictionLog
_CODES = {"int32": 3, "object": 7}  # DataType: DT_INT32, DT_STRING


@dataclasses.dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        signature: Name of the signature.
        inputs: Its inputs by name: int32 arrays, or object arrays of bytes.
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
            data = _log(model, request)
            length = struct.pack("<Q", len(data))
            file.write(length + _masked_crc(length) + data + _masked_crc(data))


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
        return [_request(record) for record in _records(data)]
    except (ValueError, struct.error) as error:
        raise UserError(f"the warm-up requests are damaged: {error}. Received: {path}.") from None


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
    return head + delimited(4, array.astype("<i4").tobytes())


def _request(record: bytes) -> Request:
    for number in (_PREDICT_LOG, _CLASSIFY_LOG):
        log = wire.first(record, number)
        if len(log):
            break
    else:
        raise ValueError("a record is neither a predict nor a classify request")
    message = wire.first(log, 1)
    signature = wire.text(wire.first(message, 1), 3)
    if number == _CLASSIFY_LOG:
        examples = wire.messages(wire.first(wire.first(message, 2), 1), 1)
        return Request(signature, {"inputs": _strings(examples)}, classify=True)
    entries = wire.messages(message, 2)
    return Request(signature, {wire.text(e, 1): _array(wire.first(e, 2)) for e in entries})


def _array(tensor: memoryview) -> np.ndarray:
    shape = [wire.integer(axis, 1) for axis in wire.messages(wire.first(tensor, 2), 2)]
    if wire.integer(tensor, 1) == _CODES["object"]:
        return _strings(wire.messages(tensor, 8)).reshape(shape)
    if wire.integer(tensor, 1) != _CODES["int32"]:
        raise ValueError("an input is neither int32 nor string")
    return np.frombuffer(bytes(wire.first(tensor, 4)), "<i4").reshape(shape)


def _strings(items: Iterable[memoryview]) -> np.ndarray:
    values = [bytes(item) for item in items]
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _records(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        head = data[position : position + 8]
        (length,) = struct.unpack("<Q", head)
        body = data[position + 12 : position + 12 + length]
        end = position + 12 + length
        if (
            _masked_crc(head) + _masked_crc(body)
            != data[position + 8 : position + 12] + (data[end : end + 4])
        ):
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
