"""The model card: its command is what a server answers, its answer the live model's."""

import json
import re
import shlex

import pytest

from tests.export import tiny_tasks
from tfzoo.export import card
from tfzoo.export.golden import Goldens
from tfzoo.export.report import Check, Report
from tfzoo.export.session import Session

REPORT = Report("SavedModel", (Check("a|b", True, "1", "2"),), {"bytes": 2e6, "weight_bytes": 1e6})


@pytest.fixture
def text(exported):
    return (exported.folders["savedmodel"] / card.FILE).read_text(encoding="utf-8")


def test_it_names_what_the_model_is(text):
    assert text.startswith("# tiny\n")
    assert "| Labels | bad, good, odd |" in text.replace("`", "")
    assert "| Licence of the weights | Apache-2.0 |" in text
    assert "| Architecture | Bert, 4,851 parameters |" in text
    assert "WordPiece, 116 entries, lowers letters" in text


def test_the_request_it_shows_has_the_answer_it_shows(text, exported):
    *_, data, url = shlex.split(re.search(r"```sh\n(.*)\n```", text)[1])
    assert url == "http://localhost:8501/v1/models/tiny:predict"
    (instance,) = json.loads(data)["instances"]
    shown = json.loads(re.search(r"```json\n(.*?)\n```", text, re.S)[1])
    with Session(exported.folders["savedmodel"]) as session:
        found = session.run("serving_default", text=[instance["text"]])
    assert shown["label"] == found["label"][0].decode()
    assert shown["scores"] == pytest.approx(found["scores"][0].tolist(), abs=1e-5)


def test_it_holds_the_verification(text, exported):
    for check in exported.reports[0].checks:
        assert f"| {check.name} | {check.measured} |" in text


def test_a_licence_that_nobody_gave_is_unknown(tmp_path, tiny_task):
    example = Goldens(tiny_task)()[0]
    card.write_saved_model(tmp_path, "m", tiny_task, REPORT, example, None)
    text = (tmp_path / card.FILE).read_text(encoding="utf-8")
    assert "| Licence of the weights | unknown; it was not stated at the export |" in text
    assert "| a\\|b | 1 | 2 |" in text


def test_quotes_in_the_text_survive_the_shell(tmp_path, tiny_task):
    example = Goldens(tiny_task, ['it\'s "good"'])()[-1]
    card.write_saved_model(tmp_path, "m", tiny_task, REPORT, example, None)
    text = (tmp_path / card.FILE).read_text(encoding="utf-8")
    *_, data, _ = shlex.split(re.search(r"```sh\n(.*)\n```", text)[1])
    assert json.loads(data)["instances"] == [{"text": 'it\'s "good"'}]


def test_without_tokenizer_it_shows_ids(tmp_path):
    task = tiny_tasks.token_classification(tokenizer=False)
    card.write_saved_model(tmp_path, "m", task, REPORT, Goldens(task)()[0], None)
    text = (tmp_path / card.FILE).read_text(encoding="utf-8")
    assert '{"signature_name": "token_ids", "instances": [{"token_ids": [' in text
    assert "| Tokenizer | none: it takes token ids |" in text


def test_the_lines_of_python_it_shows_run(tmp_path, lite, tiny_task, monkeypatch, capsys):
    example = Goldens(tiny_task)()[0]
    card.write_tflite(tmp_path, "m", tiny_task, [REPORT], example, None)
    text = (tmp_path / card.FILE).read_text(encoding="utf-8")
    monkeypatch.chdir(lite)
    exec(re.search(r"```python\n(.*?)\n```", text, re.S)[1], {})
    assert "scores" in capsys.readouterr().out
