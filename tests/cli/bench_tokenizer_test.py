"""The measurement of tokenizers runs and says what it measured."""

import sys

import pytest

from tfzoo.cli import bench_tokenizer
from tfzoo.core.errors import UserError
from tfzoo.text.byte_level_bpe import ByteLevelBPE
from tfzoo.text.gpt_bpe import GptBPE
from tfzoo.text.wordpiece import WordPiece

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat")


def test_texts_are_needed():
    with pytest.raises(UserError, match="none"):
        bench_tokenizer.run([], WordPiece(VOCABULARY))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match="pip install tokenizers"):
        bench_tokenizer.run(["the cat"], WordPiece(VOCABULARY))


@pytest.mark.parity
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_other_kinds_are_measured_too(padding_side):
    pytest.importorskip("tokenizers")
    for made in (
        GptBPE(["<unk>", "a</w>"], [], padding_side=padding_side),
        ByteLevelBPE(["a", "Ġ", "Ġa"], [("Ġ", "a")], padding_side=padding_side),
    ):
        rows = bench_tokenizer.run(["a", "a a"], made, batch_sizes=(2,), rounds=1, max_length=8)
        assert all(row.sentences_per_second > 0 for row in rows)


def test_a_tokenizer_that_tokenizers_lacks_is_named(monkeypatch):
    pytest.importorskip("tokenizers")
    made = WordPiece(VOCABULARY)
    monkeypatch.setattr(type(made), "save", lambda self, folder: None)
    with pytest.raises(UserError, match="Received: WordPiece"):
        bench_tokenizer.run(["the cat"], made)


@pytest.mark.parity
def test_every_contestant_has_a_rate_for_every_batch_size():
    pytest.importorskip("tokenizers")
    texts = ["the cat"] * 40
    rows = bench_tokenizer.run(texts, WordPiece(VOCABULARY), batch_sizes=(16, 1), rounds=1)
    assert [row.batch_size for row in rows] == [16] * 5 + [1] * 5
    assert len({row.name for row in rows}) == 5
    assert all(row.sentences_per_second > 0 for row in rows)
