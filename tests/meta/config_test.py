"""Every experiment in configs/ parses strictly, builds a small model and takes a step."""

import pathlib

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
VOCABULARIES = ROOT / "configs" / "vocabularies"  # Tested in tests/text/train_vocabulary_test.py.
CONFIGS = {
    path.relative_to(ROOT).as_posix(): path
    for path in ROOT.glob("configs/**/*.yaml")
    if path.parent != VOCABULARIES
}

SMALL = (
    "model.load=null",
    "model.variant=null",
    "model.tokenizer=null",
    "model.vocab_size=60",
    "model.fields={num_layers: 1, num_heads: 2, width: 8, feed_forward_dim: 16, max_length: 512}",
    "train.duration=1 steps",
    "train.batch_size=4",
    "train.evaluate_every=1 steps",
    "train.checkpoint_every=1 steps",
    "train.strategy=default",
)


def rows(path, data):
    """A TSV of the columns that an experiment reads."""
    columns = [data.get("text", "text"), data.get("label", "label"), data.get("pair")]
    names = [name for name in columns if name is not None]
    lines = [["the film was good", "1", "so it was"], ["the film was bad", "0", "so it was"]]
    if any(isinstance(name, int) for name in names):
        width = max(names) + 1
        cells = [["x"] * width for _ in lines]
        for cell, line in zip(cells, lines, strict=True):
            for name, value in zip(names, line, strict=False):
                cell[name] = value
        header = []
    else:
        cells, header = [line[: len(names)] for line in lines], [names]
    table = header + cells * 4
    path.write_text("\n".join("\t".join(map(str, row)) for row in table) + "\n")


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_says_what_it_is(name):
    head = [line for line in CONFIGS[name].read_text().splitlines() if line.startswith("#")]
    text = " ".join(line.lstrip("# ") for line in head)
    assert f"tfzoo train --config={name}" in text, "its command"
    assert "score" in text.lower() or "accuracy" in text.lower(), "its measured score"
    assert "min" in text, "its time"


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_parses_and_takes_a_step(name, tmp_path):
    from tfzoo.train import run as training

    data = yaml.safe_load(CONFIGS[name].read_text())["data"]
    rows(tmp_path / "rows.tsv", data)
    files = [f"data.{key}={tmp_path / 'rows.tsv'}" for key in ("train", "evaluate")]
    experiment = training.read(CONFIGS[name], [*SMALL, *files])
    summary = training.run(experiment, tmp_path / "run")
    assert summary["steps"] == 1


def test_there_are_experiments_of_every_family():
    families = {path.parent.name for path in CONFIGS.values()}
    assert families == {
        path.name for path in (ROOT / "configs").iterdir() if path.is_dir() and path != VOCABULARIES
    }
    assert families
