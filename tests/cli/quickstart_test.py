"""Its parts; the whole is run by tests/meta/readme_test.py."""

import dataclasses

import pytest

from tfzoo.cli import quickstart
from tfzoo.core import config
from tfzoo.core.experiment import check
from tfzoo.data.docstrings import Sentence
from tfzoo.tasks.classification import Data

TEXTS = {
    "matplotlib": "Draw a line in the given colour between two points of the axes.",
    "scikit-learn": "Fit the estimator to the training data and return it.",
    "scipy": "Compute the roots of a polynomial by iteration.",
    "tensorflow": "Run the graph on a device that was given by its name.",
}


@pytest.fixture
def parts():
    rows = [Sentence(text, label, "m.py") for label, text in TEXTS.items()]
    return {"train": rows * 5, "validation": rows, "test": rows * 2}


def test_the_experiment_is_one_that_a_yaml_file_could_hold(tmp_path):
    experiment = quickstart.experiment(tmp_path)
    assert check(config.to_dict(experiment), Data) == experiment


def test_the_baseline_learns_what_words_tell(parts, capsys):
    report = quickstart._baseline(parts)
    assert report.accuracy == 1.0
    assert capsys.readouterr().out.startswith("\n2/7  A baseline")


def test_a_folder_of_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    code, out, err = run("quickstart", f"--folder={tmp_path}")
    assert (code, out) == (2, "")
    assert "Received: thesis.tex" in err
    code, _, err = run("quickstart", f"--folder={tmp_path / 'thesis.tex'}")
    assert (code, "Received: a file" in err) == (2, True)


def test_the_table_says_who_is_ahead(parts, capsys, tmp_path):
    better = quickstart._baseline(parts)
    worse = dataclasses.replace(better, accuracy=0.5, confusion=[[500, 500], [0, 0]])
    near = dataclasses.replace(worse, accuracy=0.51)

    class Found:
        folders = {"savedmodel": tmp_path / "1"}

    quickstart._summarize(tmp_path, 1_000_000, better, worse, Found)
    assert "The baseline is ahead by 0.500.\n" in capsys.readouterr().out
    quickstart._summarize(tmp_path, 1_000_000, worse, better, Found)
    assert "BERT is ahead by 0.500.\n" in capsys.readouterr().out
    quickstart._summarize(tmp_path, 1_000_000, worse, near, Found)
    assert "by 0.010, which 1,000 sentences cannot tell from chance" in capsys.readouterr().out
