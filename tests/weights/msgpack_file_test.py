"""Flax's files, written here by a writer of our own; the reader was compared with Flax's too."""

import struct

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.weights import msgpack_file
from tfzoo.weights.stored import StoredTensor


def text(value):
    content = value.encode()
    if len(content) < 32:
        return bytes([0xA0 | len(content)]) + content
    return b"\xd9" + bytes([len(content)]) + content


def array(value, dtype=None):
    """An array as flax.serialization packs it: shape, type and bytes in an extension."""
    shape = b"".join(pack(n) for n in value.shape)
    content = value.tobytes()
    data = bytes([0x93, 0x90 | value.ndim]) + shape + text(dtype or value.dtype.name)
    if len(content) < 256:
        data += b"\xc4" + bytes([len(content)]) + content
    else:
        data += b"\xc6" + struct.pack(">I", len(content)) + content
    if len(data) in (1, 2, 4, 8, 16):
        return bytes([0xD4 + (len(data)).bit_length() - 1, 1]) + data
    if len(data) < 256:
        return b"\xc7" + bytes([len(data), 1]) + data
    return b"\xc9" + struct.pack(">I", len(data)) + b"\x01" + data


def pack(value):
    """The bytes of nested dictionaries, lists, whole numbers, texts and arrays."""
    match value:
        case dict():
            head = (
                bytes([0x80 | len(value)])
                if len(value) < 16
                else b"\xde" + struct.pack(">H", len(value))
            )
            return head + b"".join(pack(k) + pack(v) for k, v in value.items())
        case list():
            return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
        case str():
            return text(value)
        case None:
            return b"\xc0"
        case bytes():
            return value  # packed already
        case int() if 0 <= value < 128:
            return bytes([value])
        case int():
            return b"\xce" + struct.pack(">I", value)
    return array(value)


def read(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    return msgpack_file.read(tmp_path / "file")


def test_everything_comes_back(tmp_path):
    arrays = {
        "small": np.arange(3, dtype=np.float32),
        "large": np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32),
        "half": np.arange(4, dtype=np.float16).reshape(2, 2),
        "whole": np.arange(5),
        "scalar": np.array(2.5, np.float32),
    }
    found = read(tmp_path, pack({"a": {"b": arrays, "n": 300, "t": "x" * 40}, "list": [1, None]}))
    assert (found["a"]["n"], found["a"]["t"], found["list"]) == (300, "x" * 40, [1, None])
    for name, value in arrays.items():
        tensor = found["a"]["b"][name]
        assert (tensor.name, tensor.shape) == (f"a/b/{name}", value.shape)
        assert tensor.is_float == (name != "whole")
        np.testing.assert_array_equal(tensor.read(), value)


def test_bfloat16_becomes_float32(tmp_path):
    bits = np.array([0x3FC0, 0xC000], np.uint16)
    tensor = read(tmp_path, pack({"a": array(bits, "bfloat16")}))["a"]
    assert tensor.is_float
    assert tensor.read().tolist() == [1.5, -2]


def test_an_array_in_pieces_is_one(tmp_path):
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    flat = whole.reshape(-1)
    pieces = {
        "__msgpack_chunked_array__": 1,
        "shape": {"0": 3, "1": 4},
        "chunks": {"0": flat[:5], "1": flat[5:]},
    }
    tensor = read(tmp_path, pack({"a": {"b": pieces}}))["a"]["b"]
    assert isinstance(tensor, StoredTensor) and tensor.name == "a/b"
    np.testing.assert_array_equal(tensor.read(), whole)
    pieces["shape"]["0"] = 4
    with pytest.raises(UserError, match="pieces of `a/b` do not match"):
        read(tmp_path, pack({"a": {"b": pieces}}))


def test_arrays_stay_in_the_file_until_they_are_read(tmp_path):
    content = pack({"a": np.arange(3, dtype=np.float32)})
    found = read(tmp_path, content)
    (tmp_path / "file").write_bytes(content.replace(struct.pack("<f", 1), struct.pack("<f", 9)))
    assert found["a"].read().tolist() == [0, 9, 2]


def test_leaves_are_named_by_their_keys():
    assert dict(msgpack_file.flat({"a": {"b": {"c": 1}, "d": 2}})) == {"a/b/c": 1, "a/d": 2}


WHOLE = pack({"a": np.arange(100, dtype=np.float32), "b": {"c": "text"}})


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path):
    for length in (*range(0, 60), *range(60, len(WHOLE), 7)):
        with pytest.raises(UserError, match="file is not a whole file of Flax") as error:
            read(tmp_path, WHOLE[:length])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE + b"\x01", "something after its end"),
        (b"\x01", "holds no dictionary"),
        (b"\xc1", "0xc1 begins no value"),
        (pack({"a": b"\xc7\x01\x05\x00"}), "`a` is an extension of type 5"),
        (pack({"a": array(np.zeros(2), "complex64")}), "`a` is of type complex64"),
        (pack({"a": array(np.zeros(2), "float32")}), "do not match its shape [2]"),
        (b"\x81\x01\x01", "1 is no key"),
        (b"\x82\xa1a\x01\xa1a\x02", "'a' is no key"),
        (b"\x91" * 200, "nested too deeply"),
        (b"\x81\xa1a\xc7\x05\x01\x93\x91\xa1x\xa1x", "not made of whole numbers"),
        (b"\x81\xff\x01", "-1 is no key"),
        (b"\x81\xa1\xff\x01", "decode"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, content, message):
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing cannot be read"):
        msgpack_file.read(tmp_path / "nothing")
