"""What a verification found: checks with the number measured and the limit it had to keep."""

import dataclasses
import json
import pathlib
from typing import Any

FILE = "report.json"


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: What.
        passed: Whether it holds.
        measured: What was found, as a number with its unit or in words.
        limit: What it had to be.
    """

    name: str
    passed: bool
    measured: str
    limit: str


@dataclasses.dataclass(frozen=True)
class Report:
    """All checks of one exported file or folder, and what else was measured.

    Attributes:
        artefact: Name of the file or folder.
        checks: In the order they were made.
        facts: Sizes in bytes, latency in milliseconds, versions.
    """

    artefact: str
    checks: tuple[Check, ...]
    facts: dict[str, Any]

    @property
    def misses(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether there were checks and none failed."""
        return bool(self.checks) and not self.misses


class VerificationError(Exception):
    """An export is not what the live model is. The command line prints it and exits 1.

    Attributes:
        reports: Of everything that was verified.
    """

    def __init__(self, reports: list[Report], fate: str):
        self.reports = reports
        lines = [
            f"{report.artefact}: {check.name}: {check.measured}; it must be {check.limit}"
            for report in reports
            for check in report.misses
        ]
        super().__init__("\n".join([*lines, f"The export does not verify: {fate}."]))


def write(reports: list[Report], folder: pathlib.Path) -> None:
    """Writes report.json into `folder`."""
    plain = [{"passed": report.passed, **dataclasses.asdict(report)} for report in reports]
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
