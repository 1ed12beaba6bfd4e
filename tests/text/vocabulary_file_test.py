"""vocab.txt, whole and broken."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.vocabulary_file import read_text, read_vocabulary, write_vocabulary


def test_what_is_written_is_read_again(tmp_path):
    tokens = ["[PAD]", "é", "##中", "\u2028", "a b"]
    write_vocabulary(tmp_path / "vocab.txt", tokens)
    assert read_vocabulary(tmp_path / "vocab.txt") == tokens


def test_line_ends_of_windows_are_understood(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[PAD]\r\n[UNK]\r\na")
    assert read_vocabulary(path) == ["[PAD]", "[UNK]", "a"]


@pytest.mark.parametrize(
    ("raw", "line", "what"),
    [
        (b"a\n\nb\n", 2, "blank line"),
        (b"a\nb\n\n", 3, "blank line"),
        (b"a\nb\nc\nb\n", 4, "'b', which is on line 2 already"),
        (b"a\nb\n\xe9t\xe9\n", 3, "byte 0xE9"),
        (b"\xff\xfea\x00\n\x00", 1, "byte 0xFF"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, raw, line, what):
    path = tmp_path / "vocab.txt"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=f"vocab.txt:{line}: .*{what}") as caught:
        read_vocabulary(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"\n", b"  \n"])
def test_an_empty_file_is_refused(tmp_path, raw):
    (tmp_path / "vocab.txt").write_bytes(raw)
    with pytest.raises(UserError, match=r"vocab\.txt: .*empty file"):
        read_vocabulary(tmp_path / "vocab.txt")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.txt: cannot be read"):
        read_text(tmp_path / "nowhere.txt")


def test_a_token_with_a_line_break_is_not_written(tmp_path):
    with pytest.raises(UserError, match="line break"):
        write_vocabulary(tmp_path / "vocab.txt", ["a\nb"])
    assert not (tmp_path / "vocab.txt").exists()
