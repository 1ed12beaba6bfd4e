"""The shipped buffers are what the rules say, to the byte."""

import lzma

import pytest

from tfzoo.text import normalizer, normalizer_build


def test_the_smallest_buffer_is_reproduced():
    raw = normalizer_build.build(lowercase=False, strip_accents=False, split_chinese=True)
    assert raw == normalizer.load_file(normalizer.file_name(False, False, True))


def test_the_buffers_without_options_are_reproduced():
    assert normalizer_build.build_skeleton() == normalizer.load_file(normalizer.SKELETON)
    assert normalizer_build.build_literals() == normalizer.load_file(normalizer.LITERALS)


@pytest.mark.slow
def test_every_buffer_is_reproduced():
    # Unpacked, because another version of liblzma may pack the same bytes differently.
    names = []
    for name, raw in normalizer_build.contents():
        assert raw == normalizer.load_file(name), name
        names.append(name)
    assert len(names) == 10


def test_what_is_packed_unpacks():
    assert lzma.decompress(normalizer_build.compress(b"abcd" * 1000)) == b"abcd" * 1000
