"""Texts to pretrain on, plain or prepared."""

import json
from typing import ClassVar

import pytest

from tests.tasks import pretraining
from tfzoo.core.errors import UserError
from tfzoo.data import prepare
from tfzoo.data.preparation import Preparation
from tfzoo.tasks import language_model
from tfzoo.tasks.texts import TextChoice, Texts, special_id
from tfzoo.text.wordpiece import WordPiece


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(pretraining.write_texts(tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, file):
    folder = tmp_path_factory.mktemp("prepared")
    pretraining.tokenizer().save(folder / "tokenizer")
    how = Preparation((file,), str(folder / "tokenizer"), evaluation_share=0.2, train_shards=2)
    prepare.run(how, folder / "out")
    return str(folder / "out")


def ids(documents):
    """The documents as lists of sentences of ids, sorted."""
    ends = documents.sentence_starts
    bounds = zip(documents.document_starts, documents.document_starts[1:], strict=False)
    return sorted(
        [documents.token_ids[ends[i] : ends[i + 1]].tolist() for i in range(a, b)]
        for a, b in bounds
    )


def test_a_share_of_the_documents_is_kept_for_evaluation(file):
    texts = Texts(TextChoice(file, evaluate_share=0.3))
    train, evaluate = texts.documents(pretraining.tokenizer())
    different = len(set(pretraining.documents()))
    assert len(train) + len(evaluate) >= different
    assert 4 < len(evaluate) < 20
    # Equal documents stand on one side.
    assert not {str(d) for d in ids(train)} & {str(d) for d in ids(evaluate)}
    assert len(texts.texts()) == len(train.sentence_starts) - 1


def test_evaluation_texts_of_their_own_are_used_whole(tmp_path, file):
    (tmp_path / "a.txt").write_text("The cat.\n\nThe dog. The bird.")
    texts = Texts(TextChoice(file, evaluate=str(tmp_path / "a.txt")))
    train, evaluate = texts.documents(pretraining.tokenizer())
    assert (len(train), len(evaluate)) == (40, 2)
    assert len(evaluate.sentence_starts) == 4
    assert evaluate.characters == len("The cat.The dog. The bird.")


def test_json_lines_and_lines_are_documents_too(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"body": f"cat {i}"}) + "\n" for i in "ab")
    )
    choice = TextChoice(str(tmp_path / "a.jsonl"), str(tmp_path / "a.jsonl"), text_key="body")
    assert Texts(choice).texts() == ["cat a", "cat b"]
    (tmp_path / "a.txt").write_text("cat a\ncat b\ncat c\n")
    choice = TextChoice((str(tmp_path / "a.txt"),), str(tmp_path / "a.txt"), documents="line")
    assert len(Texts(choice).texts()) == 3


def test_prepared_documents_are_those_of_the_plain_texts(file, prepared):
    tokenizer = pretraining.tokenizer()
    ours = Texts(TextChoice(prepared))
    found = [d for side in ours.documents(tokenizer) for d in ids(side)]
    plain = Texts(TextChoice(file, evaluate_share=0.5)).documents(tokenizer)
    # `tfzoo prepare` leaves out documents that came before.
    different = {str(d): d for side in plain for d in ids(side)}
    assert sorted(found) == sorted(different.values())
    characters = sum(len(text) for text in set(pretraining.documents()))
    assert sum(side.characters for side in ours.documents(tokenizer)) == characters


def test_prepared_documents_name_their_tokenizer(prepared):
    texts = Texts(TextChoice(prepared))
    assert texts.tokenizer == f"{prepared}/tokenizer"
    with pytest.raises(UserError, match=r"leave model\.tokenizer out"):
        texts.texts()


def test_another_tokenizer_than_the_prepared_one_is_refused(prepared):
    other = WordPiece([*pretraining.VOCABULARY, "more"])
    with pytest.raises(UserError, match=r"another tokenizer.*Received: 29 and 30 tokens"):
        Texts(TextChoice(prepared)).documents(other)


def test_a_prepared_folder_is_not_scored_on_plain_texts(file, prepared):
    with pytest.raises(
        UserError, match=r"data\.texts\.evaluate must be a folder of `tfzoo prepare"
    ):
        Texts(TextChoice(prepared, evaluate=file))
    train, evaluate = Texts(TextChoice(prepared, prepared)).documents(pretraining.tokenizer())
    assert train.fingerprint() == evaluate.fingerprint()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_other_texts_have_another_fingerprint(tmp_path, file, prepared, is_prepared):
    one = Texts(TextChoice(prepared if is_prepared else file))
    assert one.fingerprint() == Texts(TextChoice(prepared if is_prepared else file)).fingerprint()
    (tmp_path / "a.txt").write_text("\n\n".join([*pretraining.documents(), "the end."]))
    assert one.fingerprint() != Texts(TextChoice(str(tmp_path / "a.txt"))).fingerprint()


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("one document.", {}, r"Too few different documents.*Received: 1 documents"),
        ("  \n\n ", {}, "no texts in them"),
    ],
)
def test_texts_of_which_nothing_is_left_are_refused(tmp_path, text, fields, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        Texts(TextChoice(str(tmp_path / "a.txt"), **fields))


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="evaluate_share must be between 0 and 1"):
        TextChoice("a", evaluate_share=share)
    with pytest.raises(UserError, match="heading"):
        TextChoice("a", documents="heading")


def test_a_corpus_says_what_it_read(file):
    corpus = language_model.read(language_model.Data(TextChoice(file)))
    assert corpus.labels is None and corpus.tokenizer is None
    train, evaluate = corpus._texts.documents(pretraining.tokenizer())
    corpus.documents = train, evaluate
    counts = {"tokens": len(train.token_ids), "evaluation_tokens": len(evaluate.token_ids)}
    assert corpus.facts() == counts
    assert corpus.describe() == f"{len(train.token_ids):,} and {len(evaluate.token_ids):,} tokens."


def test_special_tokens_are_found_by_name_or_usual_spelling():
    tokenizer = pretraining.tokenizer()
    assert special_id(tokenizer, "eos", "</s>") == pretraining.EOS
    assert special_id(tokenizer, "mask", "[MASK]") == 5

    class Named:
        vocabulary = ("a", "<end>")
        vocab_size = 2
        named_tokens: ClassVar = {"eos_token": "<end>"}
        id_of = vocabulary.index

    named = Named()
    assert special_id(named, "eos", "</s>") == 1
    with pytest.raises(UserError, match=r"needs a token \[MASK\].*none among its 2 tokens"):
        special_id(named, "mask", "[MASK]")
