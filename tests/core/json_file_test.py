"""JSON files with one-line errors."""

import pytest

from tfzoo.core import json_file
from tfzoo.core.errors import UserError


def test_what_is_written_is_read(tmp_path):
    values = {"ä": [1, None, True, {"x": 1e-12}]}
    json_file.write(tmp_path / "x.json", values)
    assert json_file.read_object(tmp_path / "x.json") == values
    assert "ä" in (tmp_path / "x.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{\n "a": 1,\n}', "x.json:3 is not valid JSON"),
        (b"[1]", "must hold a JSON object. Received: list"),
        (b'{"a": "\xff"}', "not UTF-8 text: byte 7"),
        (b"[" * 100_000, "nested too deeply"),
        (None, "is missing"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path, content, message):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        json_file.read_object(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        json_file.read(tmp_path)
