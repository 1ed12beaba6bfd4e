"""Protobuf's wire format against protobuf's own classes."""

import pytest
from google.protobuf import struct_pb2

from tfzoo.export import wire


def test_reads_what_protobuf_writes():
    message = struct_pb2.Struct()
    message["name"] = "é" * 100
    entry = wire.first(message.SerializeToString(), 1)
    assert wire.text(entry, 1) == "name"
    assert wire.text(wire.first(entry, 2), 3) == "é" * 100


def test_protobuf_reads_what_is_written():
    value = wire.delimited(3, "text" * 50)
    entry = wire.delimited(1, "key") + wire.delimited(2, value)
    message = struct_pb2.Struct.FromString(wire.delimited(1, entry))
    assert dict(message) == {"key": "text" * 50}


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**62, -1, -(2**63)])
def test_whole_numbers_survive(number):
    assert wire.integer(b"\x08" + wire.varint(number), 1) == number
    assert wire.unpack_varints(wire.varint(number) * 2) == [number, number]


def test_absent_fields_have_protobufs_defaults():
    assert (wire.integer(b"", 1), wire.text(b"", 1), bytes(wire.first(b"", 1))) == (0, "", b"")


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x0a", b"\xff" * 12, b"\x0b\x01", b"\x0d\x01"])
def test_damaged_bytes_are_refused(data):
    with pytest.raises(ValueError, match="not a protobuf message"):
        list(wire.fields(data))
