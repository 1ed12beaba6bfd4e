"""Figures are scikit-learn's, and the picture can be read."""

import json

import matplotlib.image
import numpy as np
import pytest

from tfzoo.metrics import classification

TRUE = np.array([0, 0, 0, 1, 1, 2])
FOUND = np.array([0, 0, 1, 1, 1, 0])


@pytest.fixture
def report():
    return classification.report(TRUE, FOUND, ("a", "b", "c", "never"))


def test_figures_are_those_computed_by_hand(report):
    assert report.accuracy == pytest.approx(4 / 6)
    assert report.confusion == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert report.classes["a"] == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "rows": 3}
    )
    assert report.classes["b"]["f1"] == pytest.approx(0.8)
    assert report.classes["c"]["f1"] == 0


def test_a_class_that_never_occurs_does_not_lower_macro_f1(report):
    assert report.macro_f1 == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_the_table_has_a_line_for_each_class(report):
    lines = report.table().splitlines()
    assert len(lines) == 6
    assert lines[1].split() == ["a", "0.667", "0.667", "0.667", "3"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_json_and_picture_are_written(report, tmp_path):
    report.write(tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert classification.Report(**written) == report
    picture = matplotlib.image.imread(tmp_path / "confusion_matrix.png")
    assert min(picture.shape[:2]) > 300


@pytest.mark.parametrize("count", [2, 41, 300])
def test_names_of_any_script_and_any_number_of_classes_are_drawn(tmp_path, count):
    names = tuple(f"{i} 日本語 שלום" for i in range(count))
    report = classification.report(np.arange(count), np.arange(count), names)
    classification.draw_confusion(report, tmp_path / "matrix.png")
    picture = matplotlib.image.imread(tmp_path / "matrix.png")
    assert 300 < max(picture.shape[:2]) < 3000


def test_twenty_classes_and_odd_names_fit(tmp_path):
    names = tuple(f"${i} a rather long name of a class_^{{" for i in range(20))
    found = np.random.default_rng(0).integers(0, 20, 500)
    report = classification.report(np.arange(500) % 20, found, names)
    classification.draw_confusion(report, tmp_path / "matrix.png")
    picture = matplotlib.image.imread(tmp_path / "matrix.png")
    assert min(picture.shape[:2]) > 1000
