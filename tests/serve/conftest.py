"""The small SavedModels of tests/export."""

import os
import pathlib
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> pathlib.Path:
    """The folder that tests/export/tiny_models.py writes, shared with the tests of export."""
    out = tmp_path_factory.getbasetemp() / "tiny_models"
    if not out.exists():
        script = pathlib.Path(__file__).parents[1] / "export" / "tiny_models.py"
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
        subprocess.run([sys.executable, script, out], check=True, env=environment)
    return out
