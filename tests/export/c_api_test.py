"""TensorFlow's libraries: found, loaded once, and clear about what is missing."""

import pathlib
import subprocess
import sys

import pytest

from tfzoo.core.errors import UserError
from tfzoo.export import c_api


def test_the_library_is_loaded_once():
    assert c_api.library() is c_api.library()
    assert c_api.library().version.startswith("2.")


def test_an_error_of_a_call_has_its_code_and_what_was_done():
    with pytest.raises(c_api.TensorFlowError, match=r"loading it: .*absent") as caught:
        c_api.library().call("TF_LoadLibrary", b"/absent.so", what="loading it")
    assert caught.value.code == "NOT_FOUND"


def test_an_unknown_op_is_named():
    with pytest.raises(UserError, match=r"ops=\['NoSuchOp'\]"):
        c_api.library().load_ops(frozenset({"MatMul", "NoSuchOp"}))


def test_a_system_without_the_c_api_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="platform='win32'"):
        c_api.library()


def test_a_second_tensorflow_is_refused(tmp_path):
    folder = tmp_path / "tensorflow"
    folder.mkdir()
    for name in c_api._LIBRARIES[sys.platform]:
        (folder / name).touch()
    c_api.library()
    with pytest.raises(UserError, match="one TensorFlow only"):
        c_api.library(tmp_path)


def test_a_python_without_tensorflow_is_told_what_to_install():
    code = "from tfzoo.export import c_api; c_api.library()"
    root = pathlib.Path(c_api.__file__).parents[2]
    # -S: without site-packages, so that no TensorFlow is found.
    out = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert "pip install tensorflow tensorflow-text" in out.stderr.splitlines()[-1]


def test_python_libraries_imported_after_it_keep_their_own_symbols():
    code = (
        "from tfzoo.export import c_api\n"
        "c_api.library()\n"
        "import hashlib, ssl, numpy.random\n"  # with global symbols this is a segmentation fault
        "print(hashlib.sha256(b'').hexdigest()[:8], numpy.random.default_rng(0).integers(9))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (0, "e3b0c442 7\n")
