"""Byte-level BPE: what it does by itself, and that it is Hugging Face's in every case."""

import gzip
import json
import random
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.bpe_files import BLOOM_PATTERN
from tfzoo.text.byte_level_bpe import ByteLevelBPE

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
ADDED = (*map(AddedToken, SPECIAL), AddedToken("<mask>", lstrip=True))
FRAME = {"before": ["<s>"], "between": ["</s>", "</s>"], "after": ["</s>"]}
SPACES = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u202f\u205f\u3000\u200b\ufeff\x00"


@pytest.fixture(scope="module")
def tokenizer(byte_level):
    return ByteLevelBPE(
        *byte_level, added_tokens=ADDED, named_tokens={"pad_token": "<pad>"}, **FRAME
    )


def tokens(tokenizer, *texts):
    found = tokenizer.tokenize(list(texts)).to_list()
    return [" ".join(tokenizer.vocabulary[i] for i in row) for row in found]


def rows(inputs):
    names = ("token_ids", "segment_ids", "padding_mask")
    return np.stack([inputs[name].numpy() for name in names])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("the cat sat", "t he Ġcat Ġ sat"),
        (" the  cat\n\n\nsat", "Ġthe Ġ Ġcat ĊĊ Ċ sat"),
        ("     a", "ĠĠĠĠ Ġ a"),
        ("a     ", "a ĠĠĠĠ Ġ"),
        ("a \tb", "a Ġ ĉ b"),
        ("a\t b\r\n c", "a ĉ Ġ b č Ċ Ġ c"),
        ("he'll 'll she's's 'S", "he 'll Ġ ' ll Ġ s he 's 's Ġ ' S"),
        ("cat12a12 12", "cat 12 a 12 Ġ 12"),
        ("aaaaaaa", "aaaa aa a"),
        ("é中中", "Ã© ä¸Ń ä¸Ń"),
        (".....", ".. ..."),
        ("a<s>b</s> <unk>", "a <s> b </s> Ġ <unk>"),
        ("a \n<mask> <mask>b", "a <mask> <mask> Ġ b".replace(" Ġ", "")),
        ("</ s></s", "</ Ġ s > </ s"),
        ("\x00a \x00", "Ā a Ġ Ā"),
    ],
)
def test_texts_become_tokens(tokenizer, text, expected):
    assert tokens(tokenizer, text) == [expected]


def test_many_texts_keep_their_rows(tokenizer):
    assert tokens(tokenizer, "", "the", "", "<mask>", "cat cat", "") == [
        "", "t he", "", "<mask>", "cat Ġcat", "",
    ]  # fmt: skip
    assert tokens(tokenizer, "", "") == ["", ""]
    assert tokens(tokenizer) == []


def test_a_space_is_put_before_a_text_and_after_each_added_token(byte_level):
    spaced = ByteLevelBPE(*byte_level, added_tokens=ADDED, add_prefix_space=True)
    assert tokens(spaced, "cat", " cat", "", "\tcat", "cat<s>cat<s> cat") == [
        "Ġcat", "Ġcat", "", "Ġ ĉ cat", "Ġcat <s> Ġcat <s> Ġcat",
    ]  # fmt: skip


def test_bloom_cuts_words_at_its_punctuation(byte_level):
    bloom = ByteLevelBPE(*byte_level, words="bloom")
    assert tokens(bloom, "the cat's (cat).. 12", "a... (b|c  d,") == [
        "t he Ġcat 's Ġ ( cat ) .. Ġ 12",
        "a ... Ġ ( b | c Ġ Ġ d ,",
    ]
    with pytest.raises(UserError, match="gpt5"):
        ByteLevelBPE(*byte_level, words="gpt5")


def test_literals_are_text_when_switched_off(byte_level):
    plain = ByteLevelBPE(
        *byte_level,
        added_tokens=[*ADDED, AddedToken("sat", special=False)],
        special_literals=False,
    )
    assert tokens(plain, "<s>a<mask>sat") == ["< s > a < m a s k > sat"]


def test_bytes_that_the_vocabulary_lacks_vanish_or_are_unknown(byte_level):
    vocabulary, merges = byte_level
    fewer = [token for token in vocabulary if token not in ("q", "x")]
    assert tokens(ByteLevelBPE(fewer, merges), "cqxat q") == ["cat Ġ"]
    unknown = ByteLevelBPE(fewer, merges, unknown="<unk>")
    assert tokens(unknown, "cqxat q") == ["c <unk> <unk> at Ġ <unk>"]


def test_bytes_that_are_not_utf_8_count_as_python_replaces_them(tokenizer):
    raw = [b"cat\xff", b"\xe4\xb8cat", b"ca\xed\xa0\x80t", b"<\xff/s>", b"\xfe\xf8\xff<s>\xff\xfe"]
    replaced = [text.decode(errors="replace") for text in raw]
    assert tokenizer.tokenize(raw).to_list() == tokenizer.tokenize(replaced).to_list()
    assert tokens(tokenizer, raw[0]) == ["cat ï ¿ ½"]
    assert tokens(tokenizer, "a\ud800") == tokens(tokenizer, b"a\xed\xa0\x80")


def test_rows_have_special_tokens_and_padding(tokenizer):
    inputs = tokenizer(["cat", "cat sat"], ["the", ""])
    bos, pad, eos = map(tokenizer.id_of, SPECIAL[:3])
    cat, the, sat, space, t = map(tokenizer.id_of, ("cat", "he", "sat", "Ġ", "t"))
    assert inputs["token_ids"].numpy().tolist() == [
        [bos, cat, eos, eos, t, the, eos],
        [bos, cat, space, sat, eos, eos, eos],
    ]
    assert not inputs["segment_ids"].numpy().any()
    assert tokenizer(["cat", ""])["token_ids"].numpy().tolist() == [
        [bos, cat, eos],
        [bos, eos, pad],
    ]


def test_padding_may_be_on_the_left(byte_level):
    left = ByteLevelBPE(*byte_level, named_tokens={"pad_token": "<pad>"}, padding_side="left")
    inputs = left(["cat", "cat sat", ""], pad_to=4)
    assert inputs["padding_mask"].numpy().tolist() == [[0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert inputs["token_ids"].numpy()[:, -1].tolist() == [
        left.id_of("cat"), left.id_of("sat"), left.pad_id,
    ]  # fmt: skip


def test_without_a_padding_token_rows_are_filled_up_with_0(byte_level):
    bare = ByteLevelBPE(*byte_level)
    assert bare.pad_id == 0
    assert bare(["cat", "the cat"])["padding_mask"].numpy().tolist() == [[1, 0, 0], [1, 1, 1]]


def test_rows_are_cut(tokenizer):
    assert tokenizer(["the cat sat"], max_length=4)["token_ids"].shape == (1, 4)
    assert tokenizer(["the cat sat"], ["the cat sat"], max_length=9)["token_ids"].shape == (1, 9)
    with pytest.raises(UserError, match="at least 4"):
        tokenizer(["a"], ["b"], max_length=3)


@pytest.mark.parametrize(
    "text", ["the  cat's\n\n é中 😀 \x00 <mask> sat</s>", "", " \t ", "a\ufffdb\u0085\u2028"]
)
def test_what_was_encoded_is_decoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.tokenize([text])).numpy()[0].decode() == text.replace(
        "\x00 <mask>", "\x00<mask>"
    )


def test_decoding_skips_special_tokens_and_mends_utf_8(tokenizer):
    ids = [tokenizer.id_of(t) for t in ("<s>", "cat", "ä¸", "<mask>", "Ń", "ä¸", "</s>")]
    assert tokenizer.decode([ids]).numpy()[0].decode() == "<s>cat\ufffd<mask>\ufffd\ufffd</s>"
    assert tokenizer.decode([ids], skip_special_tokens=True).numpy()[0].decode() == "cat中\ufffd"
    assert tokenizer.decode([[-1, 9999, *ids[1:2]]]).numpy().tolist() == [b"cat"]


def test_decoding_cleans_up_when_asked(tokenizer):
    ids = tokenizer.tokenize(["the cat 's sat ."])
    assert tokenizer.decode(ids).numpy().tolist() == [b"the cat 's sat ."]
    assert tokenizer.decode(ids, clean_up=True).numpy().tolist() == [b"the cat's sat."]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"before": ["<x>"]}, "no such token.*'<x>'"),
        ({"named_tokens": {"pad_token": "<x>"}}, "without <x>"),
        ({"added_tokens": [AddedToken("<x>")]}, "without <x>"),
        ({"unknown": "<x>"}, "without <x>"),
        ({"max_length": 2, **FRAME}, "max_length=2"),
        ({"merges": [("x", "y")]}, "no such token.*'xy'"),
        ({"padding_side": "top"}, "padding_side.*top"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(byte_level, changes, match):
    arguments = {"vocabulary": byte_level[0], "merges": byte_level[1]} | changes
    with pytest.raises(UserError, match=match) as caught:
        ByteLevelBPE(**arguments)
    assert "\n" not in str(caught.value)


def texts_of(seed, count):
    """Fuzzed texts: white space, contractions, scripts, emoji, marks, controls, added tokens."""
    chance = random.Random(seed)
    blocks = [(0x20, 0x7F)] * 4 + [(0, 0x20), (0x7F, 0x250), (0x300, 0x600), (0x900, 0xE80)]
    blocks += [(0x1E00, 0x2100), (0x2150, 0x2190), (0x3000, 0x3100), (0x4E00, 0x5000)]
    blocks += [(0xAC00, 0xAD00), (0xFF00, 0xFFFF), (0x1F300, 0x1FA00), (0x10D40, 0x10D90)]
    blocks += [(0x16100, 0x16140), (0x1CCF0, 0x1CD00), (0xE0000, 0xE0100), (0, 0x110000)]
    words = (
        "the cat 's 't 're 've 'm 'll 'd 'S ' '' aaa aaaaaaa ..... ---- === 1234 x1y2 don't I'll"
    )
    words = [*words.split(), *SPECIAL, "<mask>", "<MASK>", "<|endoftext|>", "</", "<", "\ufffd"]

    def piece():
        kind = chance.random()
        if kind < 0.3:
            return chance.choice(words)
        if kind < 0.6:
            return "".join(chance.choice(SPACES) for _ in range(chance.randrange(1, 4)))
        if kind < 0.7:
            return " " * chance.randrange(1, 6)
        block = chance.choice(blocks)
        return "".join(chr(chance.randrange(*block)) for _ in range(chance.randrange(1, 7)))

    made = ("".join(piece() for _ in range(chance.randrange(12))) for _ in range(count))
    return ["".join(c for c in text if not "\ud800" <= c <= "\udfff") for text in made]


def test_the_graph_gives_what_the_eager_call_gives(tokenizer):
    texts, pairs = texts_of(0, 64), texts_of(1, 64)
    graph = tf.function(
        lambda a, b: tokenizer(a, b, max_length=40),
        input_signature=[tf.TensorSpec([None], tf.string)] * 2,
    )
    expected = rows(tokenizer(texts, pairs, 40))
    assert np.array_equal(rows(graph(tf.constant(texts), tf.constant(pairs))), expected)


def test_it_works_inside_a_dataset(byte_level):
    texts = texts_of(2, 64)
    tokenizer = ByteLevelBPE(*byte_level, added_tokens=ADDED)
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(64)
    found = next(iter(dataset.map(lambda batch: tokenizer(batch, max_length=32))))
    assert np.array_equal(rows(found), rows(tokenizer(texts, max_length=32)))
    decoded = next(iter(dataset.map(lambda batch: tokenizer.decode(tokenizer.tokenize(batch)))))
    assert decoded.shape == (64,)


@pytest.mark.slow
def test_a_saved_model_runs_as_tensorflow_serving_runs_it(tokenizer, tmp_path):
    module = tf.Module()
    module.tokenizer = tokenizer
    spec = tf.TensorSpec([None], tf.string, name="text")
    module.encode = tf.function(lambda text: tokenizer(text), input_signature=[spec])
    module.decode = tf.function(
        lambda ids: {"text": tokenizer.decode(ids, skip_special_tokens=True)},
        input_signature=[tf.TensorSpec([None, None], tf.int32, name="ids")],
    )
    signatures = {"encode": module.encode, "decode": module.decode}
    tf.saved_model.save(module, str(tmp_path), signatures)
    texts = [*texts_of(3, 200), "", "the cat\x00 sat<mask>"]
    expected = tokenizer(texts)
    with Session(tmp_path) as session:
        found = session.run("encode", text=texts)
        text = session.run("decode", ids=found["token_ids"])["text"]
    for name, values in expected.items():
        assert np.array_equal(found[name], values.numpy())
    assert text.tolist() == tokenizer.decode(expected["token_ids"], True).numpy().tolist()
    loaded = tf.saved_model.load(str(tmp_path)).signatures["encode"](text=tf.constant(texts))
    assert np.array_equal(rows(loaded), rows(expected))


# Against Hugging Face.


def load_json(path):
    return json.loads(path.read_text("utf-8"))


def gpt2(shared_data, tmp_path, **options):
    """Ours from OpenAI's two files, transformers' from the same contents."""
    transformers = pytest.importorskip("transformers")
    folder = shared_data("tok-gpt2")
    lines = (folder / "vocab.bpe").read_text("utf-8").split("\n")
    theirs = transformers.GPT2Tokenizer(
        vocab=load_json(folder / "encoder.json"),
        merges=[tuple(line.split()) for line in lines[1:-1]],
        **options,
    )
    return ByteLevelBPE.from_folder(folder, **options), theirs.backend_tokenizer


def roberta(shared_data, tmp_path):
    """Both from the published tokenizer.json."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = shared_data("tok-roberta-bart")
    return (
        ByteLevelBPE.from_folder(folder),
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")),
    )


def bloom(shared_data, tmp_path):
    """A tokenizer.json as BLOOM's is, on the vocabulary of GPT-2."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = shared_data("tok-gpt2")
    level = {"add_prefix_space": False, "use_regex": False}
    theirs = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe"))
    )
    steps = [
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(BLOOM_PATTERN), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(**level),
    ]
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps)
    theirs.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False, **level)
    theirs.decoder = tokenizers.decoders.ByteLevel(**level)
    theirs.add_special_tokens([*SPECIAL])
    theirs.save(str(tmp_path / "tokenizer.json"))
    return ByteLevelBPE.from_folder(tmp_path), theirs


KINDS = [gpt2, roberta, bloom]
CUTS = [gpt2, bloom]  # RoBERTa cuts words as GPT-2 does.


def assert_same(ours, theirs, texts):
    found = ours.tokenize(texts)
    flat, splits = found.flat_values.numpy().tolist(), found.row_splits.numpy().tolist()
    expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
    bounds = zip(texts, expected, splits, splits[1:], strict=False)
    assert not [text for text, ids, start, end in bounds if flat[start:end] != ids]


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("make", KINDS)
def test_fuzzed_texts_are_equal(shared_data, tmp_path, make):
    ours, theirs = make(shared_data, tmp_path)
    assert_same(ours, theirs, texts_of(10, 4000))


@pytest.mark.parity
@pytest.mark.data
def test_fuzzed_texts_with_a_prefix_space_are_equal(shared_data, tmp_path):
    ours, theirs = gpt2(shared_data, tmp_path, add_prefix_space=True)
    assert_same(ours, theirs, texts_of(11, 4000))


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("make", [gpt2, roberta])
def test_pairs_are_cut_and_padded_alike(shared_data, tmp_path, make):
    ours, theirs = make(shared_data, tmp_path)
    texts, pairs = texts_of(12, 1000), texts_of(13, 1000)
    chance = random.Random(0)
    for start in range(0, 1000, 100):
        length = chance.randrange(4, 60)
        a, b = texts[start : start + 100], pairs[start : start + 100]
        theirs.enable_truncation(length)
        theirs.enable_padding(pad_id=ours.pad_id)
        for batch in ([a], [a, b]):
            inputs = batch[0] if len(batch) == 1 else list(zip(*batch, strict=True))
            expected = theirs.encode_batch(inputs)
            found = ours(*batch, max_length=length)
            assert found["token_ids"].numpy().tolist() == [e.ids for e in expected]
            assert found["padding_mask"].numpy().tolist() == [e.attention_mask for e in expected]


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("skip", [True, False])
def test_decoded_texts_are_equal(shared_data, tmp_path, make, skip):
    ours, theirs = make(shared_data, tmp_path)
    chance = random.Random(5)
    ids = [
        [chance.randrange(ours.vocab_size + 3) if chance.random() < 0.6 else chance.randrange(260)
         for _ in range(chance.randrange(12))]
        for _ in range(2000)
    ]  # fmt: skip
    found = ours.decode(tf.ragged.constant(ids, dtype=tf.int32), skip).numpy()
    assert [text.decode() for text in found] == theirs.decode_batch(ids, skip_special_tokens=skip)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("make", CUTS)
def test_every_code_point_is_equal(shared_data, tmp_path, make):
    ours, theirs = make(shared_data, tmp_path)
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    for start in range(0, len(points), 10_000):
        chunk = points[start : start + 10_000]
        assert_same(ours, theirs, chunk)
        assert_same(ours, theirs, [f"a{c}b1{c}2 {c}{c} !{c}?" for c in chunk])


@pytest.mark.data
def test_published_tokens_are_found(shared_data):
    (cases,) = load_json(shared_data("golden-tokens-dev") / "gpt2.json").values()
    ours = ByteLevelBPE.from_folder(shared_data("tok-gpt2"))
    assert len(cases) == 26
    for example in cases.values():
        found = ours.tokenize([example["text"]])
        assert found.to_list() == [example["ids"]]
        assert ours.decode(found, clean_up=True).numpy()[0].decode() == example["decoded"]


@pytest.mark.data
def test_the_published_paragraph_is_found(shared_data):
    example = load_json(shared_data("golden-tokens-swift") / "gpt2_encoded_tokens.json")
    ours = ByteLevelBPE.from_folder(shared_data("tok-gpt2"))
    found = ours.tokenize([example["text"]])
    assert found.to_list() == [example["token_ids"]]
    assert ours.decode(found).numpy()[0].decode() == example["decoded_text"]


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
@pytest.mark.parametrize("make", CUTS)
def test_every_text_of_the_data_sets_is_equal(shared_data, tmp_path, make):
    ours, theirs = make(shared_data, tmp_path)
    count = 0
    for path in sorted(shared_data("data-agnews").parent.glob("data-*/**/*")):
        if path.is_file() and path.name != "SOURCE.txt":
            texts = lines_of(path)
            for start in range(0, len(texts), 5000):
                assert_same(ours, theirs, texts[start : start + 5000])
            count += len(texts)
    assert count > 200_000
