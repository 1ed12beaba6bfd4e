"""Tokenized documents in TFRecord files, one tf.train.Example a document.

    token_ids         int64 list, all tokens of the document, without special ones
    sentence_lengths  int64 list, how many of them each sentence has
    characters        int64, how many characters the text has

`tf.io.parse_single_example` reads them with nothing of tfzoo. `read` takes a folder that
`tfzoo prepare` wrote into memory; `from_texts` does without a folder.

Source of the bytes: protobuf.dev/programming-guides/encoding, TensorFlow's example.proto.
"""

import functools
import hashlib
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.data.documents import Documents
from tfzoo.text import kinds
from tfzoo.text.tokenizer import Tokenizer

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"
FORMAT = 1
COUNTS = ("documents", "sentences", "tokens", "characters")

# Texts are tokenized together until they have so many characters; more is not faster.
_BATCH_CHARACTERS = 1 << 18
_READ_AT_ONCE = 1024  # records

Tokenize = Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]
Tokenized = list[tuple[np.ndarray, np.ndarray, int]]  # token ids, lengths of sentences, characters


def read(
    folder: str | os.PathLike[str], split: str = "train", check_hashes: bool = False
) -> Documents:
    """All documents of a split of a folder that `tfzoo prepare` wrote.

    Args:
        folder: The folder.
        split: "train" or "evaluation".
        check_hashes: Whether every file is compared with its SHA-256 in the manifest, too.

    Raises:
        UserError: for a folder that is not of this kind or not whole, and a split that it has not.
    """
    folder = pathlib.Path(folder).expanduser()
    totals = _split(folder, split)
    if not totals["documents"]:
        raise UserError(
            f"{folder} holds no document of its split {split}. Prepare more texts, or with another "
            f"evaluation_share. Received: split={split}."
        )
    token_ids = np.empty(totals["tokens"], np.int32)
    sentence_lengths = np.empty(totals["sentences"], np.int64)
    sentence_counts = np.empty(totals["documents"], np.int64)
    seen = Counter[str]()
    for shard in totals["shards"]:
        path = folder / shard["file"]
        _check_file(path, shard, check_hashes)
        before = seen.copy()
        for ids, lengths, counts, characters in _parsed(path):
            for name, array, part in (
                ("tokens", token_ids, ids),
                ("sentences", sentence_lengths, lengths),
                ("documents", sentence_counts, counts),
            ):
                if seen[name] + len(part) > len(array):
                    raise _other_counts(path)
                array[seen[name] : seen[name] + len(part)] = part
                seen[name] += len(part)
            seen["characters"] += int(characters.sum())
        if any(seen[name] - before[name] != shard[name] for name in COUNTS):
            raise _other_counts(path)
    return Documents(token_ids, _starts(sentence_lengths), _starts(sentence_counts),
                     seen["characters"])  # fmt: skip


def tokenizer(folder: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer that the documents of a folder were tokenized with.

    Raises:
        UserError: as `read`.
    """
    folder = pathlib.Path(folder).expanduser()
    return kinds.read(manifest(folder)["tokenizer"]["kind"], folder / TOKENIZER)


def from_texts(documents: Iterable[Sequence[str]], tokenizer: Tokenizer) -> Documents:
    """Tokenizes documents, each a list of sentences, that fit into memory.

    Args:
        documents: The documents. A sentence begins with the space before it, if there is one.
        tokenizer: Of any kind.

    Raises:
        UserError: when no document has a token.
    """
    found = list(_tokenized(documents, tokenize_function(tokenizer)))
    if not found:
        raise UserError("The documents hold no tokens. Expected texts to train on.")
    ids, lengths, characters = zip(*found, strict=True)
    counts = np.array([len(of_document) for of_document in lengths], np.int64)
    return Documents(
        np.concatenate(ids).astype(np.int32),
        _starts(np.concatenate(lengths)),
        _starts(counts),
        sum(characters),
    )


def write(
    path: pathlib.Path, documents: Iterable[Sequence[str]], tokenize: Tokenize
) -> Counter[str]:
    """Writes documents as a TFRecord file.

    Args:
        path: The file.
        documents: Each a list of sentences.
        tokenize: From `tokenize_function`.

    Returns:
        How many documents, sentences, tokens and characters it has, and how many documents were
        left out because they had no token (`without_tokens`).
    """
    counts = Counter[str]()
    with tf.io.TFRecordWriter(str(path)) as file:
        for batch in _batches(documents):
            tokenized = _tokenize(batch, tokenize)
            for record in _examples(tokenized):
                file.write(record)
            counts["documents"] += len(tokenized)
            counts["sentences"] += sum(len(lengths) for _, lengths, _ in tokenized)
            counts["tokens"] += sum(len(ids) for ids, _, _ in tokenized)
            counts["characters"] += sum(characters for *_, characters in tokenized)
            counts["without_tokens"] += len(batch) - len(tokenized)
    return counts


def tokenize_function(tokenizer: Tokenizer) -> Tokenize:
    """Sentences to all their token ids, `(n,)` int32, and each one's number of them, in a graph."""
    traced = tf.function(
        tokenizer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )

    def tokenize(sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        ragged = traced(tf.constant([s.encode() for s in sentences], tf.string))
        return ragged.values.numpy(), ragged.row_lengths().numpy()

    return tokenize


@functools.lru_cache(maxsize=1)
def tokenize_with(kind: str, folder: str) -> Tokenize:
    """The function of the tokenizer in a folder, read once in a process."""
    return tokenize_function(kinds.read(kind, folder))


def manifest(folder: pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder that `tfzoo prepare` wrote.

    Raises:
        UserError: when there is none, or it is of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(
            f"Expected a folder that `tfzoo prepare` wrote, with {MANIFEST}. Received: {folder}."
        )
    found = json_file.read_object(path)
    if found.get("format") != FORMAT:
        raise UserError(
            f"{path} is of another format. Expected format {FORMAT}. Received: "
            f"format={found.get('format')!r}. Prepare the folder anew."
        )
    return found


def digest(path: pathlib.Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _split(folder: pathlib.Path, split: str) -> dict[str, Any]:
    splits = manifest(folder).get("splits", {})
    if split not in splits:
        raise UserError(
            f"{folder} has no such split. Expected one of {', '.join(splits)}. "
            f"Received: split={split!r}."
        )
    totals = splits[split]
    try:
        whole = all(
            totals[name] == sum(shard[name] for shard in totals["shards"]) for name in COUNTS
        )
        names = [shard["file"] for shard in totals["shards"]]
    except (KeyError, TypeError):
        whole, names = False, []
    if not whole or any(pathlib.PurePath(name).name != name for name in names):
        raise UserError(f"{folder / MANIFEST} was changed: its counts do not add up.")
    found: dict[str, Any] = totals
    return found


def _check_file(path: pathlib.Path, shard: dict[str, Any], check_hashes: bool) -> None:
    size = path.stat().st_size if path.exists() else None
    if size != shard.get("bytes"):
        received = "no such file" if size is None else f"{size} bytes"
        raise UserError(
            f"{path} is not whole. Expected {shard.get('bytes')} bytes. Received: {received}. "
            "Copy the folder again, or prepare it anew."
        )
    if check_hashes and digest(path) != shard.get("sha256"):
        raise UserError(
            f"{path} was changed: its SHA-256 is not that of {MANIFEST}. Copy the folder again, "
            "or prepare it anew."
        )


def _other_counts(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} has other counts than {MANIFEST} says. Copy the folder again, or prepare it anew."
    )


def _parsed(
    path: pathlib.Path,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of token ids, lengths of sentences, sentences of documents, and characters."""
    features = {
        "token_ids": tf.io.RaggedFeature(tf.int64),
        "sentence_lengths": tf.io.RaggedFeature(tf.int64),
        "characters": tf.io.FixedLenFeature([], tf.int64),
    }
    records = tf.data.TFRecordDataset(str(path), buffer_size=1 << 20).batch(_READ_AT_ONCE)
    rows = records.map(lambda batch: tf.io.parse_example(batch, features), 2).prefetch(2)
    try:
        for row in rows:
            lengths = row["sentence_lengths"]
            if int(tf.reduce_sum(lengths.values)) != len(row["token_ids"].values):
                raise _other_counts(path)
            yield (
                row["token_ids"].values.numpy(),
                lengths.values.numpy(),
                lengths.row_lengths().numpy(),
                row["characters"].numpy(),
            )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(str(error.message).split())[:120]
        raise UserError(
            f"{path} is damaged, or no file of `tfzoo prepare`: {reason}. Prepare it anew."
        ) from None


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Where each run begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _batches(documents: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    held: list[Sequence[str]] = []
    characters = 0
    for document in documents:
        held.append(document)
        characters += sum(map(len, document))
        if characters >= _BATCH_CHARACTERS:
            yield held
            held, characters = [], 0
    if held:
        yield held


def _tokenized(documents: Iterable[Sequence[str]], tokenize: Tokenize) -> Iterator[Any]:
    for batch in _batches(documents):
        yield from _tokenize(batch, tokenize)


def _tokenize(documents: Sequence[Sequence[str]], tokenize: Tokenize) -> Tokenized:
    """The documents and sentences that have tokens."""
    token_ids, lengths = tokenize([sentence for document in documents for sentence in document])
    ends = np.cumsum(lengths)
    found: Tokenized = []
    token = sentence = 0
    for document in documents:
        of_document = lengths[sentence : sentence + len(document)]
        sentence += len(document)
        end = int(ends[sentence - 1]) if sentence else 0
        if end > token:
            # A sentence may have no tokens, as one of characters that the tokenizer drops.
            characters = sum(map(len, document))
            found.append((token_ids[token:end], of_document[of_document > 0], characters))
            token = end
    return found


def _examples(documents: Tokenized) -> Iterator[bytes]:
    """The documents as serialized examples, with the features in the order of their names."""
    if not documents:
        return
    ids, id_starts = _varints(np.concatenate([ids for ids, _, _ in documents]))
    lengths, length_starts = _varints(np.concatenate([lengths for _, lengths, _ in documents]))
    token = sentence = 0
    for of_ids, of_lengths, characters in documents:
        next_token, next_sentence = token + len(of_ids), sentence + len(of_lengths)
        yield _field(
            1,
            _feature("characters", _varint(characters))
            + _feature(
                "sentence_lengths",
                lengths[length_starts[sentence] : length_starts[next_sentence]],
            )
            + _feature("token_ids", ids[id_starts[token] : id_starts[next_token]]),
        )
        token, sentence = next_token, next_sentence


def _varints(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Numbers from 0 to 2**35 - 1 in protobuf's variable length, and where each begins."""
    sizes = np.ones(len(values), np.int64)
    for bits in (7, 14, 21, 28):
        sizes += values >= 1 << bits
    starts = _starts(sizes)
    out = np.empty(starts[-1], np.uint8)
    for place in range(int(sizes.max(initial=0))):
        chosen = sizes > place
        more = np.where(sizes[chosen] > place + 1, 128, 0)
        out[starts[:-1][chosen] + place] = values[chosen] >> 7 * place & 127 | more
    return out.tobytes(), starts


@functools.lru_cache(1 << 16)  # Lengths come again and again.
def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _feature(name: str, packed: bytes) -> bytes:
    """An entry of the map of features: Feature{int64_list{value}} by name."""
    value = _field(3, _field(1, packed))
    return _field(1, _field(1, name.encode()) + _field(2, value))
