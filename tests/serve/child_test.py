"""The command line of the server process."""

import pytest

from tfzoo.serve import child


def test_a_users_mistake_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert child.main([str(tmp_path / "absent")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tfzoo: no such folder")
    assert error.count("\n") == 1


def test_options_out_of_range_are_users_mistakes(tmp_path, capsys):
    assert child.main([str(tmp_path), "--workers=0"]) == 2
    assert capsys.readouterr().err == "tfzoo: workers must be 1 or more. Received: workers=0\n"


def test_unknown_flags_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        child.main([str(tmp_path), "--worker=1"])
    assert caught.value.code == 2
