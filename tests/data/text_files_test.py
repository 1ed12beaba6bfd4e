"""Lines are decoded strictly; most of it is tested through the tables, in tables_test.py."""

import gzip

import pytest

from tfzoo.core.errors import UserError
from tfzoo.data import text_files


def test_lines_keep_their_ends_and_have_numbers(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa\u2028b\r\n\né".encode())
    assert list(text_files.lines(path)) == [(1, "a\u2028b\r\n"), (2, "\n"), (3, "é")]


def test_a_bad_byte_is_named_with_its_line_also_in_gzip(tmp_path):
    for name, wrap in (("a.txt", bytes), ("a.txt.gz", gzip.compress)):
        (tmp_path / name).write_bytes(wrap(b"fine\nbad \xff\n"))
        with pytest.raises(UserError, match=rf"{name}:2 is not UTF-8: byte 9 of the file is 0xff"):
            list(text_files.lines(tmp_path / name))


def test_blank_lines_between_objects_are_none(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    found = list(text_files.objects(tmp_path / "a.jsonl"))
    assert found == [(1, {"a": 1}), (2, None), (3, {"a": 2})]


def test_half_a_surrogate_pair_does_not_encode():
    assert text_files.encodes("a😀")
    assert not text_files.encodes("a\ud83d")
