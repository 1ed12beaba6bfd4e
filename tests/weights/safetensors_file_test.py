"""Our reader and writer of safetensors against the package of that name."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from tfzoo.core.errors import UserError
from tfzoo.weights import safetensors_file

TENSORS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "ids": np.arange(5)[None],
    "half": np.array([1, 2.5], np.float16),
    "brain": np.array([[1.0, -3e38]], ml_dtypes.bfloat16),
    "é/日": np.array([7], np.float32),
}


@pytest.fixture
def path(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "x.safetensors", {"format": "pt"})
    return tmp_path / "x.safetensors"


def rewrite(path, change):
    """Changes the header of a file, keeping its tensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def test_it_reads_what_the_package_wrote(path):
    found = safetensors_file.read(path)
    assert set(found) == set(TENSORS)
    for name, wanted in TENSORS.items():
        array = found[name].read()
        assert array.shape == found[name].shape == wanted.shape
        assert np.array_equal(array, wanted.astype(array.dtype))
        assert (array.dtype == np.float32) == found[name].is_float == (name != "ids")


def test_the_package_reads_what_it_wrote(tmp_path):
    tensors = {n: a for n, a in TENSORS.items() if a.dtype == np.float32}
    tensors["transposed"] = TENSORS["matrix"].T
    path = tmp_path / "x.safetensors"
    safetensors_file.write(path, {n: (a.shape, lambda a=a: a) for n, a in tensors.items()})
    found = safetensors.numpy.load_file(path)
    assert set(found) == set(tensors)
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_nothing_but_the_header_is_read_before_a_tensor_is_asked_for(path):
    found = safetensors_file.read(path)
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        found["matrix"].read()


def test_a_file_that_shrinks_afterwards_is_one_line(path):
    found = safetensors_file.read(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="became shorter"):
        for tensor in found.values():
            tensor.read()


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 20, -1, -50])
def test_a_file_cut_off_anywhere_is_refused(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    with pytest.raises(UserError, match="not a whole safetensors file") as error:
        safetensors_file.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_cut_is_refused(path):
    data = path.read_bytes()
    for kept in range(0, len(data), 3):
        path.write_bytes(data[:kept])
        with pytest.raises(UserError):
            safetensors_file.read(path)


def test_random_bytes_never_crash(tmp_path):
    path = tmp_path / "x.safetensors"
    generator = np.random.default_rng(0)
    for _ in range(100):
        path.write_bytes(generator.bytes(generator.integers(0, 200)))
        with pytest.raises(UserError):
            safetensors_file.read(path)


def test_flipped_header_bytes_never_crash(path):
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(1)
    for _ in range(100):
        broken = bytearray(data)
        for _ in range(3):
            broken[generator.integers(0, 500)] = generator.integers(0, 256)
        path.write_bytes(broken)
        try:
            tensors = safetensors_file.read(path)
        except UserError:
            continue
        for tensor in tensors.values():
            tensor.read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["matrix"].update(shape=[3, 3]), "do not match its shape"),
        (lambda h: h["matrix"].update(shape=[-2, -3]), "not made of whole numbers"),
        (lambda h: h["matrix"].update(shape=[2.0, 3]), "not made of whole numbers"),
        (lambda h: h["matrix"].update(shape=[True, 6]), "not made of whole numbers"),
        (lambda h: h["matrix"].update(shape=6), "nothing usable about `matrix`"),
        (lambda h: h["matrix"].pop("dtype"), "nothing usable about `matrix`"),
        (lambda h: h["matrix"].update(dtype="F4"), "Expected F32, F16 or BF16. Received: F4"),
        (lambda h: h["matrix"].update(dtype=["F32"]), "type"),
        (lambda h: h["matrix"].update(data_offsets=[0, 10**30]), "do not match"),
        (lambda h: h["matrix"].update(data_offsets=h["half"]["data_offsets"]), "match"),
        (lambda h: h.update(ids=h["matrix"]), "overlap or leave gaps"),
        (lambda h: h.pop("ids"), "overlap or leave gaps"),
        (lambda h: h.update(matrix=[]), "nothing usable"),
        (lambda h: b"[1]", "not a JSON object"),
        (lambda h: b"{,}", "not JSON"),
        (lambda h: b"[" * 100_000, "not JSON"),
        (lambda h: b"\xff\xfe", "not JSON"),
    ],
)
def test_a_header_that_lies_is_refused(path, change, message):
    rewrite(path, change)
    with pytest.raises(UserError) as error:
        safetensors_file.read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError) as error:
            safetensors_file.read(path)
        assert str(path) in str(error.value)
