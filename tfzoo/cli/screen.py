"""What the user sees: tables and plain log lines, and nothing that TensorFlow says to itself."""

import contextlib
import importlib
import logging
import os
import pathlib
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence

# "I0000 00:00:1700000000.1 1 port.cc:153] oneDNN custom operations are on. ..."
_CHATTER = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its greetings, if that has not happened yet.

    TF_CPP_MIN_LOG_LEVEL silences what comes after the import. What is logged during the import is
    written before TensorFlow (2.21) reads that variable, one copy by a library that has a logger of
    its own, so that only the file descriptor can be turned away.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if "tensorflow" not in sys.modules:
        with _without_chatter():
            importlib.import_module("tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def plain_logging() -> None:
    """Lets absl write its messages as plain lines on stderr."""
    from absl import logging as absl_logging

    # Not absl's own handler: it wants flags to be parsed first, and says so.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_is_for_the_user)
    logger = absl_logging.get_absl_logger()
    logger.handlers = [handler]
    logger.propagate = False
    absl_logging.set_verbosity(absl_logging.INFO)


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Aligned columns, numbers to the right, with a rule under the head."""
    cells = [[_cell(value) for value in row] for row in rows]
    lines = [list(head), *cells] if head else cells
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(widths))]
    text = [_line(line, widths, right) for line in lines]
    if head:
        text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _is_for_the_user(record: logging.LogRecord) -> bool:
    # TensorFlow, too, logs what it does through absl.
    parts = pathlib.Path(record.pathname).parts
    return record.levelno >= logging.WARNING or "tensorflow" not in parts


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _line(line: list[str], widths: list[int], right: list[bool]) -> str:
    pairs = zip(line, widths, right, strict=True)
    return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in pairs).rstrip()


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, then passes on all but log chatter."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "wb") as screen:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen.fileno(), 2)
            held.seek(0)
            screen.writelines(line for line in held if not _CHATTER.match(line))
