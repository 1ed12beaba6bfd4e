"""The op for unigram models, and which models it must not get."""

import pytest
import tensorflow as tf

from tfzoo.text.fast_unigram import FastUnigram
from tfzoo.text.sentencepiece_model import parse, write_unigram

PIECES = [(b"<unk>", 0.0), ("▁".encode(), -3.0), ("▁a".encode(), -1.5), (b"b", -2.0)]


def model(**options):
    made = parse(write_unigram(PIECES, b"", 0), "model")
    for name, value in options.items():
        setattr(made.trainer_spec, name, value)
    return made


def test_texts_are_cut():
    op = FastUnigram.make(model().SerializeToString())
    found = op(tf.constant(["abb", "", " b  xyb "]))
    assert [[op.pieces[i] for i in row] for row in found.to_list()] == [
        ["▁a", "b", "b"],
        [],
        ["▁", "b", "▁", "<unk>", "b"],
    ]
    assert op.unk_id == 0


@pytest.mark.parametrize(
    "options", [{"model_type": 2}, {"model_type": 4}, {"byte_fallback": True}], ids=str
)
def test_a_model_it_does_not_know_is_not_for_it(options):
    assert FastUnigram.make(model(**options).SerializeToString()) is None


def test_a_model_with_user_defined_symbols_is_not_for_it():
    made = model()
    made.pieces[3].type = 4
    assert FastUnigram.make(made.SerializeToString()) is None


@pytest.mark.parity
@pytest.mark.data
def test_texts_are_cut_as_sentencepiece_does_it(shared_data):
    sentencepiece = pytest.importorskip("sentencepiece")
    small = shared_data("tok-sentencepiece-small")
    texts = (small / "botchan.txt").read_text("utf-8").split("\n")
    texts += ["-" * 99, "e\u0302\u0301", "\u1112\u1161", " ".join(texts[:200]), "\x00 \ufffd\u200b"]
    for path in (shared_data("tok-t5") / "spiece.model", small / "test_model.model"):
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
        found = FastUnigram(path.read_bytes())(tf.constant(texts)).to_list()
        assert found == theirs.encode(texts)
