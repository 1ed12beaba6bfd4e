"""Small SavedModels, written once for all tests of export and serve."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> pathlib.Path:
    """The folder that tiny_models.py writes: words/1, words/2, numbers/1, text/1, compiled/1."""
    out = tmp_path_factory.getbasetemp() / "tiny_models"
    if not out.exists():
        script = pathlib.Path(__file__).with_name("tiny_models.py")
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
        subprocess.run([sys.executable, script, out], check=True, env=environment)
    return out


@pytest.fixture(scope="session")
def tiny_task():
    """A classifier of a few kilobytes; nothing may change it."""
    from tests.export import tiny_tasks

    return tiny_tasks.classification()


@pytest.fixture(scope="session")
def exported(tmp_path_factory, tiny_task):
    """The summary of `tiny_task` exported as a SavedModel called `tiny`; nothing may change it."""
    from tfzoo.export import pipeline

    out = tmp_path_factory.mktemp("exported")
    return pipeline.run(tiny_task, out, "tiny", kinds=["savedmodel"], licence="Apache-2.0")


@pytest.fixture
def copied(exported, tmp_path) -> pathlib.Path:
    """A copy of that SavedModel, to be damaged."""
    return shutil.copytree(exported.folders["savedmodel"], tmp_path / "1")


@pytest.fixture(scope="session")
def lite(tmp_path_factory, tiny_task):
    """The folder of one TFLite file, `token_ids.float32.tflite`; nothing may change it."""
    from tfzoo.export import tflite

    folder = tmp_path_factory.mktemp("lite")
    tflite.write(tiny_task, folder, ["float32"], ["token_ids"])
    return folder


@pytest.fixture
def copied_lite(lite, tmp_path) -> pathlib.Path:
    """A copy of that folder, to be damaged."""
    return shutil.copytree(lite, tmp_path / "lite")
