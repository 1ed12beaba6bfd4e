"""SentencePiece: what it does by itself, and that it is transformers' T5Tokenizer in every case."""

import gzip
import json
import random
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session
from tfzoo.text import charsmap
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.sentencepiece import SentencePiece

SENTINELS = ("<extra_id_1>", "<extra_id_0>")
NAMED = ("<pad>", "</s>", "<unk>")
PIECES = {
    "▁": -2.0, "▁the": -3.0, "▁cat": -5.0, "s": -3.0, "a": -4.0, "b": -4.5, "▁a": -4.0, "e": -3.5,
    "é": -6.0, ".": -3.5, "...": -5.0, "-": -5.129043, "---": -12.130167, ",": -3.6,
    "ab": -6.0, "ba": -6.0, "\u0302": -6.0,
}  # fmt: skip
RULES = {
    "\t": " ", "\u3000": " ", "\u200b": " ", "\x01": "", "e\u0301": "é", "＜": "<", "＞": ">",
    "／": "/", "²": "2", "▁": " ",
}  # fmt: skip
VOCABULARY = (*NAMED, *PIECES, *SENTINELS)
SCORES = (*(0.0,) * 3, *PIECES.values(), *(0.0,) * 2)
ADDED = tuple(map(AddedToken, (*NAMED, *SENTINELS)))
MAP = charsmap.pack({key.encode(): text.encode() for key, text in RULES.items()})
TEXTS = ["", " ", "the cats", "a<extra_id_0>b é.", "中</s> ab\x00...-------", "e\u0301\u0301\u0301"]


def make(**options):
    options = {"charsmap": MAP, "added_tokens": ADDED, **options}
    return SentencePiece(VOCABULARY, SCORES, **options)


@pytest.fixture(scope="module")
def tokenizer():
    return make()


def tokens(tokenizer, *texts):
    found = tokenizer.tokenize(list(texts)).to_list()
    return [" ".join(tokenizer.vocabulary[i] for i in row) for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\r\u3000\u200b\x85\u2028", ""),
        ("the cats  the", "▁the ▁cat s ▁the"),
        ("thecat", "▁the <unk> a <unk>"),
        ("the\u00a0cat\u2003the\x85cat", "▁the ▁cat ▁the ▁cat"),
        ("ba...", "▁ ba ..."),
        ("aé e\u0301", "▁a é ▁ é"),
        ("a<extra_id_0>a", "▁a <extra_id_0> ▁a"),
        ("a <extra_id_0>  \t, <pad><pad>", "▁a <extra_id_0> ▁ , <pad> <pad>"),
        ("<extra_id_2></s>a<pad>", "▁ <unk> e <unk> a <unk> </s> ▁a <pad>"),
        ("中国a中 中", "▁ <unk> a <unk> ▁ <unk>"),
        ("a\x01\x00b", "▁a <unk> b"),
        ("▁a▁b ▁ a▁▁", "▁a ▁ b ▁a"),
        ("＜/s＞a ＜extra_id_0＞", "▁ </s> a ▁ <extra_id_0>"),
        ("x<unk>x", "▁ <unk> <unk> ▁ <unk>"),
        ("x＜unk＞x a", "▁ <unk> ▁a"),
        ("a\u0301e\u0301", "▁a <unk> é"),
        ("e\u0301\u0302\u0303", "▁ e <unk> \u0302 <unk>"),
        ("e\u0302\u0302\u0303", "▁ e \u0302 \u0302 <unk>"),
        ("²\u0301a", "▁ <unk> a"),
        ("-" * 10, "▁ - --- --- ---"),
        ("." * 8, "▁ . . ... ..."),
        ("ababa", "▁a ba ba"),
    ],
)  # fmt: skip
def test_texts_become_tokens(tokenizer, text, expected):
    assert tokens(tokenizer, text) == [expected]


def test_long_runs_keep_their_ties():
    # Added up in 32 bits, the scores of so many tokens would differ by their order.
    scores = {"▁": -2.0122928, "?": -5.7312345, "?????": -9.8765432, "x": -6.6543219}
    made = SentencePiece((*NAMED, *scores), (0.0, 0.0, 0.0, *scores.values()))
    for count in range(1, 60):
        for end in ("", "x" * count):
            expected = ["▁", *["?"] * (count % 5), *["?????"] * (count // 5), *end]
            assert tokens(made, "?" * count + end) == [" ".join(expected)], count


def test_a_text_is_cut_word_by_word(tokenizer):
    texts = ["the cat s---- ab. " * 3000, "-" * 20]
    ids = tokenizer.tokenize(texts).to_list()
    assert ids[0] == tokenizer.tokenize(["the cat s---- ab."]).to_list()[0] * 3000


def test_literals_are_text_when_switched_off():
    plain = make(special_literals=False)
    # As in tokenizers every token of the model is a piece, wherever it came from.
    assert tokens(plain, "a</s>b <extra_id_0>,") == ["▁a </s> b ▁ <extra_id_0> ,"]
    assert tokens(plain, "<unk><unk>") == ["▁ <unk>"]


def test_tokens_without_a_score_are_in_no_text():
    few = SentencePiece(VOCABULARY, SCORES[:-2], charsmap=MAP, added_tokens=ADDED)
    assert tokens(few, "a<extra_id_0>") == ["▁a <extra_id_0>"]
    assert tokens(few, "＜extra_id_0＞") == ["▁ <unk> e <unk> a <unk>"]


def test_white_space_that_tokens_take_along_makes_no_difference():
    flags = [token._replace(lstrip=True, rstrip=True) for token in ADDED]
    texts = ["a <extra_id_0> b", "a</s> \n b"]
    assert tokens(make(added_tokens=flags), *texts) == tokens(make(), *texts)


def test_bytes_that_are_not_utf_8_count_as_python_replaces_them(tokenizer):
    raw = [b"a\xffb", b"\xe4\xb8a", b"a\xed\xa0\x80", b"\xfe000003a", b"<extra_id_0\xff>"]
    replaced = [text.decode(errors="replace") for text in raw]
    assert tokenizer.tokenize(raw).to_list() == tokenizer.tokenize(replaced).to_list()
    assert tokens(tokenizer, raw[0], "a\ud800b") == ["▁a <unk> b"] * 2


def test_rows_have_their_end_and_padding(tokenizer):
    inputs = tokenizer(["the cat", "a"], ["s", "a a"])
    assert inputs["token_ids"].numpy().tolist() == [[4, 5, 1, 3, 6, 1], [9, 1, 9, 9, 1, 0]]
    assert inputs["padding_mask"].numpy().sum() == 11 and inputs["segment_ids"].numpy().sum() == 0
    cut = tokenizer(["the cat a a a"], max_length=3, pad_to=4)
    assert cut["token_ids"].numpy().tolist() == [[4, 5, 1, 0]]


def test_ids_become_texts(tokenizer):
    ids = [[4, 5, 6, 1, 21, 9, 0], [3, 9, 2, 99, -1], []]
    found = tokenizer.decode(tf.ragged.constant(ids, dtype=tf.int32))
    assert [text.decode() for text in found.numpy()] == [
        "the cats</s><extra_id_0> a<pad>", " a<unk>", "",
    ]  # fmt: skip
    found = tokenizer.decode(tf.ragged.constant(ids, dtype=tf.int32), skip_special_tokens=True)
    assert found.numpy().tolist() == [b"the cats a", b" a", b""]
    assert tokenizer.decode([[4, 3, 12]], clean_up=True).numpy().tolist() == [b"the."]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"added_tokens": [AddedToken("<a b>")]}, "white space|must hold"),
        ({"added_tokens": [AddedToken("a", normalized=True)]}, "normalized=True"),
        ({"end": "<end>"}, "without <end>"),
        ({"charsmap": b"nothing"}, "precompiled character map"),
        ({"max_length": 1}, "max_length must be 2"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options, match):
    with pytest.raises(UserError, match=match) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


def test_an_added_token_with_white_space_is_refused():
    with pytest.raises(UserError, match="without white space"):
        SentencePiece((*VOCABULARY, "a b"), SCORES, added_tokens=[AddedToken("a b")])


def test_more_scores_than_tokens_are_refused():
    with pytest.raises(UserError, match="21 scores of 20 tokens"):
        SentencePiece(VOCABULARY[:20], (*SCORES, 0.0)[:21])


def test_it_works_inside_a_dataset(tokenizer):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2)
    found = [
        row for x in data.map(lambda x: tokenizer(x, pad_to=24)) for row in x["token_ids"].numpy()
    ]
    assert np.array_equal(found, tokenizer(TEXTS, pad_to=24)["token_ids"])


def test_a_saved_model_carries_the_tokenizer(tokenizer, tmp_path):
    texts = tf.TensorSpec([None], tf.string)
    ids = tf.TensorSpec([None, None], tf.int32)
    module = tf.Module()
    module.tokenizer = tokenizer
    signatures = {
        "serving_default": tf.function(
            lambda text: tokenizer(text), input_signature=[texts], autograph=False
        ),
        "decode": tf.function(
            lambda ids: {"text": tokenizer.decode(ids)}, input_signature=[ids], autograph=False
        ),
    }
    module.encode, module.decode = signatures.values()
    tf.saved_model.save(module, str(tmp_path), signatures)
    expected = tokenizer(TEXTS)
    texts = tokenizer.decode(expected["token_ids"]).numpy().tolist()
    loaded = tf.saved_model.load(str(tmp_path)).signatures
    found = loaded["serving_default"](text=tf.constant(TEXTS))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    with Session(tmp_path) as session:
        found = session.run("serving_default", text=[text.encode() for text in TEXTS])
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
        decoded = session.run("decode", ids=expected["token_ids"].numpy())
        assert decoded["text"].tolist() == texts


LITE_LENGTH = 20
LITE = [*TEXTS[:-1], "the " * 40, "x＜unk＞x a", "a\u3000b\x85a", "e\u0301", "▁a▁▁b"]


@pytest.fixture(scope="module")
def runners(tokenizer, tmp_path_factory):
    from ai_edge_litert import interpreter
    from tensorflow_text import tflite_registrar

    one = tf.TensorSpec([1], tf.string)
    module = tf.Module()
    module.tokenizer = tokenizer
    module.single = tf.function(
        lambda text: tokenizer.lite_inputs(text, LITE_LENGTH), input_signature=[one],
        autograph=False,
    )  # fmt: skip
    module.pair = tf.function(
        lambda text, pair: tokenizer.lite_inputs(text, LITE_LENGTH, pair),
        input_signature=[one, one], autograph=False,
    )  # fmt: skip
    folder = str(tmp_path_factory.mktemp("model"))
    tf.saved_model.save(module, folder, {"single": module.single, "pair": module.pair})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = True
    interpreter = interpreter.InterpreterWithCustomOps(
        tflite_registrar.SELECT_TFTEXT_OPS, model_content=converter.convert()
    )
    ops = {op["op_name"] for op in interpreter._get_ops_details()}
    return interpreter.get_signature_runner("single"), interpreter.get_signature_runner("pair"), ops


def test_one_op_in_tflite_is_tensorflow_text_s(runners):
    assert {op for op in runners[2] if not op.isupper()} == {"TFText>FastSentencepieceTokenize"}


@pytest.mark.parametrize("text", LITE, ids=range(len(LITE)))
def test_a_converted_row_is_the_row_of_the_graph(tokenizer, runners, text):
    raw = np.array([text.encode()], dtype=object)
    found, expected = runners[0](text=raw), tokenizer([text], pad_to=LITE_LENGTH)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    other = np.array([b"a <extra_id_1>, the"], dtype=object)
    found = runners[1](text=raw, pair=other)
    expected = tokenizer([text], list(other), pad_to=LITE_LENGTH)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


# Against the references.


@pytest.fixture(scope="module")
def t5(shared_data):
    """Ours, with and without literals, in a graph."""
    folder = shared_data("tok-t5-json")
    plain = SentencePiece.from_folder(folder, special_literals=False)
    return SentencePiece.from_folder(folder), plain


@pytest.fixture(scope="module")
def hugging_face(shared_data):
    transformers = pytest.importorskip("transformers")
    return transformers.T5Tokenizer.from_pretrained(shared_data("tok-t5-json"))


def graph(tokenizer):
    specs = [tf.TensorSpec([None], tf.string)]
    return tf.function(tokenizer.tokenize, input_signature=specs, autograph=False)


def without_end(tokenizer, **options):
    """transformers' tokenizer as a function from texts to ids."""
    return lambda texts: tokenizer(texts, add_special_tokens=False, **options)["input_ids"]


def different(ours, theirs, texts):
    """The texts whose ids differ."""
    run, found = graph(ours), []
    for start in range(0, len(texts), 2048):
        batch = texts[start : start + 2048]
        expected = theirs(batch)
        ids = run(tf.constant([text.encode() for text in batch])).to_list()
        found += [t for t, a, b in zip(batch, ids, expected, strict=True) if a != b]
    return found


@pytest.mark.parity
@pytest.mark.data
def test_spiece_model_and_tokenizer_json_are_one_tokenizer(shared_data, t5):
    other = SentencePiece.from_folder(shared_data("tok-t5"))
    assert other.vocabulary == t5[0].vocabulary and other.charsmap == t5[0].charsmap
    assert np.array_equal(np.float32(other.scores), np.float32(t5[0].scores))
    assert set(other.added_tokens) == set(t5[0].added_tokens)


@pytest.mark.data
def test_published_ids_are_found(shared_data, t5):
    dev = json.loads((shared_data("golden-tokens-dev") / "t5.json").read_text("utf-8"))
    cases = [case for cases in dev.values() for case in cases.values()]
    assert len(cases) > 20
    for case in cases:
        rows = t5[0]([case["text"]])["token_ids"].numpy().tolist()
        assert rows == [case["ids"]], case["text"]
        (text,) = t5[0].decode(rows, clean_up=True).numpy()
        assert text.decode() == case["decoded"]
    swift = shared_data("golden-tokens-swift") / "t5_base_encoded.json"
    swift = json.loads(swift.read_text("utf-8"))
    found = t5[0].tokenize([swift["text"]]).to_list()
    assert [[*row, t5[0].end_id] for row in found] == [swift["token_ids"]]


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.slow
def test_every_code_point_is_equal(t5, hugging_face):
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    chance = random.Random(3)
    # All that any rule may treat otherwise, and some of the others.
    points = [c for c in points if ord(c) < 0x3400 or 0xA000 <= ord(c) < 0xAC00
              or 0xF900 <= ord(c) < 0x20000 or 0xE0000 <= ord(c) < 0xE0200
              or not chance.randrange(50)]  # fmt: skip
    for context in ("{}", "ab{}cd", "a {} b"):
        assert not different(t5[0], without_end(hugging_face), [context.format(c) for c in points])


def fuzz(seed, count, alphabet, longest):
    chance = random.Random(seed)
    lengths = (chance.randrange(longest) for _ in range(count))
    return ["".join(chance.choices(alphabet, k=n)) for n in lengths]


@pytest.mark.parity
@pytest.mark.data
def test_fuzzed_texts_are_equal(t5, hugging_face):
    odd = "<extra_id_0>|<extra_id_10>|<extra_id_100>|</s>|<unk>|<pad>|<|>|extra_id_0>"
    odd += "|＜unk＞|＜/s＞|＜extra_id_7＞| |  |\n|\r\n|\t|a|the|.|,|▁|▁▁|中|国|\x00|\x01|\u200b|é"
    odd += "|ing|\ufffd|\u3000|\u2028|ﬁ|²|\ufeff|\u00ad|가|\u1112\u1161|か\u3099|\u200d|e\u0301"
    odd += "|\x7f|\x85|\U0001f469\u200d\U0001f467|\U0001f1e9\U0001f1ea"
    texts = fuzz(1, 12_000, odd.split("|"), 12)
    marks = [chr(c) for c in range(0x300, 0x370)] + "\u0591 \u1dc4 \u20d0 \u200d \u200c".split(" ")
    texts += fuzz(2, 8_000, [*"aeiouAEI <>=0²½ﬁéöё" * 5, *marks], 8)
    assert not different(t5[0], without_end(hugging_face), texts)
    assert not different(t5[1], without_end(hugging_face, split_special_tokens=True), texts)


@pytest.mark.parity
@pytest.mark.data
def test_runs_are_equal(t5, hugging_face):
    parts = ". ... ! - = ~ a ha 0 1 _ x ? / ab www é lol na 8 * # ′ 10".split()
    texts = [part * count for part in parts for count in range(1, 40)]
    assert not different(t5[0], without_end(hugging_face), texts)


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("clean_up", [False, True])
def test_decoded_texts_are_equal(t5, hugging_face, skip, clean_up):
    chance = random.Random(4)
    few = [0, 1, 2, 3, 5, 6, 19, 32099, 32000, 8774]
    rows = [[chance.choice(few) for _ in range(6)] for _ in range(500)]
    rows += [[chance.randrange(32100) for _ in range(6)] for _ in range(500)]
    expected = hugging_face.batch_decode(
        rows, skip_special_tokens=skip, clean_up_tokenization_spaces=clean_up
    )
    found = t5[0].decode(rows, skip, clean_up).numpy()
    assert [text.decode() for text in found] == expected


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("length", [2, 5, 8, 13, 14, 512])
def test_rows_and_pairs_are_equal(t5, hugging_face, length):
    first = ["a <extra_id_0> b c d e", "", "the cat " * 9, "x"] * 2
    second = ["y", "a b", "in the house", "the dog " * 5] + ["z"] * 4
    options = {"max_length": length, "truncation": True, "padding": "max_length"}
    for pairs in (None, second):
        expected = hugging_face(first, pairs, return_tensors="np", **options)
        found = t5[0](first, pairs, max_length=length, pad_to=length)
        assert np.array_equal(found["token_ids"], expected["input_ids"])
        assert np.array_equal(found["padding_mask"], expected["attention_mask"])


def every_text(shared_data):
    """The lines of all text files of the data sets, each once."""
    lines = {}
    for item in sorted(shared_data("data-cola").parent.glob("data-*")):
        for path in sorted(item.rglob("*")):
            if not path.is_file():
                continue
            blobs = [path.read_bytes()]
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    blobs = [archive.read(name) for name in archive.namelist()]
            elif path.suffix == ".gz":
                blobs = [gzip.decompress(blobs[0])]
            for blob in blobs:
                if b"\0" not in blob[:1000]:
                    lines |= dict.fromkeys(blob.decode(errors="replace").split("\n"))
    return [line for line in lines if line]


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.slow
def test_texts_of_the_data_sets_are_equal(shared_data, t5, hugging_face):
    texts = every_text(shared_data)
    assert len(texts) > 300_000
    chosen = random.Random(5).sample(texts, 40_000)
    assert not different(t5[0], without_end(hugging_face), chosen)


@pytest.mark.parity
@pytest.mark.data
def test_another_model_is_as_tokenizers_runs_it(shared_data):
    tokenizers = pytest.importorskip("tokenizers")
    from tfzoo.text.sentencepiece_model import read_unigram

    # Its character map is another, and its unknown token is the first.
    model = read_unigram(shared_data("tok-sentencepiece-small") / "test_model.model")
    names = {"unknown": "<unk>", "padding": "<unk>"}
    ours = SentencePiece(model.pieces, model.scores, charsmap=model.charsmap, **names)
    pairs = list(zip(model.pieces, model.scores, strict=True))
    theirs = tokenizers.Tokenizer(tokenizers.models.Unigram(pairs, model.unk_id, False))
    theirs.normalizer = tokenizers.normalizers.Precompiled(model.charsmap)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
    )
    texts = (shared_data("tok-sentencepiece-small") / "botchan.txt").read_text("utf-8").split("\n")
    odd = [" ", "\t", "\r", "\u3000", "\x85", "\u2028", "e\u0301", "ﬁ", "the", "</s>", "\x01", "中"]
    texts += fuzz(6, 2000, odd, 9)
    assert not different(ours, lambda x: [e.ids for e in theirs.encode_batch(x)], texts)
