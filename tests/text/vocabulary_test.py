"""Vocabularies are checked, and trained the same every time."""

import random

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.vocabulary import (
    SPECIAL_TOKENS,
    Vocabulary,
    check_literals,
    count_words,
    train_vocabulary,
)
from tfzoo.text.wordpiece import WordPiece

TEXTS = [
    "The unaffable cat sat on the mat.",
    "Unaffable? The cat, the mat, the CAT!",
    "Café naïve — 中国 über",
] * 3


def test_ids_are_positions():
    assert Vocabulary(["[UNK]", "a"], ["[UNK]"]).id_of("a") == 1


@pytest.mark.parametrize(
    ("tokens", "what"),
    [
        (["[UNK]", ""], "token 1=''"),
        (["[UNK]", "a", "a"], "'a' as tokens 1 and 2"),
        (["a"], r"1 tokens without \[UNK\]"),
        (["[UNK]", 3], "token 1=3"),
    ],
)
def test_a_broken_vocabulary_is_refused(tokens, what):
    with pytest.raises(UserError, match=what):
        Vocabulary(tokens, ["[UNK]"])


def test_an_unknown_token_has_no_id():
    with pytest.raises(UserError, match="'x'"):
        Vocabulary(["a"], []).id_of("x")


@pytest.mark.parametrize("special", [("CLS",), ("<a>", ">b<"), ("[[", "a[")])
def test_special_tokens_that_are_not_to_be_told_apart_are_refused(special):
    with pytest.raises(UserError, match="Received"):
        check_literals(special)


def test_special_tokens_may_be_one_inside_another():
    check_literals(("[MASK]", "[MASK]2", "<s>", "</s>"))


def test_words_are_counted_as_the_tokenizer_cuts_them():
    words = count_words(["It's “É” 中国 it", "x" * 101], True, True, True)
    assert words == {"it": 2, "'": 1, "s": 1, "“": 1, "e": 1, "”": 1, "中": 1, "国": 1}


def test_special_tokens_come_first_then_characters_then_merges():
    vocabulary = train_vocabulary(TEXTS, 60)
    assert vocabulary[:5] == SPECIAL_TOKENS
    assert len(set(vocabulary)) == len(vocabulary) <= 60
    lengths = [len(token.removeprefix("##")) for token in vocabulary[5:]]
    first_merge = next(i for i, n in enumerate(lengths) if n > 1)
    assert min(lengths[first_merge:]) > 1
    assert "the" in vocabulary and "cat" in vocabulary


def test_the_order_of_texts_does_not_matter():
    shuffled = TEXTS[:]
    random.Random(0).shuffle(shuffled)
    assert train_vocabulary(TEXTS, 70) == train_vocabulary(iter(shuffled), 70)


def test_pairs_below_the_minimal_frequency_stay_apart():
    assert "once" not in train_vocabulary(["once the the the"], 100)
    assert "once" in train_vocabulary(["once the the the"], 100, min_frequency=1)


def test_options_are_those_of_the_tokenizer():
    assert "É" in train_vocabulary(["É"], 20, lowercase=False, strip_accents=False)
    assert "é" in train_vocabulary(["É"], 20, strip_accents=False)
    assert "##国" in train_vocabulary(["中国"], 20, split_chinese=False)


def test_rare_characters_make_room():
    vocabulary = train_vocabulary(["aaa bbb c"], 20, max_characters=2)
    assert "c" not in vocabulary and "b" in vocabulary


def test_its_own_texts_have_no_unknown_words():
    vocabulary = train_vocabulary(TEXTS, 90)
    ids = WordPiece(vocabulary).tokenize(TEXTS).flat_values.numpy()
    assert 1 not in ids and len(ids) > 30


@pytest.mark.parametrize(
    ("texts", "size", "what"), [([], 100, "none"), ([" \t"], 100, "none"), (["a"], 5, "size=5")]
)
def test_nothing_to_learn_is_refused(texts, size, what):
    with pytest.raises(UserError, match=what):
        train_vocabulary(texts, size)


def test_texts_must_be_strings():
    with pytest.raises(UserError, match="b'x'"):
        train_vocabulary([b"x"], 100)


@pytest.mark.parity
@pytest.mark.data
def test_it_spells_as_shortly_as_the_trainer_of_hugging_face(shared_data):
    tokenizers = pytest.importorskip("tokenizers")
    lines = (shared_data("data-agnews") / "train_10k.tsv").read_text("utf-8").splitlines()
    other = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    other.normalizer = tokenizers.normalizers.BertNormalizer()
    other.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=4000, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    other.train_from_iterator(lines, trainer)
    theirs = sorted(other.get_vocab(), key=other.get_vocab().get)
    ours = train_vocabulary(lines, 4000)
    assert len(ours) == 4000 and len(set(ours) & set(theirs)) > 3900
    counts = [len(WordPiece(v).tokenize(lines).flat_values) for v in (ours, theirs)]
    assert counts[0] <= 1.002 * counts[1]
