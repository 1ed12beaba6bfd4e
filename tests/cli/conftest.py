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
    """A folder of model folders: `classifier`, `pairs`, `encoder`, `decoder`, `translator`."""
    import tfzoo
    from tests.tasks import tiny
    from tfzoo.tasks import folder
    from tfzoo.tasks.classification import Classification
    from tfzoo.tasks.embedding import Embedding
    from tfzoo.tasks.language_model import LanguageModel
    from tfzoo.tasks.sequence_to_sequence import SequenceToSequence
    from tfzoo.testing.values import fill

    out = tmp_path_factory.mktemp("models")
    for name, options in {"classifier": {}, "pairs": {"pairs": True}}.items():
        model = tiny.model(head="classification", num_labels=3)
        task = Classification(model, tiny.tokenizer(), ("x", "y", "z"), max_length=12, **options)
        folder.save(task, out / name)
    folder.save(Embedding(tiny.model(), tiny.tokenizer(), max_length=12), out / "encoder")
    sizes = {"vocab_size": len(tiny.VOCABULARY), "width": 8, "max_length": 12}
    decoder = tfzoo.build("gpt2", num_layers=1, num_heads=2, bos_id=4, **sizes)
    sides = ("encoder", "decoder")
    sizes |= {f"num_{side}_{what}": 1 for side in sides for what in ("layers", "heads")}
    sizes |= {f"{side}_feed_forward_dim": 8 for side in sides}
    translator = tfzoo.build("bart", head="conditional_generation", **sizes)
    fill(decoder)
    fill(translator)
    folder.save(LanguageModel(decoder, tiny.tokenizer()), out / "decoder")
    folder.save(SequenceToSequence(translator, tiny.tokenizer()), out / "translator")
    return out


@pytest.fixture
def labelled(tmp_path) -> pathlib.Path:
    """A TSV file of 12 rows with the labels x, y, z."""
    rows = [f"{'abc'[i % 3]} b é\t{'xyz'[i % 3]}" for i in range(12)]
    path = tmp_path / "rows.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path
