"""TFLite files that write, against the live model: good ones pass, damaged and others do not."""

import shutil

import numpy as np
import pytest

from tests.export import tiny_writers
from tfzoo.core.errors import UserError
from tfzoo.export import pipeline, tflite
from tfzoo.export.report import VerificationError
from tfzoo.export.verify import verify
from tfzoo.export.verify_lite_writing import Shares, Truth


def truth(tokens, clear):
    prompt = type("Written", (), {"ids": [tokens]})()
    return Truth(prompt, np.array(clear))


def answer(*tokens):
    return {"token_ids": np.array([tokens]), "lengths": np.array([len(tokens)])}


def test_tokens_count_up_to_the_first_that_is_another():
    found = Shares()
    found.add(truth([1, 2, 3, 4], [True, True, False, True]), answer(1, 2, 9, 9))
    assert (found.all(), found.clear()) == (2 / 3, 1.0)
    found.add(truth([1, 2], [True, True]), answer(9, 2))
    assert (found.all(), found.clear()) == (2 / 4, 2 / 3)
    assert found.check(0.6).passed and not found.check(0.7).passed


def test_without_clear_choices_all_count():
    found = Shares()
    found.add(truth([1, 2], [False, False]), answer(1, 9))
    assert found.clear() == 0.5
    assert not Shares().check(0.1).passed


def test_what_goes_on_behind_the_end_or_is_no_answer_is_wrong():
    found = Shares()
    found.add(truth([1, 2], [True, True]), answer(1, 2, 3))
    assert not found.check(0.5).passed
    found = Shares()
    found.add(truth([1], [True]), answer(1))
    assert found.check(1.0).passed
    found.add(truth([1], [True]), "it crashed")
    assert not found.check(0.5).passed


def test_what_does_not_write_has_no_such_files(tmp_path, tiny_task):
    with pytest.raises(UserError, match="Only language models and encoder-decoders write"):
        tflite.write(tiny_task, tmp_path, ["float32"], ["decode"])


@pytest.mark.slow
def test_another_config_beside_the_file_is_refused(writing, tmp_path):
    copied = shutil.copytree(writing, tmp_path / "copied")
    (copied / "generation_config.json").write_text("{}")
    with pytest.raises(VerificationError, match=r"generation_config.json: another, or none"):
        verify(copied, tiny_writers.task("gpt2"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_file_of_other_weights_is_refused(writing, tmp_path, precision):
    copied = shutil.copytree(writing, tmp_path / "copied")
    shutil.move(copied / "decode.float32.tflite", copied / f"decode.{precision}.tflite")
    other = tiny_writers.task("gpt2")
    random = np.random.default_rng(0)
    for weight in other.model.weights:
        if "kernel" in weight.path:
            weight.assign(random.permutation(np.asarray(weight).ravel()).reshape(weight.shape))
    with pytest.raises(VerificationError, match="wrong" if precision == "float32" else "clear"):
        verify(copied, other)


def exported(folder, family, forms, precisions):
    """The summary of a tiny model with these files."""
    options = {"forms": forms, "precisions": precisions, "prompt_length": 9, "cache_length": 20}
    task = tiny_writers.task(family)
    summary = pipeline.run(task, folder, family, kinds=["tflite"], **options)
    names = [f"{form}.{precision}.tflite" for form in forms for precision in precisions]
    assert [report.artefact for report in summary.reports] == names
    return summary


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny_writers.SIZES)
def test_every_family_writes_what_the_live_model_does(tmp_path, family):
    summary = exported(tmp_path, family, tflite.WRITING, ["float32"])
    for report in summary.reports:
        (check,) = [check for check in report.checks if check.name.startswith("texts")]
        assert check.measured.startswith(("50 of 50 equal", "49 of 50 equal"))
    card = (summary.folders["tflite"] / "README.md").read_text()
    assert "LiteWriter" in card and "token_ids.float32" not in card


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_half_and_quarter_of_the_bits_write_nearly_the_same(tmp_path, family):
    summary = exported(tmp_path, family, ["decode"], ["float16", "int8"])
    sixteen, eight = (report.facts["agreement"] for report in summary.reports)
    assert sixteen["clear_token"] == 1.0 and eight["clear_token"] >= 0.95
