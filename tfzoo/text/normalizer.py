"""Loads the buffer that makes tensorflow-text's FastBertNormalize behave as Hugging Face does.

The buffers are package data (`normalizer_*.xz`), written by `python -m tfzoo.text.normalizer_build`
from `tfzoo.text.unicode_rules`. A file is xz of two little-endian uint32 (where in the flatbuffer
the values of `private_alphabet.OPEN` and `CLOSE` are) and the flatbuffer itself.
"""

import importlib.resources
import lzma
import struct

HEADER = struct.Struct("<II")
DELETED = 0x40000000  # The value of a code point that becomes nothing.
_LEAF = 0x80000000


def file_name(lowercase: bool, strip_accents: bool, split_chinese: bool) -> str:
    """Name of the package data file that holds the buffer of these options."""
    case = "lower" if lowercase else "cased"
    accents = "stripped" if strip_accents else "accents"
    return f"normalizer_{case}_{accents}_{'split' if split_chinese else 'whole'}.xz"


SKELETON = "normalizer_skeleton.xz"  # Every character of a normalized text to one byte.
LITERALS = "normalizer_literals.xz"  # Brackets to the marks around special tokens, no more.


def load(lowercase: bool, strip_accents: bool, split_chinese: bool, markers: bool) -> bytes:
    """The flatbuffer for FastBertNormalize.

    Args:
        lowercase: Whether letters are lowered.
        strip_accents: Whether text is decomposed and nonspacing marks dropped.
        split_chinese: Whether every ideograph is a word of its own.
        markers: Whether the two letters around special tokens mean anything. False removes them
            from the text, as every other private letter.
    """
    raw = load_file(file_name(lowercase, strip_accents, split_chinese))
    buffer = bytearray(raw[HEADER.size :])
    if not markers:
        for position in HEADER.unpack_from(raw):
            struct.pack_into("<I", buffer, position, _LEAF | DELETED)
    return bytes(buffer)


def load_file(name: str) -> bytes:
    """The contents of a package data file, unpacked."""
    return lzma.decompress(importlib.resources.files("tfzoo.text").joinpath(name).read_bytes())
