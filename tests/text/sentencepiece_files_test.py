"""Folders with a T5 tokenizer: read, refused, written."""

import base64
import copy
import json

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text import charsmap
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.sentencepiece import SentencePiece
from tfzoo.text.sentencepiece_model import parse, write_unigram

MAP = charsmap.pack({b"\t": b" ", "é".encode(): b"e"})
PIECES = ("<pad>", "</s>", "<unk>", "▁", "a", "▁a", "e")
SCORES = (0.0, 0.0, 0.0, -2.0, -3.0, -4.25, -3.5)
TEXTS = ["", "a<extra_id_0> aé\t</s>b", "a<my>a"]


def model(unknown=2, **options):
    pairs = [(piece.encode(), score) for piece, score in zip(PIECES, SCORES, strict=True)]
    made = parse(write_unigram(pairs, MAP, unknown), "model")
    for name, value in options.items():
        setattr(made.trainer_spec, name, value)
    return made.SerializeToString()


@pytest.fixture
def spiece(tmp_path):
    (tmp_path / "spiece.model").write_bytes(model())
    return tmp_path


@pytest.fixture
def content(tmp_path_factory):
    """A tokenizer.json of ours, as Python values."""
    out = tmp_path_factory.mktemp("saved")
    (out / "spiece.model").write_bytes(model())
    SentencePiece.from_folder(out, extra_ids=2).save(out)
    return json.loads((out / "tokenizer.json").read_text("utf-8"))


def write(folder, content=None, config=None):
    for name, value in (("tokenizer.json", content), ("tokenizer_config.json", config)):
        if value is not None:
            (folder / name).write_text(json.dumps(value), "utf-8")
    return folder


def changed(content, changes):
    """A copy with `part__key: value` set."""
    content = copy.deepcopy(content)
    for path, value in changes.items():
        *parents, key = path.split("__")
        part = content
        for name in parents:
            part = part[name]
        part[key] = value
    return content


def same(one, other):
    names = "vocabulary scores charsmap special_tokens special_literals max_length unknown end"
    for name in (*names.split(), "padding", "added_tokens", "frame"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.tokenize(TEXTS).to_list() == other.tokenize(TEXTS).to_list()


def test_a_model_gets_its_sentinels(spiece):
    read = SentencePiece.from_folder(spiece)
    assert read.vocab_size == 107 and read.vocabulary[:7] == PIECES
    assert (read.id_of("<extra_id_0>"), read.id_of("<extra_id_99>")) == (106, 7)
    assert read.tokenize(["a<extra_id_0>aé"]).to_list() == [[5, 106, 5, 6]]
    assert len(read.special_tokens) == 103 and read.max_length == 512


@pytest.mark.parametrize("extra_ids", [0, 7])
def test_their_number_is_said_by_the_caller_or_the_files(spiece, extra_ids):
    assert SentencePiece.from_folder(spiece, extra_ids=extra_ids).vocab_size == 7 + extra_ids
    write(spiece, config={"extra_ids": extra_ids, "model_max_length": 99})
    read = SentencePiece.from_folder(spiece)
    assert (read.vocab_size, read.max_length) == (7 + extra_ids, 99)


def test_sentinels_are_only_looked_for_when_no_other_tokens_are_named(spiece):
    write(spiece, config={"extra_ids": 1, "additional_special_tokens": ["<my>"]})
    read = SentencePiece.from_folder(spiece)
    assert read.vocabulary[7:] == ("<extra_id_0>", "<my>")
    assert read.tokenize(["a<my>", "a<extra_id_0>"]).to_list() == [[5, 8], [5, 7]]
    assert [token.content for token in read.added_tokens][3:] == ["<my>"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"special_literals": False, "max_length": 77},
        {"added_tokens": [*map(AddedToken, PIECES[:3]), AddedToken("a", special=False)]},
    ],
)
def test_what_is_saved_is_read_again(spiece, tmp_path, options):
    saved = SentencePiece.from_folder(spiece, extra_ids=3, **options)
    saved.save(tmp_path / "deep" / "er")
    same(SentencePiece.from_folder(tmp_path / "deep" / "er"), saved)


def test_another_unknown_token_is_saved_for_the_bare_class(tmp_path):
    saved = SentencePiece(("<unk>", "</s>", "<pad>", "▁a"), (0.0, 0.0, 0.0, -1.0))
    saved.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert SentencePiece.from_folder(tmp_path).unk_id == 0


def test_both_files_beside_each_other_must_agree(spiece, content):
    same(
        SentencePiece.from_folder(write(spiece, content)),
        SentencePiece.from_folder(spiece, extra_ids=2),
    )
    for path, value, match in (
        ("normalizer", None, "character maps"),
        ("model__vocab", [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]], "number of pieces"),
        ("model__vocab", [*content["model"]["vocab"][:4], ["b", -3.0]] * 2, "number|piece 4"),
    ):
        write(spiece, changed(content, {path: value, "added_tokens": []}))
        with pytest.raises(UserError, match=f"must agree.*({match})"):
            SentencePiece.from_folder(spiece)
    vocabulary = copy.deepcopy(content["model"]["vocab"])
    vocabulary[4][1] = -3.0000001
    SentencePiece.from_folder(write(spiece, changed(content, {"model__vocab": vocabulary})))
    vocabulary[4][1] = -3.001
    write(spiece, changed(content, {"model__vocab": vocabulary}))
    with pytest.raises(UserError, match="piece 4"):
        SentencePiece.from_folder(spiece)


def test_what_transformers_4_wrote_is_read(tmp_path, content):
    """A model without type, Metaspace with its old options, and what newer versions put around."""
    old = {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True}
    content["model"].pop("type")
    content = changed(content, {"pre_tokenizer": old, "decoder": old})
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"], strip]}
    read = SentencePiece.from_folder(write(tmp_path, content))
    assert read.tokenize(["a<extra_id_0>aé"]).to_list() == [[5, 8, 5, 6]]
    write(tmp_path, config={"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(UserError, match=r"pre_tokenizer type.*Received: Metaspace"):
        SentencePiece.from_folder(tmp_path)


def test_added_tokens_of_the_options_are_honoured(tmp_path, content):
    entry = {"content": "<my>", "lstrip": True, "rstrip": False, "special": False}
    config = {"added_tokens_decoder": {"9": entry}, "extra_special_tokens": ["<new>"]}
    read = SentencePiece.from_folder(write(tmp_path, content, config))
    assert read.vocabulary[9:] == ("<my>", "<new>")
    assert read.tokenize(["a <my>a<new>"]).to_list() == [[5, 9, 5, 10]]
    assert "<my>" not in read.special_tokens and "<new>" in read.special_tokens


SPLIT = {"type": "WhitespaceSplit"}
SPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model__type": "BPE"}, "model type.*Received: BPE"),
        ({"model__byte_fallback": True}, "byte_fallback"),
        ({"model__unk_id": 3}, "id of the unknown token.*Received: 3"),
        ({"model__unk_id": None}, "unk_id"),
        ({"normalizer__type": "NFKC"}, "normalizer type.*Received: NFKC"),
        ({"normalizer__precompiled_charsmap": "!"}, "base64"),
        ({"normalizer__precompiled_charsmap": "YWJj"}, "precompiled character map"),
        ({"pre_tokenizer": SPLIT}, "pre_tokenizer type.*Received: WhitespaceSplit"),
        ({"pre_tokenizer": {**SPACE, "prepend_scheme": "first"}}, "prepend_scheme"),
        ({"pre_tokenizer": {**SPACE, "replacement": "_"}}, "replacement"),
        ({"pre_tokenizer": {**SPACE, "split": False}}, "split"),
        ({"decoder": {"type": "ByteFallback"}}, "decoder type"),
        ({"post_processor": None}, "post_processor template"),
        ({"truncation": {"direction": "Left"}}, "direction"),
        ({"padding": {"direction": "Left"}}, "direction"),
        ({"added_tokens": [{"id": 99, "content": "<my>"}]}, "next one"),
        ({"added_tokens": [{"id": 4, "content": "a", "single_word": True}]}, "single_word"),
        ({"added_tokens": [{"id": 4, "content": "a", "normalized": True}]}, "normalized"),
        ({"model__vocab": [["a", 0], ["b", 0], ["a", 0]], "added_tokens": []}, "once"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, content, changes, match):
    with pytest.raises(UserError, match=match) as caught:
        SentencePiece.from_folder(write(tmp_path, changed(content, changes)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"tokenizer_class": "LlamaTokenizer"}, "tokenizer_class"),
        ({"padding_side": "left"}, "padding_side"),
        ({"truncation_side": "left"}, "truncation_side"),
        ({"sp_model_kwargs": {"alpha": 0.1}}, "sp_model_kwargs"),
        ({"eos_token": "<end>"}, "post_processor template"),
    ],
)
def test_options_that_are_not_supported_are_refused_by_name(tmp_path, content, config, match):
    with pytest.raises(UserError, match=match):
        SentencePiece.from_folder(write(tmp_path, content, config))


def test_models_of_another_kind_are_refused(tmp_path):
    for options, match in (({"model_type": 2}, "Received: bpe"), ({"unk_id": 3}, "unknown token")):
        (tmp_path / "spiece.model").write_bytes(model(**options))
        with pytest.raises(UserError, match=match):
            SentencePiece.from_folder(tmp_path)
    (tmp_path / "spiece.model").unlink()
    with pytest.raises(UserError, match=r"expected tokenizer\.json or"):
        SentencePiece.from_folder(tmp_path)


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("item", ["tok-t5", "tok-t5-json"])
def test_what_is_saved_is_read_by_transformers(shared_data, tmp_path, item):
    transformers = pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    ours = SentencePiece.from_folder(shared_data(item))
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = [*TEXTS, "The house is wonderful. <extra_id_0> e\u0302\u0301 <pad>", "中 ²"]
    expected = theirs(texts, texts[::-1], padding=True, return_tensors="np")
    found = ours(texts, texts[::-1])
    assert type(theirs).__name__ == "T5Tokenizer" and len(theirs) == ours.vocab_size
    assert (found["token_ids"].numpy() == expected["input_ids"]).all()
    assert set(theirs.all_special_tokens) == set(ours.special_tokens)
    same(SentencePiece.from_folder(tmp_path), ours)


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize(
    "config",
    [
        {"extra_ids": 0},
        {"extra_ids": 7, "additional_special_tokens": None},
        {"additional_special_tokens": ["<my>"]},
        {"legacy": False, "extra_ids": 3},
        {"split_special_tokens": True},
    ],
    ids=str,
)
def test_options_mean_what_they_mean_to_transformers(shared_data, tmp_path, config):
    transformers = pytest.importorskip("transformers")
    source = shared_data("tok-t5") / "spiece.model"
    (tmp_path / "spiece.model").write_bytes(source.read_bytes())
    write(tmp_path, config={"tokenizer_class": "T5Tokenizer", **config})
    theirs = transformers.T5Tokenizer.from_pretrained(tmp_path)
    ours = SentencePiece.from_folder(tmp_path)
    texts = ["hi <extra_id_0>, <extra_id_1> x</s>  A <my>", "</s><extra_id_5><unk>x <my>y", ""]
    expected = [[*row, 1] for row in ours.tokenize(texts).to_list()]
    assert theirs(texts)["input_ids"] == expected
    assert len(theirs) == ours.vocab_size


def test_a_character_map_is_written_as_it_was(spiece, content):
    assert base64.b64decode(content["normalizer"]["precompiled_charsmap"]) == MAP
