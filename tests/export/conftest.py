"""Small SavedModels, written once for all tests of export and serve."""

import pathlib
import shutil

import pytest


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
def lite(written_once, tiny_task):
    """The folder of one TFLite file, `token_ids.float32.tflite`; nothing may change it."""
    from tfzoo.export import tflite

    def write(folder):
        folder.mkdir()
        tflite.write(tiny_task, folder, ["float32"], ["token_ids"])

    return written_once("lite", write)


@pytest.fixture
def copied_lite(lite, tmp_path) -> pathlib.Path:
    """A copy of that folder, to be damaged."""
    return shutil.copytree(lite, tmp_path / "lite")


@pytest.fixture(scope="session")
def writing(written_once):
    """The folder of `decode.float32.tflite` of the tiny GPT-2; nothing may change it."""
    from tests.export import tiny_writers
    from tfzoo.export import tflite
    from tfzoo.export.lite_generation import Sizes

    def write(folder):
        folder.mkdir()
        tflite.write(tiny_writers.task("gpt2"), folder, ["float32"], ["decode"], Sizes(6, 16))

    return written_once("writing", write)
