"""GPT-1's BPE: what it does by itself, and that it is transformers' in every case."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

from tests.text.byte_level_bpe_test import lines_of
from tfzoo.core.errors import UserError
from tfzoo.export.session import Session
from tfzoo.text.gpt_bpe import GptBPE

MERGES = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("a", "a"), ("中", "文</w>")]
MERGES += [("i", "n"), ("in", "g</w>"), ("ca", "t"), ("“", "x</w>")]
LETTERS = "thecaingsé中文,.'“x-"


@pytest.fixture(scope="module")
def tokenizer():
    letters = [letter + end for letter in LETTERS for end in ("", "</w>")]
    merged = ["".join(pair) for pair in MERGES]
    return GptBPE(["<unk>", *letters, *merged, "<pad>"], MERGES, added_tokens=["<pad>"])


def tokens(tokenizer, *texts):
    found = tokenizer.tokenize(list(texts)).to_list()
    return [" ".join(tokenizer.vocabulary[i] for i in row) for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\x00", ""),
        ("The cat", "the</w> cat</w>"),
        ("cats catting", "cat s</w> cat t ing</w>"),
        ("it's, tea.", "i t</w> '</w> s</w> ,</w> t e a</w> .</w>"),
        ("CAFÉ é", "ca <unk> e</w> e</w>"),
        ("dot zzz", "<unk> <unk> t</w> <unk> <unk> <unk>"),
        ("中文", "中</w> 文</w>"),
        ("“x”", "“</w> x</w> <unk>"),
        ("a<unk>t <PAD><pad>", "a</w> <unk> t</w> <unk> <unk> a <unk> <unk> <pad>"),
        ("aaa", "aa a</w>"),
    ],
)
def test_texts_become_tokens(tokenizer, text, expected):
    assert tokens(tokenizer, text) == [expected]


def test_many_texts_keep_their_rows(tokenizer):
    assert tokens(tokenizer, "", "cat the", "", "<pad>") == ["", "cat</w> the</w>", "", "<pad>"]
    assert tokens(tokenizer) == []


def test_literals_are_text_when_switched_off(tokenizer):
    plain = GptBPE(tokenizer.vocabulary, MERGES, special_literals=False)
    assert tokens(plain, "<unk>") == ["<unk> <unk> n <unk> <unk>"]
    assert tokens(plain, "\ue0010\ue002 the") == ["<unk> the</w>"]


def test_private_letters_of_a_vocabulary_are_never_found():
    own = GptBPE(["<unk>", "\u061d</w>", "\U000f0000</w>", "\ue001</w>", "a</w>"], [])
    texts = ["\u061d a", "\U000f0000 a", "\ue001 a"]
    assert own.tokenize(texts).to_list() == [[1, 4], [4], [4]]


def test_rows_have_no_special_tokens(tokenizer):
    inputs = tokenizer(["the cat", "the"], ["cat", "cat the cat"])
    the, cat = map(tokenizer.id_of, ("the</w>", "cat</w>"))
    assert inputs["token_ids"].numpy().tolist() == [[the, cat, cat, 0], [the, cat, the, cat]]
    assert not inputs["segment_ids"].numpy().any()
    padded = GptBPE(tokenizer.vocabulary, MERGES, named_tokens={"pad_token": "<pad>"})
    assert padded(["the"], pad_to=2)["token_ids"].numpy().tolist() == [[the, padded.pad_id]]
    assert padded.pad_id == tokenizer.id_of("<pad>")


def test_the_last_piece_decides_about_the_space(tokenizer):
    ids = tokenizer.tokenize(["the cats", "cat<unk>"])
    assert tokenizer.decode(ids).numpy().tolist() == [b"the cats", b"cat <unk>"]
    assert tokenizer.decode(ids, skip_special_tokens=True).numpy().tolist() == [b"the cats", b"cat"]
    cleaned = tokenizer.decode(tokenizer.tokenize(["tea, tea."]), clean_up=True)
    assert cleaned.numpy().tolist() == [b"tea, tea."]


def test_wrong_arguments_are_refused(tokenizer):
    with pytest.raises(UserError, match="without <x>"):
        GptBPE(tokenizer.vocabulary, MERGES, unknown="<x>")
    with pytest.raises(UserError, match="'z'"):
        GptBPE(tokenizer.vocabulary, [("z", "z")])


@pytest.mark.slow
def test_a_saved_model_runs_as_tensorflow_serving_runs_it(tokenizer, tmp_path, fuzz):
    module = tf.Module()
    module.tokenizer = tokenizer
    spec = tf.TensorSpec([None], tf.string, name="text")
    module.encode = tf.function(lambda text: tokenizer(text), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), {"encode": module.encode})
    texts = fuzz(0, 100, [*LETTERS, "the", "cat"])
    with Session(tmp_path) as session:
        found = session.run("encode", text=texts)
    for name, values in tokenizer(texts).items():
        assert np.array_equal(found[name], values.numpy())


# Against Hugging Face.


@pytest.fixture(scope="module")
def both(shared_data):
    transformers = pytest.importorskip("transformers")
    folder = shared_data("tok-gpt1")
    lines = (folder / "vocab_40000.bpe").read_text("utf-8").split("\n")
    theirs = transformers.OpenAIGPTTokenizer(
        vocab=json.loads((folder / "encoder_bpe_40000.json").read_text("utf-8")),
        merges=[tuple(line.split()) for line in lines[1:-1]],
    )
    return GptBPE.from_folder(folder), theirs.backend_tokenizer


def assert_same(ours, theirs, texts):
    found = ours.tokenize(texts)
    flat, splits = found.flat_values.numpy().tolist(), found.row_splits.numpy().tolist()
    expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
    bounds = zip(texts, expected, splits, splits[1:], strict=False)
    assert not [text for text, ids, start, end in bounds if flat[start:end] != ids]


@pytest.mark.parity
@pytest.mark.data
def test_fuzzed_texts_are_equal(both, fuzz):
    assert_same(*both, fuzz(1, 6000, ["the", "Cat", "<unk>", "<UNK>", "unaffable", "'s", "don't"]))


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("skip", [True, False])
def test_decoded_texts_are_equal(both, skip):
    ours, theirs = both
    chance = random.Random(5)
    ids = [
        [chance.randrange(ours.vocab_size + 3) * (chance.random() < 0.9)
         for _ in range(chance.randrange(9))]
        for _ in range(2000)
    ]  # fmt: skip
    found = ours.decode(tf.ragged.constant(ids, dtype=tf.int32), skip).numpy()
    assert [text.decode() for text in found] == theirs.decode_batch(ids, skip_special_tokens=skip)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
def test_every_code_point_is_equal(both):
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    for start in range(0, len(points), 50_000):
        chunk = points[start : start + 50_000]
        assert_same(*both, [f"{c} a{c}b {c}{c} {c}the" for c in chunk])


@pytest.mark.slow
@pytest.mark.parity
def test_every_code_point_is_equal_with_a_vocabulary_of_all(tmp_path):
    # So that no difference hides behind an unknown character.
    transformers = pytest.importorskip("transformers")
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    letters = [c for c in points if c.strip() and not "\ue000" <= c <= "\uf8ff"]
    vocabulary = ["<unk>", *(letter + end for letter in letters for end in ("", "</w>"))]
    ours = GptBPE(vocabulary, [])
    ids = {token: number for number, token in enumerate(vocabulary)}
    theirs = transformers.OpenAIGPTTokenizer(vocab=ids, merges=[]).backend_tokenizer
    for start in range(0, len(points), 100_000):
        assert_same(ours, theirs, [f"{c} a{c}b" for c in points[start : start + 100_000]])


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.data
def test_every_text_of_the_data_sets_is_equal(both, shared_data):
    count = 0
    for path in sorted(shared_data("data-agnews").parent.glob("data-*/**/*")):
        if path.is_file() and path.name != "SOURCE.txt":
            texts = lines_of(path)
            for start in range(0, len(texts), 5000):
                assert_same(*both, texts[start : start + 5000])
            count += len(texts)
    assert count > 200_000
