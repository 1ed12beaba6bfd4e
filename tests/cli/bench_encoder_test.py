"""The comparison of encoders: its arithmetic, its table, and one real turn."""

import json

import pytest

from tfzoo.cli import bench_encoder
from tfzoo.core.errors import UserError


def test_operations_of_bert_base_are_counted_as_published():
    # 85,054,464 weights in the kernels of 12 layers less biases and norms, two operations each a
    # token, and the two products of the attention.
    kernels = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert kernels == 84_934_656
    attention = 12 * 2 * 2 * 8 * 128 * 128 * 768
    assert bench_encoder.flops("base", 8, 128) == 2 * 1024 * kernels + attention


def test_an_unknown_contestant_is_refused():
    with pytest.raises(UserError, match="keras_hub_jit"):
        bench_encoder.run(["--only=keras"])


def test_the_table_compares_each_size_with_our_own_model():
    seconds = {("tfzoo", 1, 128): [0.2, 0.1], ("torch", 1, 128): [0.4, 0.3]}
    rows = {row["contestant"]: row for row in bench_encoder.rows(seconds)}
    assert rows["torch"]["times_ours"] == 3.0
    assert rows["torch"]["median_ms"] == 350.0
    assert rows["tfzoo"]["times_ours"] == 1.0


@pytest.mark.slow
def test_a_turn_of_the_small_model_gives_figures(capsys):
    names = "tfzoo_minilm,litert_int8"
    assert bench_encoder.run([f"--only={names}", "--rounds=1", "--repeats=1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["contestant"] for row in rows} == set(names.split(","))
    assert all(row["best_ms"] > 0 for row in rows)
