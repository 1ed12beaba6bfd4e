"""Beam writes the folder that the plain path writes."""

import sys

import pytest

from tests.data.prepare_test import content, how  # noqa: F401
from tfzoo.core.errors import UserError
from tfzoo.data import buckets, prepare


def test_without_beam_the_extra_is_named(how, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"pip install tfzoo\[beam\]"):
        prepare.run(how, tmp_path / "out", beam_options=[])
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_beam_gives_the_same_folder(how, tmp_path, monkeypatch):  # noqa: F811
    pytest.importorskip("apache_beam", reason="apache-beam is not installed: tfzoo[beam]")
    monkeypatch.setattr(buckets, "_BUCKET_BYTES", 2000)  # Several buckets a shard.
    prepare.run(how, tmp_path / "plain")
    prepare.run(how, tmp_path / "beam", beam_options=["--runner=DirectRunner"])
    assert content(tmp_path / "beam") == content(tmp_path / "plain")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_mistake_in_a_text_is_one_line_with_beam_too(how, tmp_path):  # noqa: F811
    pytest.importorskip("apache_beam", reason="apache-beam is not installed: tfzoo[beam]")
    (tmp_path / "in" / "c.txt").write_bytes(b"fine\n\nbad \xff")
    with pytest.raises(UserError, match=r"c.txt:3 is not UTF-8") as raised:
        prepare.run(how, tmp_path / "out", beam_options=[])
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*out*"))
