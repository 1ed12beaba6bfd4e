"""`tfzoo bench loading`: its figures, and one contestant for real."""

import json

import pytest

from tests.weights import tiny
from tfzoo.cli import bench_loading


def test_the_best_time_and_the_worst_peak_are_shown():
    measured = [("tfzoo", 2.0, 110), ("keras_hub", 9.0, 400), ("tfzoo", 1.5, 130)]
    ours, theirs = bench_loading.rows("gpt2", measured, 100)
    assert ours["contestant"] == "tfzoo"
    assert ours["seconds"] == 1.5
    assert ours["peak_of_file"] == 1.3
    assert theirs["peak_of_file"] == 4.0
    assert ours["model"] == "gpt2 small"


@pytest.mark.slow
def test_a_load_is_timed_and_weighed(tmp_path):
    folder = tiny.write(tmp_path / "bert")
    assert bench_loading.file_bytes(folder) == (folder / "model.safetensors").stat().st_size
    answer = json.loads(bench_loading._child("load", "tfzoo", "bert", str(folder)))
    assert 0 < answer["seconds"] < 60
    assert 0 < answer["peak"] < 1e9


@pytest.mark.slow
def test_a_contestant_that_fails_says_why(tmp_path):
    with pytest.raises(bench_loading.ChildError, match="is not a folder"):
        bench_loading._child("load", "tfzoo", "bert", str(tmp_path / "none"))
