"""The comparison of training steps: its arithmetic, its table, and one real turn."""

import json

import pytest

from tfzoo.cli import bench_training
from tfzoo.core.errors import UserError


def test_operations_of_a_step_are_three_times_those_of_the_products_forward():
    tokens = 16 * 128
    block = 2 * tokens * 12 * 512 * 512 + 2 * 2 * 16 * 128 * 128 * 512
    assert bench_training.flops("bert", 16, 128) == 3 * 4 * block
    tokens = 8 * 256
    block = 2 * tokens * 12 * 384 * 384 + 2 * 2 * 8 * 256 * 256 * 384
    scores = 2 * tokens * 384 * 50_257
    assert bench_training.flops("gpt", 8, 256) == 3 * (6 * block + scores)


def test_the_table_compares_with_the_better_of_ours():
    seconds = {
        ("tfzoo_bert", 16, 128): [10.0, 8.0],
        ("tfzoo_xla_bert", 16, 128): [7.0, 9.0],
        ("torch_bert", 16, 128): [21.0, 28.0],
        ("torch_gpt", 8, 256): [9.0],
    }
    rows = {row["contestant"]: row for row in bench_training.rows(seconds)}
    assert rows["torch_bert"]["times_ours"] == 3.0
    assert rows["tfzoo_xla_bert"]["times_ours"] == 1.0
    assert rows["torch_bert"]["best_ms"] == 21_000 / bench_training.STEPS
    assert rows["torch_gpt"]["times_ours"] is None


def test_an_unknown_contestant_is_refused():
    with pytest.raises(UserError, match="keras_hub_jit_gpt"):
        bench_training.run(["--only=keras"])


@pytest.mark.slow
def test_a_turn_gives_figures(capsys):
    names = "tfzoo_bert,matmul_bert"
    assert bench_training.run([f"--only={names}", "--rounds=1", "--repeats=1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["contestant"] for row in rows} == set(names.split(","))
    assert all(row["best_ms"] > 0 for row in rows)
