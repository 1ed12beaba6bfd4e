"""Reads and writes protobuf's wire format, so that nothing here needs TensorFlow's own classes.

A message is a run of fields; a field is a varint key (number << 3 | wire type) and a value. Only
the two wire types that TensorFlow's messages use for text, numbers and nested messages are written.

Source: protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator

Value = int | memoryview


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Yields (field number, value) in the order of the bytes; nested messages are not copied.

    Varints come as unsigned ints, everything else as a memoryview of its bytes.

    Raises:
        ValueError: when the bytes are not a protobuf message.
    """
    view = memoryview(message)
    position = 0
    while position < len(view):
        key, position = _varint(view, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(view, position)
            yield key >> 3, value
            continue
        if kind == 2:
            length, position = _varint(view, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"not a protobuf message: wire type {kind} at byte {position}")
        if position + length > len(view):
            raise ValueError(f"not a protobuf message: field {key >> 3} runs past the end")
        yield key >> 3, view[position : position + length]
        position += length


def messages(message: bytes | memoryview, number: int) -> Iterator[memoryview]:
    """Yields every occurrence of field `number` that holds bytes: a message or a string."""
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def first(message: bytes | memoryview, number: int) -> memoryview:
    """Returns the first occurrence of field `number` that holds bytes; empty when absent."""
    return next(messages(message, number), memoryview(b""))


def integer(message: bytes | memoryview, number: int) -> int:
    """Returns field `number` as a signed 64-bit integer, 0 when absent (protobuf's default)."""
    for found, value in fields(message):
        if found == number and isinstance(value, int):
            return value - (1 << 64) if value >> 63 else value
    return 0


def text(message: bytes | memoryview, number: int) -> str:
    """Returns field `number` as a string, empty when absent."""
    return bytes(first(message, number)).decode("utf-8", "replace")


def delimited(number: int, content: bytes | str) -> bytes:
    """Returns field `number` holding a string, bytes or a serialized message."""
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Returns `value` (a signed 64-bit integer) in protobuf's base-128 form."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack_floats(data: bytes | memoryview) -> tuple[float, ...]:
    """Returns the float32 numbers of a packed field (or of one unpacked element)."""
    return struct.unpack(f"<{len(data) // 4}f", bytes(data))


def unpack_varints(data: bytes | memoryview) -> list[int]:
    """Returns the signed 64-bit numbers of a packed varint field."""
    view, position, out = memoryview(data), 0, []
    while position < len(view):
        value, position = _varint(view, position)
        out.append(value - (1 << 64) if value >> 63 else value)
    return out


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(view) or shift > 63:
            raise ValueError(f"not a protobuf message: a broken varint at byte {position}")
        byte = view[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, position
        shift += 7
