"""`tfzoo prepare` prepares, says how much there is, and refuses in one line."""

import pathlib

import pytest

from tests.tasks.tiny import tokenizer
from tfzoo.data import records

CONFIGS = pathlib.Path(__file__).parents[2] / "configs" / "prepare"


@pytest.fixture
def arguments(tmp_path):
    tokenizer().save(tmp_path / "tokenizer")
    (tmp_path / "in.txt").write_text("a b c.\n\na b.\n\na b c.\n")
    settings = [f"inputs=[{tmp_path / 'in.txt'}]", f"tokenizer={tmp_path / 'tokenizer'}"]
    out = tmp_path / "out"
    return ["prepare", f"--config={CONFIGS / 'text.yaml'}", f"--output={out}", "--set", *settings]


def test_texts_are_prepared_from_a_config(run, arguments, tmp_path):
    code, said, _ = run(*arguments, "evaluation_share=0.0", "train_shards=2")
    assert code == 0
    assert said.splitlines()[2].split() == ["train", "2", "2", "2", "7", "10"]
    assert "3 documents read; dropped: 1 that were there already, 0 too short" in said
    assert said.splitlines()[-1] == f"Written: {tmp_path / 'out'}"
    assert len(records.read(tmp_path / "out")) == 2
    _, said, _ = run(*arguments, "evaluation_share=0.0", "train_shards=2")
    assert said.splitlines()[-1] == f"Nothing to do, it is there: {tmp_path / 'out'}"


@pytest.mark.parametrize(
    "change", ["seed=no", "sead=1", "inputs=[]", "inputs=[no.txt]", "tokenizer=no", "heading=x"]
)
def test_a_mistake_is_one_line(run, arguments, tmp_path, change):
    code, _, err = run(*arguments, change)
    assert (code, err.count("\n")) == (2, 1), err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [path.name for path in CONFIGS.glob("*.yaml")])
def test_every_config_is_read_and_says_what_it_takes(run, arguments, name):
    path = CONFIGS / name
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert "MB/s" in " ".join(head) and "cores" in " ".join(head)
    arguments[1] = f"--config={path}"
    code, _, err = run(*arguments, "evaluation_share=0.0", "min_characters=1")
    assert code == 0, err
