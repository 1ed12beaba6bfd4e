"""The converter runs in a child process, and says what went wrong there."""

import pytest

from tfzoo.export.converter import ConversionError, convert


@pytest.mark.slow
def test_what_the_converter_says_is_passed_on(tmp_path):
    with pytest.raises(ConversionError, match=r"exit code 1: .*SavedModel file does not exist"):
        convert(tmp_path, "token_ids", "float32", tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()


def test_a_conversion_that_hangs_is_given_up(tmp_path):
    with pytest.raises(ConversionError, match="no end of it within 0 s"):
        convert(tmp_path, "s", "float32", tmp_path / "out.tflite", timeout_seconds=0.05)
