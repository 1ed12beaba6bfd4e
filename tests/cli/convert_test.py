import json

from tests.cli.predict_test import answers


def test_there_and_back_again_gives_the_same_answers(run, models, tmp_path):
    code, out, err = run("convert", models / "classifier", f"hf:{tmp_path / 'hf'}")
    assert (code, out) == (0, f"Written: {tmp_path / 'hf'}\n"), err
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["model_type"] == "bert"
    assert run("convert", f"hf:{tmp_path / 'hf'}", tmp_path / "back")[0] == 0
    before, after = (answers(run, f, "a b") for f in (models / "classifier", tmp_path / "back"))
    assert before == after
