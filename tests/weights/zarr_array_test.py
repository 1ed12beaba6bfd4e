"""Zarr's arrays, made here as its specification says."""

import gzip
import itertools
import json
import math
import zlib

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.weights import zarr_array


def write(folder, value, chunks=None, compressor="gzip", /, **meta):
    """An array as TensorStore writes it; a whole number in `value` stands for bfloat16's bits."""
    chunks = chunks or value.shape
    folder.mkdir(parents=True)
    dtype = "bfloat16" if value.dtype == np.uint16 else value.dtype.str
    values = {
        "chunks": list(chunks),
        "compressor": compressor and {"id": compressor, "level": 1},
        "dtype": dtype,
        "fill_value": None,
        "filters": None,
        "order": "C",
        "shape": list(value.shape),
        "zarr_format": 2,
        **meta,
    }
    (folder / ".zarray").write_text(json.dumps(values))
    pack = {"gzip": gzip.compress, "zlib": zlib.compress, None: bytes}[compressor]
    counts = [range(math.ceil(s / c)) for s, c in zip(value.shape, chunks, strict=True)]
    for place in itertools.product(*counts):
        begin = [i * c for i, c in zip(place, chunks, strict=True)]
        part = value[tuple(slice(b, b + c) for b, c in zip(begin, chunks, strict=True))]
        whole = np.zeros(chunks, value.dtype)
        whole[tuple(slice(0, n) for n in part.shape)] = part
        file = folder / (values.get("dimension_separator", ".").join(map(str, place)) or "0")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(pack(whole.tobytes()))
    return folder


VALUE = np.arange(35, dtype=np.float32).reshape(5, 7)


@pytest.mark.parametrize("chunks", [(5, 7), (2, 3), (1, 7), (9, 9)])
@pytest.mark.parametrize("compressor", ["gzip", "zlib", None])
def test_chunks_are_put_together(tmp_path, chunks, compressor):
    tensor = zarr_array.read(write(tmp_path / "a.b", VALUE, chunks, compressor))
    assert (tensor.name, tensor.shape, tensor.is_float) == ("a.b", (5, 7), True)
    np.testing.assert_array_equal(tensor.read(), VALUE)


@pytest.mark.parametrize(
    "value", [np.array(2.5, np.float32), np.arange(4, dtype=np.float16), np.arange(3)]
)
def test_other_types_and_shapes_are_read(tmp_path, value):
    tensor = zarr_array.read(write(tmp_path / "x", value))
    np.testing.assert_array_equal(tensor.read(), value)
    assert tensor.is_float == (value.dtype.kind == "f")
    assert tensor.read().dtype == (np.float32 if tensor.is_float else np.int64)


def test_bfloat16_becomes_float32(tmp_path):
    tensor = zarr_array.read(write(tmp_path / "x", np.array([0x3FC0, 0xC000], np.uint16), (1,)))
    assert tensor.read().tolist() == [1.5, -2]


def test_chunks_in_folders_are_found(tmp_path):
    tensor = zarr_array.read(write(tmp_path / "x", VALUE, (2, 3), dimension_separator="/"))
    np.testing.assert_array_equal(tensor.read(), VALUE)


def test_a_missing_chunk_is_the_fill_value_or_an_error(tmp_path):
    folder = write(tmp_path / "x", VALUE, (5, 4), fill_value=3)
    (folder / "0.1").unlink()
    np.testing.assert_array_equal(zarr_array.read(folder).read()[:, 4:], np.full((5, 3), 3))
    folder = write(tmp_path / "y", VALUE, (5, 4))
    (folder / "0.1").unlink()
    with pytest.raises(UserError, match=r"y/0\.1 is missing"):
        zarr_array.read(folder).read()


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"compressor": {"id": "blosc"}}, "Received: compressor='blosc'"),
        ({"order": "F"}, "tfzoo reads order = C"),
        ({"filters": [{"id": "delta"}]}, "filters"),
        ({"dtype": "<f8"}, "Received: dtype='<f8'"),
        ({"zarr_format": 3}, "zarr_format"),
        ({"shape": "x"}, "in whole numbers"),
        ({"chunks": [5]}, "do not cut up the shape"),
        ({"chunks": [5, 0]}, "do not cut up the shape"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, meta, message):
    with pytest.raises(UserError) as error:
        zarr_array.read(write(tmp_path / "x", VALUE, None, "gzip", **meta))
    assert message in str(error.value)


def test_a_chunk_that_is_cut_off_is_named(tmp_path):
    folder = write(tmp_path / "x", VALUE)
    for content in (b"", (folder / "0.0").read_bytes()[:-9], gzip.compress(b"1234")):
        (folder / "0.0").write_bytes(content)
        with pytest.raises(UserError, match=r"x/0\.0 cannot be read; it may be cut off"):
            zarr_array.read(folder).read()
