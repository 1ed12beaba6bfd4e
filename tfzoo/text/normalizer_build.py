"""Writes the normalizer buffers of this package: `python -m tfzoo.text.normalizer_build [FOLDER]`.

Only whoever changes `unicode_rules` runs this (15 seconds); users get the files it wrote. The bytes
do not depend on the machine or the Python version.

Format: tensorflow_text/core/kernels/fast_bert_normalizer_model.fbs, table FastBertNormalizerModel:
lower_case_nfd_strip_accents: bool; trie_array: [uint]; data_for_codepoint_zero: int;
normalized_string_pool: [byte]. A value is 1 << 30 | offset in the pool << 6 | length in bytes.
"""

import itertools
import lzma
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
from absl import logging

from tfzoo.text import double_array, normalizer, unicode_rules
from tfzoo.text import unicode_tables as tables
from tfzoo.text.private_alphabet import CLOSE, OPEN

# Filters are spelled out because xz's presets may change between versions of liblzma. Units next to
# each other differ by little, hence the delta over four bytes.
_FILTERS = [
    {"id": lzma.FILTER_DELTA, "dist": 4},
    {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 22, "lc": 0, "lp": 2, "pb": 2,
     "mode": lzma.MODE_NORMAL, "nice_len": 273, "mf": lzma.MF_BT4, "depth": 512},
]  # fmt: skip


def options() -> list[tuple[bool, bool, bool]]:
    """All choices of (lowercase, strip_accents, split_chinese)."""
    return list(itertools.product((True, False), repeat=3))


def build(lowercase: bool, strip_accents: bool, split_chinese: bool) -> bytes:
    """The contents of one package data file, before compression."""
    changes = unicode_rules.rewrites(lowercase, strip_accents, split_chinese)
    changes |= {ord(OPEN): f" {OPEN}", ord(CLOSE): f"{CLOSE} "}
    pool, values = _pool(changes)
    items = [(chr(point).encode(), values[text]) for point, text in changes.items() if point]
    items += [(sequence, values[""]) for sequence in unicode_rules.ill_formed()]
    units = double_array.build(items)
    buffer = _flatbuffer(units, pool, values[changes[0]])
    # The vector of units is found by its own bytes: flatbuffers gives no address.
    start = buffer.index(units.tobytes())
    leaves = (start + 4 * double_array.find(units, mark.encode()) for mark in (OPEN, CLOSE))
    return normalizer.HEADER.pack(*leaves) + buffer


def build_skeleton() -> bytes:
    """The buffer that turns each non-ASCII character which is no word of its own into an `a`.

    What it makes of a normalized text has the same words, and as many bytes as characters in them.
    """
    pool, values = _pool({0: "a"})
    letters = np.ones(0x110000, bool)
    letters[:0x80] = False
    letters[tables.code_points(tables.CHINESE + " 2B820-2B91F")] = False
    root: double_array.Trie = {}
    shared: dict[bytes, double_array.Trie] = {}
    leaf = {double_array.LEAF: values["a"]}
    for first in range(0x80, 0x110000, 64):
        block = letters[first : first + 64]
        if 0xD800 <= first < 0xE000 or not block.any():
            continue
        *path, label, _ = chr(first).encode()
        node = root
        for step in path:
            node = node.setdefault(step, {})
        last_bytes = {0x80 + int(i): leaf for i in np.flatnonzero(block)}
        node[label] = shared.setdefault(block.tobytes(), last_bytes)
    return _flatbuffer(double_array.pack(root), pool, zero=0)


def build_literals() -> bytes:
    """The buffer that makes one word of a name in brackets, and of nothing else."""
    pool, values = _pool({0: f" {OPEN}", 1: f"{CLOSE} ", 2: "\ufffd"})
    changes = {"[": f" {OPEN}", "]": f"{CLOSE} ", OPEN: "\ufffd", CLOSE: "\ufffd"}
    units = double_array.build((key.encode(), values[text]) for key, text in changes.items())
    return _flatbuffer(units, pool, zero=0)


def contents() -> Iterator[tuple[str, bytes]]:
    """Name and contents, before compression, of every package data file."""
    for choice in options():
        yield normalizer.file_name(*choice), build(*choice)
    yield normalizer.SKELETON, build_skeleton()
    yield normalizer.LITERALS, build_literals()


def compress(raw: bytes) -> bytes:
    """The contents of one package data file."""
    return lzma.compress(raw, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=_FILTERS)


def _pool(changes: dict[int, str]) -> tuple[bytes, dict[str, int]]:
    """Lays the texts one after another; a value tells where in the pool one is, and how long."""
    pool = bytearray()
    values = {"": normalizer.DELETED}
    for _, text in sorted(changes.items()):
        if text not in values:
            raw = text.encode()
            values[text] = normalizer.DELETED | len(pool) << 6 | len(raw)
            pool += raw
    return bytes(pool), values


def _flatbuffer(units: np.ndarray, pool: bytes, zero: int) -> bytes:
    import flatbuffers  # Comes with tensorflow; only this function of tfzoo needs it.

    builder = flatbuffers.Builder(4 * len(units) + len(pool) + 1024)
    pool_vector = builder.CreateByteVector(pool)
    units_vector = builder.CreateNumpyVector(units.astype("<u4"))
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(3, pool_vector, 0)
    builder.PrependInt32Slot(2, zero, 0)
    builder.PrependUOffsetTRelativeSlot(1, units_vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def main() -> None:
    """Writes every buffer into the folder named on the command line, or into this package."""
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if len(sys.argv) > 1 else folder.parent
    for name, raw in contents():
        packed = compress(raw)
        (folder / name).write_bytes(packed)
        logging.info("%s: %d bytes, %d in memory", name, len(packed), len(raw))


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    main()
