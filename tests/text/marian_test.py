"""Marian: what it does by itself, and that it is transformers' MarianTokenizer in every case."""

import gzip
import json
import random
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.marian import Marian
from tfzoo.text.sentencepiece_model import parse, write_unigram

NAMED = ("</s>", "<unk>")
SOURCE = {"▁": -3.0, "▁the": -2.0, "▁cat": -3.0, "s": -2.5, "a": -3.0, ".": -2.0}
TARGET = {"▁": -3.0, "▁die": -2.0, "▁Katze": -3.0, "n": -2.5, "ö": -3.0, ".": -2.0}
VOCABULARY = (*NAMED, *dict.fromkeys((*SOURCE, *TARGET)), ">>deu<<", "öö", "<pad>")
TEXTS = ["", "the cats.", ">>deu<< the cat", "a</s>the <unk>a", "x öö a", ">>fra<<a<pad> s"]


def model(pieces):
    pairs = [(b"<unk>", 0.0), *((piece.encode(), score) for piece, score in pieces.items())]
    return write_unigram(pairs, b"", 0)


@pytest.fixture(scope="module")
def tokenizer():
    return Marian(VOCABULARY, model(SOURCE), model(TARGET))


def tokens(tokenizer, *texts):
    found = tokenizer.tokenize(list(texts)).to_list()
    return [" ".join(tokenizer.vocabulary[i] for i in row) for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  ", ""),
        ("the  cats.", "▁the ▁cat s ."),
        ("axa", "▁ a <unk> a"),
        ("aöa", "▁ a ö a"),  # As the target's model has it, the vocabulary does.
        ("öö ö xö", "▁ öö ▁ ö ▁ <unk>"),
        (">>deu<<the", ">>deu<< ▁the"),
        (">>fra<< the", "<unk> ▁the"),
        ("a>>xx<<", "▁ a <unk>"),
        (">>deu<<>>xx<<a", ">>deu<< ▁ <unk> a"),
        (">>deu a", "▁ <unk> ▁ a"),
        (">>a\nb<<a", "<unk> ▁ a"),
        ("the</s>>>deu<<a<pad>", "▁the </s> >>deu<< ▁ a <pad>"),
        (" <unk> the", "<unk> ▁the"),
    ],
)
def test_texts_become_tokens(tokenizer, text, expected):
    assert tokens(tokenizer, text) == [expected]


def test_target_texts_go_through_the_other_model(tokenizer):
    assert tokens(tokenizer.target, "die Katze", ">>deu<<ö") == ["▁die ▁Katze", ">>deu<< ▁ ö"]
    assert tokens(tokenizer.target.target, "the cat") == ["▁the ▁cat"]
    assert tokenizer.target.vocabulary == tokenizer.vocabulary


def test_literals_are_text_when_switched_off():
    plain = Marian(VOCABULARY, model(SOURCE), model(TARGET), special_literals=False)
    assert tokens(plain, "a</s>") == ["▁ a <unk> s <unk>"]


def test_rows_have_their_end_and_padding(tokenizer):
    inputs = tokenizer(["the cat", "a"])
    pad = len(VOCABULARY) - 1
    assert inputs["token_ids"].numpy().tolist() == [[3, 4, 0], [2, 6, 0]]
    inputs = tokenizer(["the cat", ""], ["a", "s"], pad_to=6)
    assert inputs["token_ids"].numpy().tolist() == [[3, 4, 2, 6, 0, pad], [2, 5, 0] + [pad] * 3]
    assert inputs["padding_mask"].numpy().tolist() == [[1] * 5 + [0], [1] * 3 + [0] * 3]


def test_ids_become_texts(tokenizer):
    rows = [[3, 4, 5, 7, 0, 3], [1, 2, 2, 6, 0], [0, 8, 99, -1], [0, 2, 8]]
    found = tokenizer.decode(tf.ragged.constant(rows, dtype=tf.int32)).numpy()
    assert [text.decode() for text in found] == [
        "the cats.</s> the", "<unk> a</s>", "</s>  die", "</s>  die",
    ]  # fmt: skip
    found = tokenizer.decode(tf.ragged.constant(rows, dtype=tf.int32), skip_special_tokens=True)
    assert [text.decode() for text in found.numpy()] == ["the cats. the", "a", "die", "die"]
    assert tokenizer.decode([[3, 2, 7]], clean_up=True).numpy().tolist() == [b"the."]


def test_control_symbols_of_the_model_are_no_text():
    source = parse(model({**SOURCE, "<s>": 0.0}), "model")
    source.pieces[-1].type = 3
    vocabulary = (*VOCABULARY, "<s>")
    made = Marian(vocabulary, source.SerializeToString(), model(TARGET))
    assert made.decode([[len(VOCABULARY), 3]]).numpy().tolist() == [b"the"]


def test_bytes_that_are_not_utf_8_count_as_python_replaces_them(tokenizer):
    raw = [b"a\xffa", b">>deu<\xff<a", b"\xe4\xb8a"]
    replaced = [text.decode(errors="replace") for text in raw]
    assert tokenizer.tokenize(raw).to_list() == tokenizer.tokenize(replaced).to_list()


def test_a_saved_model_carries_the_tokenizer(tokenizer, tmp_path):
    texts, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    module = tf.Module()
    module.tokenizer, module.target = tokenizer, tokenizer.target
    signatures = {
        "serving_default": tf.function(
            lambda text: tokenizer(text), input_signature=[texts], autograph=False
        ),
        "target": tf.function(
            lambda text: module.target(text), input_signature=[texts], autograph=False
        ),
        "decode": tf.function(
            lambda ids: {"text": tokenizer.decode(ids)}, input_signature=[ids], autograph=False
        ),
    }
    module.functions = list(signatures.values())
    tf.saved_model.save(module, str(tmp_path), signatures)
    expected = tokenizer(TEXTS)["token_ids"].numpy()
    loaded = tf.saved_model.load(str(tmp_path))  # Its tables live as long as it.
    found = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    assert np.array_equal(found["token_ids"], expected)
    with Session(tmp_path) as session:
        raw = [text.encode() for text in TEXTS]
        assert np.array_equal(session.run("serving_default", text=raw)["token_ids"], expected)
        found = session.run("target", text=[b"die"])["token_ids"]
        assert np.array_equal(found, tokenizer.target(["die"])["token_ids"])
        texts = session.run("decode", ids=expected)["text"].tolist()
    assert texts == tokenizer.decode(expected).numpy().tolist()


def test_it_works_inside_a_dataset(tokenizer):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(4)
    found = [
        row for x in data.map(lambda x: tokenizer(x, pad_to=12)) for row in x["token_ids"].numpy()
    ]
    assert np.array_equal(found, tokenizer(TEXTS, pad_to=12)["token_ids"])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source.spm").write_bytes(model(SOURCE))
    (tmp_path / "target.spm").write_bytes(model(TARGET))
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    (tmp_path / "vocab.json").write_text(json.dumps(ids), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "options", [{}, {"max_length": 99, "special_literals": False,
                     "added_tokens": [AddedToken("öö", special=False, lstrip=True)]}]
)  # fmt: skip
def test_what_is_saved_is_read_again(folder, tmp_path, options):
    saved = Marian.from_folder(folder, **options)
    saved.save(tmp_path / "deep" / "er")
    read = Marian.from_folder(tmp_path / "deep" / "er")
    names = "vocabulary source other special_tokens special_literals max_length frame"
    for name in (*names.split(), "unknown", "end", "padding"):
        assert getattr(read, name) == getattr(saved, name), name
    assert set(read.added_tokens) == set(saved.added_tokens)
    assert read.tokenize(TEXTS).to_list() == saved.tokenize(TEXTS).to_list()


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"Received: none called {name}"):
        Marian.from_folder(folder)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"separate_vocabs": True}, "separate_vocabs"),
        ({"sp_model_kwargs": {"nbest_size": 2}}, "sp_model_kwargs"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class"),
        ({"padding_side": "left"}, "padding_side"),
    ],
)
def test_options_that_are_not_supported_are_refused_by_name(folder, config, match):
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=match) as caught:
        Marian.from_folder(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_models_that_are_none_or_fall_back_to_bytes_are_refused(folder):
    made = parse(model(TARGET), "model")
    made.trainer_spec.byte_fallback = True
    (folder / "target.spm").write_bytes(made.SerializeToString())
    with pytest.raises(UserError, match="byte_fallback"):
        Marian.from_folder(folder)
    (folder / "target.spm").write_bytes(b"none")
    with pytest.raises(UserError, match="expected a SentencePiece model"):
        Marian.from_folder(folder)


# Against transformers, on models that are trained here.


def lines(shared_data):
    """English and German sentences."""
    small = shared_data("tok-sentencepiece-small") / "botchan.txt"
    english = small.read_text("utf-8").split("\n")
    with gzip.open(shared_data("data-multi30k") / "train.de.gz", "rt", encoding="utf-8") as file:
        german = file.read().split("\n")
    return english[:3000], german[:3000]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def trained(request, shared_data, tmp_path_factory):
    """(folder, texts) of a Marian tokenizer with models of a kind."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("marian")
    texts = lines(shared_data)
    pieces = list(NAMED)
    for name, own in zip(("source", "target"), texts, strict=True):
        assert len(own) > 1000
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(own), model_prefix=str(folder / name), vocab_size=800,
            model_type=request.param, character_coverage=0.98, minloglevel=2,
        )  # fmt: skip
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        found = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces += [found.id_to_piece(number) for number in range(3, len(found))]
    pieces = [*dict.fromkeys(pieces), ">>fra<<", "<s>", "中", "<pad>"]
    ids = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(ids), "utf-8")
    (folder / "config.json").write_text('{"model_type": "marian"}')
    odd = ">>fra<<|>>xxx<<|>>|<<|</s>|<unk>|<pad>|<s>| |  |\n|the|and|中|国|▁|é|e\u0301|.|\x01"
    odd = [*odd.split("|"), "\u200b", "\u3000", "der", " und ", "ﬁ", "\x00", "..", "a\x85"]
    chance = random.Random(3)
    texts = [*texts[0], *texts[1], *("".join(chance.choices(odd, k=n % 9)) for n in range(3000))]
    return folder, texts


@pytest.fixture(scope="module")
def hugging_face(trained):
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It recommends sacremoses, which it does not use.
        return transformers.MarianTokenizer.from_pretrained(trained[0])


@pytest.mark.parity
@pytest.mark.data
def test_source_and_target_texts_are_equal(trained, hugging_face):
    folder, texts = trained
    ours = Marian.from_folder(folder)
    end = ours.id_of("</s>")
    expected = hugging_face(texts)["input_ids"]
    found = ours.tokenize(texts).to_list()
    assert [t for t, a, b in zip(texts, found, expected, strict=True) if [*a, end] != b] == []
    expected = hugging_face(text_target=texts)["input_ids"]
    found = ours.target.tokenize(texts).to_list()
    assert [t for t, a, b in zip(texts, found, expected, strict=True) if [*a, end] != b] == []


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("clean_up", [False, True])
def test_decoded_texts_are_equal(trained, hugging_face, skip, clean_up):
    ours = Marian.from_folder(trained[0])
    chance = random.Random(4)
    few = [*map(ours.id_of, ("</s>", "▁", "<unk>", "<pad>", ".", "<s>", ">>fra<<", "中"))]
    rows = [chance.choices(range(ours.vocab_size), k=7) for _ in range(1000)]
    rows += [chance.choices([*few, chance.randrange(ours.vocab_size)], k=7) for _ in range(1000)]
    expected = hugging_face.batch_decode(
        rows, skip_special_tokens=skip, clean_up_tokenization_spaces=clean_up
    )
    found = [text.decode() for text in ours.decode(rows, skip, clean_up).numpy()]
    assert [r for r, a, b in zip(rows, found, expected, strict=True) if a != b] == []


@pytest.mark.parity
@pytest.mark.data
def test_what_is_saved_is_read_by_transformers(trained, hugging_face, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder, texts = trained
    Marian.from_folder(folder).save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "MarianTokenizer" and len(theirs) == len(hugging_face)
    options = {"padding": "max_length", "truncation": True, "max_length": 9}
    expected = hugging_face(texts[:200], **options)
    assert theirs(texts[:200], **options)["input_ids"] == expected["input_ids"]
    found = Marian.from_folder(tmp_path)(texts[:200], max_length=9, pad_to=9)
    assert found["token_ids"].numpy().tolist() == expected["input_ids"]
    assert found["padding_mask"].numpy().tolist() == expected["attention_mask"]
