import json

import pytest


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    """A SavedModel and a TFLite file of the classifier, and what the command printed."""
    import contextlib
    import io

    from tfzoo.cli.main import main

    out = tmp_path_factory.mktemp("exports")
    printed = io.StringIO()
    chosen = ["--precision=int8", "--form=token_ids", "--licence=MIT"]
    with contextlib.redirect_stdout(printed):
        code = main(["export", str(models / "classifier"), str(out), "--name=tiny", *chosen])
    assert code == 0
    return out / "tiny", printed.getvalue()


@pytest.mark.slow
def test_both_formats_are_written_with_their_reports(exported):
    folder, printed = exported
    for version, kind in ((folder / "1", "savedmodel"), (folder / "tflite" / "1", "tflite")):
        assert f"{kind}: " in printed
        assert str(version) in printed
        assert all(one["passed"] for one in json.loads((version / "report.json").read_text()))
        assert "MIT" in (version / "README.md").read_text()
    assert "MISS" not in printed


@pytest.mark.slow
def test_what_was_exported_can_be_shown(run, exported):
    folder, _ = exported
    for path in (folder, folder / "1"):
        code, out, err = run("show", path)
        assert (code, err) == (0, "")
        assert "serving_default" in out
        assert "Verified: 1: passed" in out or "passed" in out


@pytest.mark.slow
def test_what_was_exported_verifies_again(run, exported, models):
    folder, _ = exported
    code, out, err = run("verify", folder / "1", "--model", models / "classifier", "--json")
    assert code == 0, err
    assert all(check["passed"] for check in json.loads(out)[0]["checks"])
    code, out, _ = run("verify", folder / "tflite" / "1", "--model", models / "classifier")
    assert (code, "ok" in out) == (0, True)


@pytest.mark.slow
def test_an_export_of_another_model_does_not_verify(run, exported, tmp_path, models):
    from tests.tasks import tiny
    from tfzoo.tasks import folder
    from tfzoo.tasks.classification import Classification

    model = tiny.model(head="classification", num_labels=3)
    model.trainable_variables[0].assign(model.trainable_variables[0] * 2)
    folder.save(Classification(model, tiny.tokenizer(), ("x", "y", "z")), tmp_path / "other")
    code, out, err = run("verify", exported[0] / "1", "--model", tmp_path / "other")
    assert (code, out) == (1, "")
    assert "does not verify: it was left as it is" in err
    assert (exported[0] / "1" / "saved_model.pb").exists()
