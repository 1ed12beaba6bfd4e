"""Runs the comparisons of all families with transformers, and writes their table.

    python -m tests.models.parity_table

The table in configs/README.md comes from here: one line a family, with the largest difference that
any logit, hidden state or attention of any of its random checkpoints had.
"""

import pathlib
import re
import sys

import pytest

from tests.models import parity
from tfzoo import models

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "configs/README.md"
BEGIN, END = "<!-- parity table: begin -->\n", "<!-- parity table: end -->\n"


def line(name: str, differences: list[float]) -> str:
    """The row of one architecture."""
    module = models.module(name)
    title = (module.__doc__ or "").splitlines()[0].rstrip(".")
    num_lines = pathlib.Path(module.__file__).read_text(encoding="utf-8").count("\n")
    counts = [models.count_parameters(name, variant) for variant in module.VARIANTS]
    sizes = f"{min(counts):,} to {max(counts):,}" if len(counts) > 1 else f"{counts[0]:,}"
    measured = f"{len(differences)} | {max(differences):.1e}"
    return f"| {title} | `tfzoo/models/{name}.py` | {num_lines} | {sizes} | {measured} |\n"


def table(measured: dict[str, list[float]]) -> str:
    """The whole table in Markdown."""
    head = "| family | file | lines | parameters | checkpoints | largest difference |\n"
    rows = [line(name, measured[name]) for name in sorted(measured)]
    return head + "|---|---|---|---|---|---|\n" + "".join(rows)


def replaced(page: str, text: str) -> str:
    """A page with `text` between the two marks."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"{PAGE.name} has no place for the table: {BEGIN.strip()}")
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: BEGIN + text + END, page, flags=re.DOTALL)


def main() -> int:
    """Runs the tests; writes the table only when all of them pass and no family is missing."""
    code = pytest.main(["-m", "parity", "-k", "checkpoint", str(ROOT / "tests/models")])
    if code:
        return int(code)
    missing = set(models.names()) - set(parity.MEASURED)
    if missing:
        print(f"not measured: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(page, table(parity.MEASURED)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
