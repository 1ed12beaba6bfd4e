"""Runs a module of tfzoo in a process of its own, and waits for it."""

import os
import pathlib
import subprocess
import sys


def run_module(
    module: str, *arguments: str, timeout_seconds: float, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Runs `python -m module arguments` with this tfzoo, its output captured.

    Args:
        module: A module of tfzoo that runs as a program.
        *arguments: Its arguments.
        timeout_seconds: After how long it is given up.
        **environment: Variables to set for it, beside those of this process.

    Raises:
        subprocess.TimeoutExpired: when it did not end in time.
    """
    paths = [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        check=False,
    )
