"""Fixtures of the whole test suite."""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# What a shell runs in its background ignores Ctrl-C, and so would the children of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def written_once(tmp_path_factory):
    """written_once(name, write): the folder that `write(folder)` fills, in one worker for all."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name, write):
        done = shared / name / "done"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                (shared / name).mkdir(exist_ok=True)
                write(shared / name / "written")
                done.touch()
        return shared / name / "written"

    return folder


@pytest.fixture(scope="session")
def tiny_models(written_once) -> pathlib.Path:
    """What tests/export/tiny_models.py writes: words/1, words/2, numbers/1, text/1, compiled/1."""

    def write(folder):
        command = [sys.executable, ROOT / "tests" / "export" / "tiny_models.py", folder]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    return written_once("tiny_models", write)


@pytest.fixture(scope="module", autouse=True)
def xla_comes_back():
    """A Session switches XLA off in its whole process, as TensorFlow Serving does."""
    yield
    c_api = sys.modules.get("tfzoo.export.c_api")
    for library in c_api.loaded() if c_api else ():
        library.allow_xla(True)
