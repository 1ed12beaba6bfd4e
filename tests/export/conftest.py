"""Small SavedModels, written once for all tests of export and serve."""

import pathlib
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> pathlib.Path:
    """The folder that tiny_models.py writes: words/1, words/2, numbers/1, text/1, compiled/1."""
    out = tmp_path_factory.getbasetemp() / "tiny_models"
    if not out.exists():
        script = pathlib.Path(__file__).with_name("tiny_models.py")
        subprocess.run([sys.executable, script, out], check=True, capture_output=True)
    return out
