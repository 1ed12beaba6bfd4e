"""Reports: what failed is said, and what is written is JSON that everybody reads."""

import json

from tfzoo.export import report
from tfzoo.export.report import Check, Report, VerificationError

GOOD = Check("size", True, "1 MB", "at most 2 MB")
BAD = Check("operations", False, "62 kinds, among them PyFunc", "without Python")


def test_a_report_without_checks_has_not_passed():
    assert not Report("SavedModel", (), {}).passed
    assert Report("SavedModel", (GOOD,), {}).passed
    assert not Report("SavedModel", (GOOD, BAD), {}).passed


def test_the_error_names_every_miss_and_what_became_of_the_export():
    error = VerificationError([Report("SavedModel", (GOOD, BAD), {})], "it was deleted")
    assert str(error).splitlines() == [
        "SavedModel: operations: 62 kinds, among them PyFunc; it must be without Python",
        "The export does not verify: it was deleted.",
    ]


def test_what_is_written_holds_all_checks(tmp_path):
    report.write([Report("a.tflite", (GOOD, BAD), {"bytes": 7})], tmp_path)
    (found,) = json.loads((tmp_path / report.FILE).read_text())
    assert found["passed"] is False
    assert found["facts"] == {"bytes": 7}
    assert [check["name"] for check in found["checks"]] == ["size", "operations"]
