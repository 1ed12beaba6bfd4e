import pytest

from tfzoo.cli import bench


@pytest.mark.parametrize("name", bench.BENCHMARKS)
def test_every_benchmark_has_help(run, name):
    code, out, _ = run("bench", name, "--help")
    assert code == 0
    assert f"usage: tfzoo bench {name}" in out


def test_a_mistake_is_one_line(run, tmp_path):
    for arguments in (
        ["tokenizer"],
        ["tokenizer", "--tokenizer=x", f"--file={tmp_path / 'none'}"],
        ["encoder", "--rounds=many"],
        ["encoder", "--only=keras"],
        ["training", "--only=keras"],
    ):
        code, _, err = run("bench", *arguments)
        assert (code, err.count("\n")) == (2, 1), err
