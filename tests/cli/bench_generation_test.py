"""The comparison of written tokens: its arithmetic, its table, and one real turn."""

import json

import pytest

from tfzoo.cli import bench_generation
from tfzoo.core.errors import UserError


def test_the_bytes_of_a_token_are_those_of_the_weights_without_the_positions():
    sizes = {"num_layers": 12, "num_heads": 12, "width": 768, "max_length": 1024}
    assert bench_generation.weight_bytes() == 4 * (124_439_808 - 1024 * 768)
    assert sizes == {
        "num_layers": bench_generation.LAYERS,
        "num_heads": bench_generation.HEADS,
        "width": bench_generation.WIDTH,
        "max_length": bench_generation.POSITIONS,
    }


def test_the_table_is_by_the_step_and_compares_with_ours():
    seconds = {
        ("tfzoo", 1, 64): [0.64, 0.96],
        ("torch", 1, 64): [1.28, 1.92],
        ("torch", 8, 64): [6.4],
        ("tfzoo", 8, 64): [3.2],
    }
    rows = {(row["contestant"], row["batch"]): row for row in bench_generation.rows(seconds)}
    assert rows["tfzoo", 1]["best_ms"] == 10.0
    assert rows["tfzoo", 1]["median_ms"] == 12.5
    assert rows["torch", 1]["times_ours"] == 2.0
    assert rows["torch", 8]["tokens_s"] == 80.0
    assert rows["torch", 8]["times_ours"] == 2.0


def test_an_unknown_contestant_is_refused():
    with pytest.raises(UserError, match="keras_hub_jit"):
        bench_generation.run(["--only=keras"])


@pytest.mark.slow
def test_a_turn_gives_figures(capsys):
    assert bench_generation.run(["--only=tfzoo,bandwidth", "--rounds=1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["contestant"] for row in rows} == {"tfzoo", "bandwidth"}
    assert all(row["best_ms"] > 0 for row in rows)
