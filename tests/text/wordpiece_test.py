"""WordPiece: what it does by itself, and that it is Hugging Face's in every case."""

import gzip
import json
import random
import time
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text.wordpiece import WordPiece

OPTIONS = [  # ours, and what transformers calls it
    ({}, {}),
    ({"strip_accents": False}, {"strip_accents": False}),
    ({"split_chinese": False}, {"tokenize_chinese_chars": False}),
    ({"special_literals": False}, {"split_special_tokens": True}),
    ({"lowercase": False}, {"do_lower_case": False}),
    ({"lowercase": False, "strip_accents": True}, {"do_lower_case": False, "strip_accents": True}),
]


@pytest.fixture(scope="module")
def tokenizer(vocabulary):
    return WordPiece(vocabulary)


def tokens(tokenizer, *texts):
    return [
        [tokenizer.vocabulary[i] for i in row] for row in tokenizer.tokenize(list(texts)).to_list()
    ]


def rows(inputs):
    names = ("token_ids", "segment_ids", "padding_mask")
    return np.stack([inputs[name].numpy() for name in names])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\u3000\u200b\x00", ""),
        ("The unaffable CAT.", "the un ##aff ##able cat ."),
        ("café, CAFE\u0301!", "cafe , cafe !"),
        ("dog", "[UNK]"),
        ("cat中国“cat”", "cat 中 国 “ cat ”"),
        ("a\x00b\u200bc\ufffdd", "[UNK]"),
        ("a\x00b a\u200bb", "a ##b a ##b"),
        ("a[SEP]b [sep] [MASK]", "a [SEP] b [ sep ] [MASK]"),
        ("[[SEP]]", "[ [SEP] ]"),
        ("[S\x00EP] [SEP\ue001] \ue0013\ue002", "[ sep ] [ sep ] 3"),
        ("[unused1] ##ing", "[ [UNK] ] # # [UNK]"),
        ("\U0002b821 \u2e52 \u0378", "[UNK] [UNK] [UNK]"),
    ],
)
def test_texts_become_tokens(tokenizer, text, expected):
    assert " ".join(tokens(tokenizer, text)[0]) == expected


def test_a_word_is_too_long_by_its_characters(tokenizer):
    assert tokens(tokenizer, "x" * 100, "x" * 101, "é" * 100, "é" * 101) == [
        ["x", *["##x"] * 99],
        ["[UNK]"],
        ["e", *["##e"] * 99],
        ["[UNK]"],
    ]
    accented = WordPiece(tokenizer.vocabulary, strip_accents=False)
    assert tokens(accented, "é" * 100, "é" * 101) == [["é", *["##é"] * 99], ["[UNK]"]]
    ideographs = "中" * 300
    assert tokens(tokenizer, ideographs) == [["中"] * 300]


def test_literals_are_text_when_switched_off(vocabulary):
    plain = WordPiece(vocabulary, special_literals=False)
    assert tokens(plain, "a [SEP] [MASK] \ue0013\ue002") == [
        ["a", "[", "sep", "]", "[", "mask", "]", "3"]
    ]


def test_case_and_accents_are_separate(vocabulary):
    cased = WordPiece(vocabulary, lowercase=False)
    assert tokens(cased, "The cat café") == [["The", "cat", "café"]]
    assert tokens(WordPiece(vocabulary, strip_accents=False), "CAFÉ") == [["café"]]
    stripped = WordPiece(vocabulary, lowercase=False, strip_accents=True)
    assert tokens(stripped, "café The") == [["cafe", "The"]]


def test_ideographs_stay_together_when_not_split(vocabulary):
    whole = WordPiece(vocabulary, split_chinese=False)
    assert tokens(whole, "中国 cat中 国中") == [["中国", "[UNK]", "[UNK]"]]


def test_bytes_that_are_not_utf_8_count_as_python_replaces_them(tokenizer):
    raw = [b"cat\xff", b"\xe4\xb8cat", b"ca\xed\xa0\x80t", b"[SE\xffP]", b"\xf8\x88\x80\x80\x80cat"]
    replaced = [text.decode(errors="replace") for text in raw]
    assert tokenizer.tokenize(raw).to_list() == tokenizer.tokenize(replaced).to_list()
    assert tokens(tokenizer, raw[0]) == [["cat"]]


def test_a_lone_surrogate_vanishes(tokenizer):
    assert tokens(tokenizer, "ca\ud800t") == [["cat"]]


def test_tokens_that_no_text_can_hold_are_never_found():
    odd = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "a", "a b", "\ue003", "##", "\U000f0000"]
    odd += ["##\ue001", "x" * 300, "b"]
    tokenizer = WordPiece(odd)
    assert tokens(tokenizer, "a b \ue003 ## \u061d", "x" * 300) == [
        ["a", "b", "[UNK]", "[UNK]", "[UNK]"],
        ["[UNK]"],
    ]
    assert tokenizer.vocab_size == 13


def test_rows_have_special_tokens_and_padding(tokenizer):
    inputs = tokenizer(["the cat", "sat"], ["a", "on the mat"])
    cls, sep, pad = tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id
    the, cat, sat, a, on, mat = map(tokenizer.id_of, ("the", "cat", "sat", "a", "on", "mat"))
    assert inputs["token_ids"].numpy().tolist() == [
        [cls, the, cat, sep, a, sep, pad],
        [cls, sat, sep, on, the, mat, sep],
    ]
    assert inputs["segment_ids"].numpy().tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert inputs["padding_mask"].numpy().tolist() == [[1] * 6 + [0], [1] * 7]
    assert {value.dtype for value in inputs.values()} == {tf.int32}


def test_rows_are_cut_and_widened(tokenizer):
    text = ["the cat sat on the mat"]
    assert tokenizer(text, max_length=5)["token_ids"].shape == (1, 5)
    assert tokenizer(text, pad_to=5)["token_ids"].shape == (1, 5)
    assert tokenizer(text, pad_to=20)["padding_mask"].numpy().sum() == 8
    assert tokenizer(text, max_length=2)["token_ids"].numpy().tolist() == [[2, 3]]


def test_no_texts_make_no_rows(tokenizer):
    assert tokenizer([])["token_ids"].shape == (0, 2)
    assert tokenizer.tokenize([]).to_list() == []


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"texts": "the cat"}, "Received: 'the cat'|shape=\\(\\)"),
        ({"texts": [1, 2]}, "Received: 1"),
        ({"texts": [["a"]]}, "Received: \\['a'\\]"),
        ({"texts": [None]}, "Received: None"),
        ({"texts": np.zeros([2])}, "dtype=float64"),
        ({"texts": tf.constant([["a"]])}, "shape=\\(1, 1\\)"),
        ({"texts": ["a"], "max_length": 1}, "at least 2.*max_length=1"),
        ({"texts": ["a"], "pairs": ["b"], "max_length": 2}, "at least 3"),
        ({"texts": ["a", "b"], "pairs": ["b"]}, "2 texts and 1 pairs"),
        ({"texts": ["a"], "max_length": 513}, "at most the tokenizer's 512"),
        ({"texts": ["a"], "max_length": 9, "pad_to": 8}, "max_length=9, pad_to=8"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tokenizer, arguments, match):
    with pytest.raises(UserError, match=match) as caught:
        tokenizer(**arguments)
    assert "\n" not in str(caught.value)


def test_a_row_needs_room(vocabulary):
    with pytest.raises(UserError, match="max_length=2"):
        WordPiece(vocabulary, max_length=2)


@pytest.mark.parametrize("literals", [True, False])
def test_a_vocabulary_of_special_tokens_alone_knows_no_word(literals):
    five = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert WordPiece(five, special_literals=literals).tokenize(["a b"]).to_list() == [[1, 1]]


def test_a_special_token_without_symbol_is_a_word_where_it_is_no_literal():
    names = {"unknown": "u", "separator": "s", "padding": "p", "classifier": "c", "mask": "m"}
    tokenizer = WordPiece(list(names.values()), special_literals=False, **names)
    assert tokenizer.tokenize(["c s x"]).to_list() == [[3, 1, 0]]
    with pytest.raises(UserError, match="must hold a symbol"):
        WordPiece(list(names.values()), **names)


def test_added_tokens_are_found_and_skipped(vocabulary):
    tokenizer = WordPiece((*vocabulary, "<new>"), added_tokens=("<new>",))
    assert tokens(tokenizer, "a<new>b <NEW>")[0][:3] == ["a", "<new>", "b"]
    ids = tokenizer.tokenize(["a<new>b"])
    assert tokenizer.decode(ids, skip_special_tokens=True).numpy().tolist() == [b"a b"]


def test_the_graph_gives_what_the_eager_call_gives(tokenizer, vocabulary, fuzz):
    texts, pairs = fuzz(0, 64, vocabulary), fuzz(1, 64, vocabulary)
    graph = tf.function(
        lambda a, b: tokenizer(a, b, max_length=40),
        input_signature=[tf.TensorSpec([None], tf.string)] * 2,
    )
    assert np.array_equal(
        rows(graph(tf.constant(texts), tf.constant(pairs))), rows(tokenizer(texts, pairs, 40))
    )


def test_the_graph_refuses_pairs_of_another_number(tokenizer):
    graph = tf.function(
        lambda a, b: tokenizer(a, b), input_signature=[tf.TensorSpec([None], tf.string)] * 2
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant(["a", "b"]), tf.constant(["c"]))


def test_it_works_inside_a_dataset(vocabulary, fuzz):
    texts = fuzz(2, 64, vocabulary)
    tokenizer = WordPiece(vocabulary)  # A fresh one, whose constants are made while tracing.
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(64)
    found = next(iter(dataset.map(lambda batch: tokenizer(batch, max_length=32))))
    assert np.array_equal(rows(found), rows(tokenizer(texts, max_length=32)))
    decoded = next(iter(dataset.map(lambda batch: tokenizer.decode(tokenizer.tokenize(batch)))))
    assert decoded.shape == (64,)


def test_a_saved_model_carries_the_tokenizer(tokenizer, tmp_path, vocabulary, fuzz):
    texts, pairs = fuzz(3, 64, vocabulary), fuzz(4, 64, vocabulary)
    spec = tf.TensorSpec([None], tf.string)
    module = tf.Module()
    module.tokenizer = tokenizer
    module.single = tf.function(lambda text: tokenizer(text), input_signature=[spec])
    module.pair = tf.function(lambda text, pair: tokenizer(text, pair), input_signature=[spec] * 2)
    module.decode = tf.function(
        lambda ids: {"text": tokenizer.decode(ids, skip_special_tokens=True)},
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    signatures = {name: getattr(module, name) for name in ("single", "pair", "decode")}
    tf.saved_model.save(module, str(tmp_path), signatures)
    loaded = tf.saved_model.load(str(tmp_path)).signatures
    expected = tokenizer(texts)
    assert np.array_equal(rows(loaded["single"](text=tf.constant(texts))), rows(expected))
    found = loaded["pair"](text=tf.constant(texts), pair=tf.constant(pairs))
    assert np.array_equal(rows(found), rows(tokenizer(texts, pairs)))
    decoded = loaded["decode"](ids=expected["token_ids"])["text"]
    expected = tokenizer.decode(expected["token_ids"], skip_special_tokens=True)
    assert decoded.numpy().tolist() == expected.numpy().tolist()


def test_a_tokenizer_is_made_quickly(vocabulary):
    many = [*vocabulary, *(f"word{i}" for i in range(30_000))]
    start = time.process_time()
    WordPiece(many)
    assert time.process_time() - start < 2


# Against Hugging Face.


def assert_same_rows(ours, theirs, texts, pairs, seed):
    """Rows of batches, each cut at a random length."""
    chance = random.Random(seed)
    for start in range(0, len(texts), 256):
        batch = [texts[start : start + 256]]
        if pairs is not None:
            batch.append(pairs[start : start + 256])
        length = chance.randrange(3, 80)
        found = rows(ours(*batch, max_length=length))
        expected = theirs(*batch, max_length=length, truncation=True, padding="longest")
        names = ("input_ids", "token_type_ids", "attention_mask")
        expected = np.stack([np.array(expected[name]) for name in names])
        assert found.shape == expected.shape
        wrong = np.flatnonzero((found != expected).any(axis=(0, 2)))
        assert not [[part[i] for part in batch] for i in wrong]


def assert_same_tokens(ours, theirs, texts):
    found = ours.tokenize(texts)
    flat, splits = found.flat_values.numpy().tolist(), found.row_splits.numpy().tolist()
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    bounds = zip(texts, expected, splits, splits[1:], strict=False)
    assert not [text for text, ids, start, end in bounds if flat[start:end] != ids]


def real_vocabulary(shared_data, case):
    text = (shared_data(f"tok-bert-base-{case}") / "vocab.txt").read_text("utf-8")
    return text.removesuffix("\n").split("\n")


@pytest.mark.parity
@pytest.mark.parametrize(("options", "names"), OPTIONS)
def test_fuzzed_texts_and_pairs_are_equal(vocabulary, hugging_face, fuzz, options, names):
    ours, theirs = WordPiece(vocabulary, **options), hugging_face(vocabulary, **names)
    texts, pairs = fuzz(10, 1500, vocabulary), fuzz(11, 1500, vocabulary)
    assert_same_tokens(ours, theirs, texts)
    assert_same_rows(ours, theirs, texts, None, 12)
    assert_same_rows(ours, theirs, texts, pairs, 13)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("case", ["uncased", "cased"])
@pytest.mark.parametrize("literals", [True, False])
def test_20_000_fuzzed_texts_are_equal(shared_data, hugging_face, fuzz, case, literals):
    words = real_vocabulary(shared_data, case)
    ours = WordPiece(words, lowercase=case == "uncased", special_literals=literals)
    names = {"do_lower_case": case == "uncased", "split_special_tokens": not literals}
    theirs = hugging_face(words, **names)
    texts, pairs = fuzz(20, 20_000, words), fuzz(21, 20_000, words)
    assert_same_rows(ours, theirs, texts, None, 22)
    assert_same_rows(ours, theirs, texts, pairs, 23)


@pytest.mark.parity
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("clean_up", [True, False])
def test_decoded_texts_are_equal(vocabulary, hugging_face, skip, clean_up):
    ours, theirs = WordPiece(vocabulary), hugging_face(vocabulary)
    chance = random.Random(5)
    ids = [
        [chance.randrange(len(vocabulary) + 3) for _ in range(chance.randrange(12))]
        for _ in range(1000)
    ]
    found = ours.decode(tf.ragged.constant(ids, dtype=tf.int32), skip, clean_up)
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean_up}
    assert [t.decode() for t in found.numpy()] == [theirs.decode(row, **options) for row in ids]


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
@pytest.mark.parametrize("split_chinese", [True, False])
def test_every_code_point_is_equal(hugging_face, lowercase, strip_accents, split_chinese):
    # A vocabulary of all characters, so that no difference hides behind an unknown word.
    names = {"do_lower_case": lowercase, "tokenize_chinese_chars": split_chinese}
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    for start in range(0, len(points), 140_000):
        chunk = points[start : start + 140_000]
        single = sorted({*chunk, *"".join(chunk).lower(), "a", "q"} - {"\n", "\r"})
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *single, *("##" + c for c in single)]
        words = [word for word in dict.fromkeys(words) if word.strip()]
        ours = WordPiece(
            words,
            lowercase=lowercase,
            strip_accents=strip_accents,
            split_chinese=split_chinese,
        )
        theirs = hugging_face(words, strip_accents=strip_accents, **names)
        assert_same_tokens(ours, theirs, [f"{c} a{c}q {c}{c}" for c in chunk])


@pytest.mark.data
def test_published_tokens_are_found(shared_data):
    cases = json.loads((shared_data("golden-tokens-dev") / "bert.json").read_text("utf-8"))
    assert {name: len(c) for name, c in cases.items()} == {
        "Xenova/bert-base-uncased": 30,
        "Xenova/bert-base-cased": 8,
    }
    for name, named in cases.items():
        case = name.rsplit("-", 1)[-1]
        ours = WordPiece(real_vocabulary(shared_data, case), lowercase=case == "uncased")
        for example in named.values():
            pair = example.get("text_pair")
            found = ours([example["text"]], pair and [pair])["token_ids"]
            assert found.numpy()[0].tolist() == example["ids"]
            decoded = ours.decode(found, clean_up=case == "uncased").numpy()[0].decode()
            assert decoded == example["decoded"]


@pytest.mark.data
def test_the_published_paragraph_is_found(shared_data):
    path = shared_data("golden-tokens-swift") / "bert_uncased_encoded.json"
    example = json.loads(path.read_text("utf-8"))
    ours = WordPiece(real_vocabulary(shared_data, "uncased"))
    found = ours([example["text"]])["token_ids"]
    assert found.numpy()[0].tolist() == example["token_ids"]
    decoded = ours.decode(found, clean_up=True).numpy()[0].decode()
    assert decoded == example["decoded_text"]


def lines_of(path):
    """Every line of every text file, unpacked, bytes that are not UTF-8 replaced."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            raw = [archive.read(name) for name in archive.namelist()]
    else:
        raw = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()]
    return [line for part in raw for line in part.decode(errors="replace").split("\n")]


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("case", ["uncased", "cased"])
def test_every_text_of_the_data_sets_is_equal(shared_data, hugging_face, case):
    words = real_vocabulary(shared_data, case)
    ours = WordPiece(words, lowercase=case == "uncased")
    theirs = hugging_face(words, do_lower_case=case == "uncased")
    root = shared_data("data-agnews").parent
    counts = {}
    for path in sorted(root.glob("data-*/**/*")):
        if path.is_file() and path.name != "SOURCE.txt":
            texts = lines_of(path)
            assert_same_tokens(ours, theirs, texts)
            counts[path.parent.name] = counts.get(path.parent.name, 0) + len(texts)
    print(counts, sum(counts.values()))
    assert sum(counts.values()) > 200_000
