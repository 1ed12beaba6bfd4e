"""Trains in every situation on one device, on two and in two processes, and writes the table.

    python -m tests.train.distribute_table

The table in configs/README.md comes from here: how far the weights of two replicas end from those
of one device, with this project's trainer and with Keras' `fit`, all measured in one run.
"""

import math
import pathlib
import re
import sys
import tempfile
import time

from tests.train import distribute

PAGE = distribute.ROOT / "configs/README.md"
BEGIN, END = "<!-- distribute table: begin -->\n", "<!-- distribute table: end -->\n"
WIDEST = 90  # characters of an error
EMPTY_LINES = re.compile(
    r"Exception encountered|Graph execution error|Detected at|File |\d+ root error"
)


def cell(folder: pathlib.Path, name: str, case: str) -> str:
    """How far two replicas are from one device, or what happens instead."""
    try:
        two = distribute.found(folder / name, case)
        one = distribute.found(folder / "one", case)
    except RuntimeError as error:
        return said(str(error))
    masks = ""
    if "masks" in two:
        drawn = {mask.tobytes() for step in two["masks"] for mask in step}
        masks = "other masks on each" if len(drawn) == two["masks"][..., 0].size else "equal masks"
    if "again" in two:
        apart, error = distribute.dropout_apart(one, two)
        return f"{masks}; mean losses {apart:.3f} apart, standard error {error:.3f}"
    if masks:
        return masks
    whole = number(distribute.difference(one, two))
    try:
        parts = distribute.found(folder / "one", f"{case}_parts")
    except RuntimeError:
        return whole
    return f"{number(distribute.difference(parts, two))} ({whole})"


def number(difference: float) -> str:
    """A difference of weights."""
    return "weights are NaN" if math.isnan(difference) else f"{difference:.1e}"


def said(text: str) -> str:
    """The kind of an error and its first line that says something."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", text.partition("\nTraceback")[0]).strip()
    kind, _, rest = message.partition(": ")
    lines = [line.strip() for line in rest.splitlines()]
    first = next((line for line in lines if line and not EMPTY_LINES.match(line)), "")
    line = f"{kind}: {first}" if first else kind
    line = line if len(line) <= WIDEST else f"{line[: WIDEST - 3]}..."
    return line.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def table(ours: pathlib.Path, keras: pathlib.Path) -> str:
    """The whole table in Markdown."""
    head = (
        "| what | two devices | two processes | Keras `fit`, two devices "
        "| Keras `fit`, two processes |\n|---|---|---|---|---|\n"
    )
    lines = []
    for name, case in distribute.CASES.items():
        cells = [cell(f, two, name) for f in (ours, keras) for two in distribute.STRATEGIES[1:]]
        lines.append(f"| {' | '.join([case.title, *cells])} |\n")
    return head + "".join(lines)


def main() -> int:
    """Measures, prints the table and writes it into the page."""
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        print(f"{PAGE.name} has no place for the table: {BEGIN.strip()}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folders = [pathlib.Path(scratch) / name for name in ("ours", "keras")]
        for folder in folders:
            for name in distribute.STRATEGIES:
                began = time.monotonic()
                distribute.measure(name, folder / name, folder.name == "keras")
                took = time.monotonic() - began
                print(f"{folder.name}, {name}: {took:.0f} s", file=sys.stderr)
        text = table(*folders)
    print(text, end="")
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(pattern, lambda _: BEGIN + text + END, page, flags=re.DOTALL), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
