from tfzoo.cli import verify
from tfzoo.export.report import Check, Report


def test_every_check_is_a_line():
    checks = (Check("size", True, "3 MB", "4 MB"), Check("answers", False, "0.5", "1e-5"))
    lines = verify.checks([Report("bert", checks, {})]).splitlines()
    assert lines[2].split() == ["bert", "size", "ok", "3", "MB"]
    assert lines[3].split() == ["bert", "answers", "MISS", "0.5"]
