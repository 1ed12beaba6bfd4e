"""Models of SentencePiece, read and written without that library."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.sentencepiece_model import parse, pieces_of, read_unigram, write_unigram

PIECES = [(b"<unk>", 0.0), ("▁a".encode(), -1.5), ("é".encode(), -2.25)]


@pytest.fixture
def model():
    return parse(write_unigram(PIECES, b"map", 0), "model")


def written(tmp_path, model):
    path = tmp_path / "spiece.model"
    path.write_bytes(model.SerializeToString())
    return path


def test_what_is_written_is_read(tmp_path, model):
    read = read_unigram(written(tmp_path, model))
    assert read == (("<unk>", "▁a", "é"), (0.0, -1.5, -2.25), b"map", 0)


def test_what_has_no_field_here_is_kept(model):
    more = model.SerializeToString() + b"\x22\x03abc"  # self_test_data
    assert parse(more, "model").SerializeToString() == more


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b"\xff" + b])
def test_what_is_no_model_is_refused(tmp_path, model, damage):
    path = tmp_path / "spiece.model"
    path.write_bytes(damage(model.SerializeToString()))
    with pytest.raises(UserError, match="expected a SentencePiece model") as caught:
        read_unigram(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name", "value", "match"),
    [
        ("trainer_spec", "model_type", 2, "model_type.*unigram. Received: bpe"),
        ("trainer_spec", "model_type", 4, "Received: char"),
        ("trainer_spec", "treat_whitespace_as_suffix", True, "treat_whitespace_as_suffix"),
        ("trainer_spec", "unk_id", 3, "unk_id"),
        ("normalizer_spec", "add_dummy_prefix", False, "add_dummy_prefix"),
        ("normalizer_spec", "remove_extra_whitespaces", False, "remove_extra_whitespaces"),
        ("normalizer_spec", "escape_whitespaces", False, "escape_whitespaces"),
        ("denormalizer_spec", "precompiled_charsmap", b"x", "denormalizer_spec"),
    ],
)
def test_options_that_t5_has_not_are_refused_by_name(tmp_path, model, spec, name, value, match):
    setattr(getattr(model, spec), name, value)
    path = written(tmp_path, model)
    with pytest.raises(UserError, match=match) as caught:
        read_unigram(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_control_symbols_are_no_text(model):
    model.pieces[1].type = 3
    assert pieces_of(model.SerializeToString()) == ({"<unk>", "▁a", "é"}, {"▁a"})


@pytest.mark.data
def test_real_models_are_read(shared_data):
    read = read_unigram(shared_data("tok-t5") / "spiece.model")
    assert (len(read.pieces), read.pieces[:4]) == (32000, ("<pad>", "</s>", "<unk>", "▁"))
    assert read.scores[3] == -2.0122928619384766 and read.unk_id == 2
    small = read_unigram(shared_data("tok-sentencepiece-small") / "test_model.model")
    assert len(small.pieces) == 1000 and small.unk_id == 0
    with pytest.raises(UserError, match="Received: word"):
        read_unigram(shared_data("tok-kerashub-spm") / "t5_test_vocab.spm")


@pytest.mark.parity
def test_sentencepiece_reads_what_is_written():
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces = [*PIECES, ("▁".encode(), -3.0), (b"a", -4.0)]
    model = sentencepiece.SentencePieceProcessor(model_proto=write_unigram(pieces, b"", 0))
    assert model.encode("aé  a b") == [1, 2, 1, 3, 0]
