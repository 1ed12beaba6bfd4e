"""Fixtures of the whole test suite."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the project; a test that asks for it is skipped elsewhere."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets in {folder.name} beside the project, which are not here")

    def item(name):
        path = folder / name
        if not path.exists():
            pytest.skip(f"needs the data item {name}, which is not here")
        return path

    return item


@pytest.fixture(scope="module", autouse=True)
def xla_comes_back():
    """A Session switches XLA off in its whole process, as TensorFlow Serving does."""
    yield
    c_api = sys.modules.get("tfzoo.export.c_api")
    for library in c_api.loaded() if c_api else ():
        library.allow_xla(True)
