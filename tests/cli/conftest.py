"""A tiny classifier in a folder, and the command line called in this process."""

import io
import logging
import pathlib

import pytest

from tfzoo.cli.main import main


@pytest.fixture(autouse=True)
def logging_as_before():
    logger = logging.getLogger("absl")
    before = (logger.handlers, logger.propagate, logger.level)
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture
def run(capsys, monkeypatch):
    """Calls `tfzoo` with arguments; gives exit code, standard output and standard error."""

    def call(*arguments, stdin=b""):
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", _Stdin(stdin))
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


class _Stdin:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> pathlib.Path:
    """A folder of model folders: `classifier`, `pairs`, `encoder`."""
    from tests.tasks import tiny
    from tfzoo.tasks import folder
    from tfzoo.tasks.classification import Classification
    from tfzoo.tasks.embedding import Embedding

    out = tmp_path_factory.mktemp("models")
    for name, options in {"classifier": {}, "pairs": {"pairs": True}}.items():
        model = tiny.model(head="classification", num_labels=3)
        task = Classification(model, tiny.tokenizer(), ("x", "y", "z"), max_length=12, **options)
        folder.save(task, out / name)
    folder.save(Embedding(tiny.model(), tiny.tokenizer(), max_length=12), out / "encoder")
    return out


@pytest.fixture
def labelled(tmp_path) -> pathlib.Path:
    """A TSV file of 12 rows with the labels x, y, z."""
    rows = [f"{'abc'[i % 3]} b é\t{'xyz'[i % 3]}" for i in range(12)]
    path = tmp_path / "rows.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path
