"""A SavedModel run through the C API: what goes in, what comes out, what is refused and how."""

import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session, TensorFlowError, TensorSpec


@pytest.fixture(scope="module")
def words(tiny_models):
    with Session(tiny_models / "words" / "1", threads=2) as session:
        yield session


@pytest.fixture(scope="module")
def numbers(tiny_models):
    with Session(tiny_models / "numbers" / "1", threads=2) as session:
        yield session


def test_tensorflow_is_not_imported_and_nothing_is_printed(tiny_models):
    code = (
        "import sys\n"
        "from tfzoo.export.session import Session\n"
        "with Session(sys.argv[1]) as session:\n"
        "    session.run('serving_default', text=['a'])\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras'}))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tiny_models / "words" / "1")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (out.stdout, out.stderr) == ("[]\n", "")


def test_signatures_are_read_with_types_shapes_and_methods(words):
    assert set(words.signatures) == {
        "serving_default", "length", "pairs", "classify", "regress", "slow",
    }  # fmt: skip
    signature = words.signatures["serving_default"]
    assert signature.inputs == {
        "text": TensorSpec("text", "string", (None,), "serving_default_text:0")
    }
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.outputs.items()} == {
        "label": ("string", (None,)),
        "raw_bytes": ("string", (None,)),
        "scores": ("float32", (None, 2)),
        "version": ("int32", (None,)),
    }
    assert signature.method == "tensorflow/serving/predict"
    assert words.signatures["classify"].method == "tensorflow/serving/classify"


def test_an_unknown_rank_is_none(numbers):
    assert numbers.signatures["any_rank"].inputs["x"].shape is None
    np.testing.assert_array_equal(numbers.run("any_rank", x=[[1.5]])["y"], [[1.5]])


def test_strings_survive_whatever_they_hold(words):
    texts = ["", "a", "x" * 22, "x" * 23, "nul\0inside", "日本語 🙂", "long " * 10_000]
    out = words.run("serving_default", text=texts)
    assert out["raw_bytes"].tolist() == [text.encode() for text in texts]
    assert out["label"].tolist()[:2] == [b"short", b"short"]
    assert out["scores"].dtype == np.float32
    np.testing.assert_array_equal(out["scores"][1], [4.5, 0.5])


def test_bytes_that_are_not_text_pass_unchanged(words):
    raw = [b"\xff\x00\xfe", b"tail\0\0"]
    assert words.run("serving_default", text=raw)["raw_bytes"].tolist() == raw


def test_an_empty_batch_gives_empty_answers(words):
    out = words.run("serving_default", text=[])
    assert out["scores"].shape == (0, 2)
    assert out["label"].shape == (0,)


def test_every_plain_type_comes_back_with_its_type(numbers):
    out = numbers.run("echo", f=[[1, 2]], i=[-(2**31)], l=[2**63 - 1], b=[True], d=[0.1])
    assert {name: array.dtype.name for name, array in out.items()} == {
        "f": "float32", "i": "int32", "l": "int64", "b": "bool", "d": "float64",
    }  # fmt: skip
    assert (out["i"][0], out["l"][0], out["b"][0], out["d"][0]) == (-(2**31), 2**63 - 1, True, 0.1)


def test_a_scalar_is_a_scalar(numbers):
    out = numbers.run("scalar", x=2)["y"]
    assert out.shape == ()
    assert out == 4.0


def test_inputs_need_not_be_contiguous(numbers):
    grid = np.arange(12, dtype=np.float32).reshape(2, 6).T[:, ::-1]
    rows = np.arange(6)
    out = numbers.run("echo", f=grid, i=rows, l=rows, b=rows > 2, d=rows)["f"]
    np.testing.assert_array_equal(out, grid)


@pytest.mark.parametrize(
    ("signature", "inputs", "words_of_the_error"),
    [
        ("nope", {}, "Expected one of ['any_rank'"),
        ("choose", {}, "missing: ['x']"),
        ("choose", {"x": [1], "z": [2]}, "unknown: ['z']"),
        ("choose", {"x": [1.5]}, "takes int32. Received: float64"),
        ("choose", {"x": [True]}, "takes int32. Received: bool"),
        ("choose", {"x": [2**31]}, "takes int32. Received: int64"),
        ("choose", {"x": [2**70]}, "takes int32 numbers"),
        ("choose", {"x": ["1"]}, "takes int32 numbers"),
        ("choose", {"x": [None]}, "takes int32 numbers"),
        ("choose", {"x": [[1], [2, 3]]}, "all lists of one length"),
        ("choose", {"x": [[1]]}, "Expected [any]. Received: shape=[1, 1]"),
        ("choose", {"x": 1}, "Expected [any]. Received: shape=[]"),
        ("echo", {"f": [[1.0]], "i": [1], "l": [1], "b": [True], "d": [1]}, "Expected [any, 2]"),
        ("echo", {"f": [[1.0, 2.0]], "i": [1], "l": [1], "b": [1], "d": [1]}, "takes bool"),
    ],
)
def test_wrong_input_is_refused_in_one_line(numbers, signature, inputs, words_of_the_error):
    with pytest.raises(UserError) as caught:
        numbers.run(signature, **inputs)
    assert words_of_the_error in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words_of_the_error"),
    [
        ([1], "of type int"),
        ([["a"], ["b", "c"]], "of type list"),
        (["\ud800"], "not Unicode"),
        ([None], "of type NoneType"),
        ("alone", "Expected [any]. Received: shape=[]"),
    ],
)
def test_wrong_strings_are_refused_in_one_line(words, text, words_of_the_error):
    with pytest.raises(UserError) as caught:
        words.run("serving_default", text=text)
    assert words_of_the_error in str(caught.value)


def test_what_the_graph_refuses_has_tensorflows_code(numbers):
    with pytest.raises(TensorFlowError, match=r"indices\[0\] = 7 is not in \[0, 2\)") as caught:
        numbers.run("choose", x=[7])
    assert caught.value.code == "INVALID_ARGUMENT"
    assert numbers.run("choose", x=[1])["y"] == [2.0]  # and the session lives on


def test_xla_is_off_as_in_tensorflow_serving(tiny_models):
    with (
        Session(tiny_models / "compiled" / "1") as session,
        pytest.raises(TensorFlowError, match="XLA compilation disabled"),
    ):
        session.run("serving_default", x=[1.0])


def test_ops_of_tensorflow_text_are_loaded_on_demand(tiny_models):
    with Session(tiny_models / "text" / "1") as session:
        assert session.run("serving_default", text=["STRASSE"])["folded"].tolist() == [b"strasse"]


def test_many_threads_get_their_own_answers(words):
    def length(number: int) -> float:
        return float(words.run("length", text=["x" * number])["length"][0])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(length, range(400))) == list(range(400))


def test_answers_own_their_memory(words):
    first = words.run("length", text=["abc"])["length"]
    for _ in range(50):
        words.run("length", text=["longer text"])
    assert first.tolist() == [3.0]


def test_memory_does_not_grow_with_requests(words):
    def resident_megabytes() -> float:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 1e6

    if not pathlib.Path("/proc/self/statm").exists():
        pytest.skip("memory is measured through /proc, which this system lacks")
    texts = ["x" * 10_000] * 20
    for _ in range(200):
        words.run("serving_default", text=texts)
    before = resident_megabytes()
    for _ in range(600):
        words.run("serving_default", text=texts)  # 120 MB in, 120 MB out
    assert resident_megabytes() - before < 20


def test_close_waits_for_running_requests_and_refuses_new_ones(tiny_models):
    session = Session(tiny_models / "words" / "1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.run, "slow", text=["ab"])
        while not session._running and not running.done():
            time.sleep(0.001)
        session.close()
        assert running.result()["length"].tolist() == [2.0]
    session.close()
    with pytest.raises(UserError, match="closed"):
        session.run("length", text=["a"])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no SavedModel there.*Received: folder="):
        Session(tmp_path)


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\xff\xff\xff\x7fnothing")
    with pytest.raises(UserError, match="is damaged"):
        Session(tmp_path)


def test_a_model_without_its_variables_is_refused(tiny_models, tmp_path):
    source = tiny_models / "words" / "1" / "saved_model.pb"
    (tmp_path / "saved_model.pb").write_bytes(source.read_bytes())
    with pytest.raises(UserError, match=r"variables\.index"):
        Session(tmp_path)


def test_a_model_with_damaged_variables_is_refused(tiny_models, tmp_path):
    shutil.copytree(tiny_models / "words" / "1", tmp_path / "1")
    index = tmp_path / "1" / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(TensorFlowError, match="cannot load the model"):
        Session(tmp_path / "1")


def test_a_model_with_another_tag_is_refused(tmp_path):
    # SavedModel.meta_graphs[0].meta_info_def.tags = ["train"]
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\x09\x0a\x07\x22\x05train")
    with pytest.raises(UserError, match=r"no graph tagged 'serve'.*\['train'\]"):
        Session(tmp_path)


def test_a_folder_without_tensorflow_is_refused(tiny_models, tmp_path):
    with pytest.raises(UserError, match="library_folder="):
        Session(tiny_models / "words" / "1", library_folder=tmp_path)


def test_zero_threads_are_refused(tiny_models):
    with pytest.raises(UserError, match="Received: threads=0"):
        Session(tiny_models / "words" / "1", threads=0)
