"""Records are plain examples, and come back as the documents that were written."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.tiny import tokenizer as make_tokenizer
from tfzoo.core.errors import UserError
from tfzoo.data import prepare, records
from tfzoo.data.preparation import Preparation

# "x" is unknown, "" and the zero-width space have no tokens.
DOCUMENTS = [["a b.", " c x"], ["\u200b", "ab"], ["\u200b"], [], ["日é a " * 80, "b"]]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("prepared")
    tokenizer.save(folder / "tokenizer")
    texts = [f"{'ab' * i} a{' c' * i}. B{' b' * i}!" for i in range(1, 41)]
    (folder / "a.txt").write_text("\n\n".join(texts))
    how = Preparation(
        (str(folder / "a.txt"),),
        str(folder / "tokenizer"),
        train_shards=2,
        evaluation_share=0.2,
    )
    prepare.run(how, folder / "out")
    return folder / "out"


@pytest.fixture
def copy(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "copy")


def same(one, two):
    names = ("token_ids", "sentence_starts", "document_starts", "characters")
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)


def test_records_are_what_tensorflow_itself_would_write(tmp_path, tokenizer):
    path = tmp_path / "a.tfrecord"
    counts = records.write(path, DOCUMENTS, records.tokenize_function(tokenizer))
    found = [row.numpy() for row in tf.data.TFRecordDataset(str(path))]
    expected, sentences, tokens = [], 0, 0
    for document in DOCUMENTS:
        rows = [ids for ids in tokenizer.tokenize(document).to_list() if ids]
        if not rows:
            continue
        features = {
            "token_ids": [i for ids in rows for i in ids],
            "sentence_lengths": [len(ids) for ids in rows],
            "characters": [len("".join(document))],
        }
        sentences, tokens = sentences + len(rows), tokens + len(features["token_ids"])
        example = tf.train.Example()
        for name, values in features.items():
            example.features.feature[name].int64_list.value.extend(values)
        expected.append(example.SerializeToString(deterministic=True))
    assert found == expected
    assert counts == {
        "documents": 3, "sentences": sentences, "tokens": tokens,
        "characters": 8 + 3 + 401, "without_tokens": 2,
    }  # fmt: skip


def test_large_ids_are_written_as_protobuf_does():
    values = np.array([0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28, 2**31 - 1])
    encoded, starts = records._varints(values)
    expected = [records._varint(int(value)) for value in values]
    assert encoded == b"".join(expected)
    assert starts.tolist() == [0, *np.cumsum([len(part) for part in expected])]
    example = tf.train.Example()
    example.features.feature["x"].int64_list.value.extend(values.tolist())
    assert records._field(1, records._feature("x", encoded)) == example.SerializeToString()


def test_a_record_is_read_by_plain_tensorflow(prepared):
    features = {
        "token_ids": tf.io.VarLenFeature(tf.int64),
        "sentence_lengths": tf.io.VarLenFeature(tf.int64),
        "characters": tf.io.FixedLenFeature([], tf.int64),
    }
    rows = tf.data.TFRecordDataset(sorted(map(str, prepared.glob("train-*.tfrecord"))))
    parsed = [tf.io.parse_single_example(row, features) for row in rows]
    documents = records.read(prepared)
    ids = np.concatenate([row["token_ids"].values for row in parsed])
    np.testing.assert_array_equal(ids, documents.token_ids)
    assert sum(int(row["characters"]) for row in parsed) == documents.characters
    lengths = np.concatenate([row["sentence_lengths"].values for row in parsed])
    np.testing.assert_array_equal(lengths, np.diff(documents.sentence_starts))
    assert len(parsed) == len(documents)


def test_reading_gives_the_documents_and_the_counts_of_the_manifest(prepared, monkeypatch):
    monkeypatch.setattr(records, "_READ_AT_ONCE", 3)
    said = json.loads((prepared / "manifest.json").read_text())["splits"]
    for split in ("train", "evaluation"):
        documents = records.read(prepared, split, check_hashes=True)
        counts = (len(documents), len(documents.sentence_starts) - 1, len(documents.token_ids))
        assert counts == tuple(said[split][n] for n in ("documents", "sentences", "tokens"))
        assert documents.characters == said[split]["characters"]
    assert said["train"]["documents"] + said["evaluation"]["documents"] == 40


def test_texts_and_records_give_the_same_documents(tmp_path, tokenizer):
    documents = records.from_texts(DOCUMENTS, tokenizer)
    assert len(documents) == 3
    assert np.diff(documents.document_starts).tolist() == [2, 1, 2]
    first = tokenizer.tokenize(DOCUMENTS[0]).to_list()
    assert documents.token_ids[: documents.token_starts[1]].tolist() == first[0] + first[1]
    assert documents.characters == 8 + 3 + 401
    with pytest.raises(UserError, match="no tokens"):
        records.from_texts([["\u200b"], []], tokenizer)


def test_batches_do_not_change_the_documents(tokenizer, monkeypatch):
    whole = records.from_texts(DOCUMENTS, tokenizer)
    monkeypatch.setattr(records, "_BATCH_CHARACTERS", 1)
    same(records.from_texts(DOCUMENTS, tokenizer), whole)


def test_the_tokenizer_of_a_folder_comes_back(prepared, tokenizer):
    assert records.tokenizer(prepared).vocabulary == tokenizer.vocabulary


def shard(folder):
    return next(folder.glob("train-00001*"))


def torn(folder):
    shard(folder).write_bytes(shard(folder).read_bytes()[:-1])


def missing(folder):
    shard(folder).unlink()


def flipped(folder):
    content = bytearray(shard(folder).read_bytes())
    content[len(content) // 2] ^= 1
    shard(folder).write_bytes(bytes(content))


def changed(folder, **values):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["shards"][1].update(values)
    path.write_text(json.dumps(manifest))


def other_counts(folder):
    content = json.loads((folder / "manifest.json").read_text())
    train = content["splits"]["train"]
    for counts in (train, train["shards"][1]):
        counts["tokens"] += 1
    (folder / "manifest.json").write_text(json.dumps(content))


def no_manifest(folder):
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (torn, "train-00001-of-00002.tfrecord is not whole"),
        (missing, "Received: no such file"),
        (flipped, "train-00001-of-00002.tfrecord is damaged"),
        (other_counts, "train-00001-of-00002.tfrecord has other counts"),
        (lambda folder: changed(folder, tokens=1), "do not add up"),
        (lambda folder: changed(folder, file="../x"), "was changed"),
        (no_manifest, "Expected a folder that `tfzoo prepare` wrote"),
    ],
)
def test_a_damaged_folder_is_one_line(copy, damage, message):
    damage(copy)
    with pytest.raises(UserError, match=message) as raised:
        records.read(copy)
    assert "\n" not in str(raised.value)


def test_hashes_find_what_the_rest_does_not(copy):
    other = next(copy.glob("train-00000*"))
    changed(copy, sha256=records.digest(other))
    records.read(copy)
    with pytest.raises(UserError, match="its SHA-256 is not that"):
        records.read(copy, check_hashes=True)


def test_an_unknown_split_and_another_format_are_refused(copy):
    with pytest.raises(UserError, match="Expected one of train, evaluation"):
        records.read(copy, "dev")
    (copy / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match="Expected format 1"):
        records.read(copy)
