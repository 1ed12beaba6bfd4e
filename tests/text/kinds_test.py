"""Which tokenizer a folder holds."""

import json

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text import kinds
from tfzoo.text.byte_level_bpe import ByteLevelBPE
from tfzoo.text.gpt_bpe import GptBPE
from tfzoo.text.wordpiece import WordPiece


def saved(folder, byte_level):
    made = {
        "wordpiece": WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]),
        "byte_level_bpe": ByteLevelBPE(*byte_level),
        "gpt_bpe": GptBPE(["<unk>", "a</w>"], []),
    }
    for name, tokenizer in made.items():
        tokenizer.save(folder / name)
    return made


@pytest.mark.parametrize("without", ["", "vocab.txt", "tokenizer.json"])
def test_saved_folders_are_found_by_their_files(tmp_path, byte_level, without):
    for name, tokenizer in saved(tmp_path, byte_level).items():
        (tmp_path / name / (without or "none")).unlink(missing_ok=True)
        assert kinds.find(tmp_path / name) == name
        if without != "tokenizer.json":  # What is left says not all that was saved.
            assert type(kinds.load(tmp_path / name)) is type(tokenizer)


def test_two_files_say_it_by_the_ends_of_words(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "a</w>": 1}))
    assert kinds.find(tmp_path) == "gpt_bpe"
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0}))
    assert kinds.find(tmp_path) == "byte_level_bpe"


@pytest.mark.parametrize(
    ("name", "kind"), [("spiece.model", "sentencepiece"), ("source.spm", "marian")]
)
def test_sentencepiece_models_are_told_by_name(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert kinds.find(tmp_path) == kind


def test_a_tfzoo_folder_says_its_kind(tmp_path):
    (tmp_path / "config.json").write_text('{"tokenizer": "marian"}')
    assert kinds.find(tmp_path) == "marian"


def test_folders_and_kinds_that_are_not_known_are_refused(tmp_path):
    with pytest.raises(UserError, match="Received: none"):
        kinds.find(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordLevel"}}')
    with pytest.raises(UserError, match="Received: WordLevel"):
        kinds.find(tmp_path)
    with pytest.raises(UserError, match="gpt_bp"):
        kinds.class_of("gpt_bp")
    assert kinds.class_of("gpt_bpe") is GptBPE


@pytest.mark.parametrize(
    "content", ['{"model": {"type": "BPE"}}', '{"model": {"type": "BPE", "merges": [5]}}']
)
def test_files_of_another_build_are_one_line(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(UserError, match="not built as a byte_level_bpe tokenizer's are") as caught:
        kinds.load(tmp_path)
    assert "\n" not in str(caught.value)
