"""`python -m tfzoo.serve.child FOLDER`: the server as a process of its own, see `background`."""

import argparse
import dataclasses
import functools
import os
import signal
import sys
import threading
from collections.abc import Sequence

from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.serve.server import Options, serve

_FLOATS = ("poll_seconds", "drain_seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves from the command line until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tfzoo.serve.child", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("base_path", help="a folder of versions or of models, or a models.config")
    parser.add_argument("--name", help="the one model to serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501, help="0 takes any free one")
    for field in dataclasses.fields(Options):
        kind = str if field.name == "library_folder" else int
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=float if field.name in _FLOATS else kind
        )
    parser.add_argument(
        "--stop-with-parent", action="store_true", help="stop when standard input is closed"
    )
    given = vars(parser.parse_args(arguments))
    names = {field.name for field in dataclasses.fields(Options)}
    chosen = {key: value for key, value in given.items() if key in names and value is not None}
    logging.set_verbosity(logging.INFO)
    if given["stop_with_parent"]:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        serve(
            given["base_path"],
            given["name"],
            given["host"],
            given["port"],
            Options(**chosen),
            functools.partial(print, flush=True),
        )
    except UserError as error:
        print(f"tfzoo: {error}", file=sys.stderr)
        return 2
    return 0


def _stop_with_parent() -> None:
    # Not through sys.stdin, whose lock would keep the interpreter from ending.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
