"""Trained vocabularies: what is written loads, and is what the library itself would say."""

import pathlib
import random
import sys

import pytest
import yaml

from tfzoo.core.errors import UserError
from tfzoo.text import kinds, train_vocabulary

ROOT = pathlib.Path(__file__).parents[2]
WORDS = (
    "the cat sat on a mat café naïve 中国 don't it's 123 45 😀 unaffable hello world thing".split()
)


@pytest.fixture
def texts(fuzz):
    return [" ".join(line.split()) for line in fuzz(0, 400, WORDS)]


@pytest.fixture
def values(tmp_path, texts):
    """values(kind, **changes) -> a config's values, on two files of texts."""
    for number in (0, 1):
        lines = [*texts[number::2], "", "  ", "the cat sat on the mat\r"]
        (tmp_path / f"{number}.txt").write_bytes("\n".join(lines).encode())

    def make(kind, **changes):
        return {"kind": kind, "files": [str(tmp_path / "*.txt")], "size": 600} | changes

    return make


def trained(values, folder):
    return train_vocabulary.run(train_vocabulary.read_config(values), folder)


def test_wordpiece_is_trained_here(values, tmp_path):
    made = trained(values("wordpiece", size=300, lowercase=False), tmp_path / "out")
    assert made.vocab_size == 300 and not made.lowercase
    assert "[UNK]" not in {made.vocabulary[i] for i in made.tokenize(["the cat sat"]).to_list()[0]}
    assert kinds.find(tmp_path / "out") == "wordpiece"


@pytest.mark.parity
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "byte_level_bpe"},
        {"kind": "byte_level_bpe", "style": "roberta", "add_prefix_space": True},
        {"kind": "byte_level_bpe", "style": "bloom"},
        {"kind": "gpt_bpe", "max_characters": 100},
    ],
)
def test_what_tokenizers_trains_is_read_alike(values, tmp_path, texts, changes):
    tokenizers = pytest.importorskip("tokenizers")
    made = trained(values(**changes), tmp_path / "out")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
    found = made.tokenize(texts)
    assert found.to_list() == expected
    characters = sum(map(len, texts))
    assert 300 < made.vocab_size <= 600 and found.flat_values.shape[0] < characters
    assert kinds.find(tmp_path / "out") == changes["kind"]


@pytest.mark.parity
def test_what_sentencepiece_trains_is_read_alike(values, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=8)) for _ in range(300)]
    (tmp_path / "words.txt").write_text("\n".join(texts), "utf-8")
    changes = {"files": [str(tmp_path / "words.txt")], "size": 50, "extra_ids": 10}
    made = trained(values("sentencepiece", **changes), tmp_path / "out")
    theirs = sentencepiece.SentencePieceProcessor()
    theirs.LoadFromFile(str(tmp_path / "out" / "spiece.model"))
    assert made.tokenize(texts).to_list() == theirs.encode(texts)
    assert made.vocab_size == 60


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "word_piece"}, "wordpiece"),
        ({"sise": 3}, "size"),
        ({"size": "many"}, "size"),
        ({"size": 0}, "size=0"),
        ({"kind": "byte_level_bpe", "style": "gpt4"}, "gpt4.*gpt2"),
        ({"kind": "byte_level_bpe", "lowercase": True}, "lowercase"),
        ({"kind": "byte_level_bpe", "size": 100}, "257 or more"),
        ({"files": ["none/*.txt"]}, "none"),
        ({"files": []}, "files must name"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(values, tmp_path, changes, match):
    with pytest.raises(UserError, match=match) as caught:
        trained(values("wordpiece") | changes, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt"]


@pytest.mark.parametrize(
    ("kind", "library"), [("gpt_bpe", "tokenizers"), ("sentencepiece", "sentencepiece")]
)
def test_a_missing_library_is_named(values, tmp_path, monkeypatch, kind, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"{library}.*pip install tfzoo\[vocabulary\]"):
        trained(values(kind), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parity
def test_a_size_that_cannot_hold_every_character_is_refused(values, tmp_path):
    pytest.importorskip("tokenizers")
    with pytest.raises(UserError, match=r"every character.*size=600\..*max_characters"):
        trained(values("gpt_bpe"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_without_texts_are_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    values = {"kind": "wordpiece", "files": [str(tmp_path / "empty.txt")], "size": 100}
    with pytest.raises(UserError, match="none in"):
        trained(values, tmp_path / "out")


def test_a_folder_that_is_there_is_left_alone(values, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="does not exist yet"):
        trained(values("wordpiece"), tmp_path / "out")


@pytest.mark.parametrize("kind", train_vocabulary.CONFIGS)
def test_every_kind_has_a_complete_config(kind):
    path = ROOT / "configs" / "vocabularies" / f"{kind}.yaml"
    values = yaml.safe_load(path.read_text())
    config = train_vocabulary.read_config(values)
    assert config.kind == kind and values.keys() == vars(config).keys()
    assert f"tfzoo vocabulary --config=configs/vocabularies/{path.name}" in path.read_text()
