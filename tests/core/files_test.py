import os
import stat

import pytest

from tfzoo.core.files import folder_aside, write_aside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "x.json"
    with write_aside(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
        assert aside.parent == path.parent
        assert aside.suffix == ".json"
    assert path.read_text() == "whole"
    assert names(path.parent) == ["x.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), write_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_files_have_the_permissions_that_the_user_wants(tmp_path):
    before = os.umask(0o022)
    try:
        with write_aside(tmp_path / "x") as aside:
            aside.write_text("")
        with folder_aside(tmp_path / "y"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "y").stat().st_mode) == 0o755


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "stale").write_text("old")
    with folder_aside(path) as aside:
        (aside / "fresh").write_text("new")
        assert names(path) == ["stale"]
    assert names(path) == ["fresh"]
    assert names(tmp_path) == ["model"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "kept").write_text("old")
    with pytest.raises(RuntimeError), folder_aside(path) as aside:
        (aside / "half").write_text("new")
        raise RuntimeError
    assert names(path) == ["kept"]
    assert names(tmp_path) == ["model"]
