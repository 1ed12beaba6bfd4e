"""Documents in the order of their keys, however many there are, with little memory.

A document's key is a hash of its text under the seed. Sorted by key, documents are shuffled, equal
ones are neighbours, and a share of the keys is a share of the documents: so one number decides
order, shard and what is there twice, whoever computes it, in whatever order.

    documents ─ key ─► bucket 0 | bucket 1 | ... on disk ─ each sorted by itself ─► shards

The buckets of a shard lie one after the other; each is small enough to be sorted in memory.
"""

import dataclasses
import hashlib
import math
import pathlib
import struct
from collections.abc import Iterable, Iterator

from tfzoo.data.preparation import EVALUATION, TRAIN, Preparation

Keyed = tuple[bytes, bytes]  # a key, and the text in UTF-8

_BUCKET_BYTES = 8 << 20  # of text
_HELD_BYTES = 32 << 20  # of text, before buckets are written
_HEAD = struct.Struct("<16sI")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How documents are spread over buckets.

    Attributes:
        seed: What the keys depend on.
        evaluation_share: The share of documents held out.
        shards: Shards by split.
        buckets: Buckets by split, a multiple of its shards.
    """

    seed: int
    evaluation_share: float
    shards: dict[str, int]
    buckets: dict[str, int]

    def place(self, text: bytes) -> tuple[str, bytes]:
        """The bucket and the key of a document."""
        digest = hashlib.blake2b(text, digest_size=16).digest()
        # Not the key: with another seed the same documents are held out.
        held_out = int.from_bytes(digest[:8], "big") < self.evaluation_share * 2**64
        split = EVALUATION if held_out else TRAIN
        seed = self.seed.to_bytes(8, "big")
        key = hashlib.blake2b(digest, digest_size=16, key=seed).digest()
        number = int.from_bytes(key[:8], "big") * self.buckets[split] >> 64
        return bucket_name(split, number), key

    def of_shard(self, split: str, shard: int) -> list[str]:
        """The buckets of a shard, in order."""
        each = self.buckets[split] // self.shards[split]
        return [bucket_name(split, shard * each + i) for i in range(each)]

    def names(self) -> list[str]:
        """All buckets."""
        return [bucket_name(split, i) for split, n in self.buckets.items() for i in range(n)]


def layout(how: Preparation, text_bytes: int) -> Layout:
    """Buckets of a size that fits into memory, for about so much text."""
    shares = {TRAIN: 1 - how.evaluation_share, EVALUATION: how.evaluation_share}
    shards = how.shards()
    sizes = {split: text_bytes * shares[split] / count for split, count in shards.items()}
    buckets = {s: n * max(1, math.ceil(sizes[s] / _BUCKET_BYTES)) for s, n in shards.items()}
    return Layout(how.seed, how.evaluation_share, shards, buckets)


def bucket_name(split: str, number: int) -> str:
    """The name of a bucket, which its files have too."""
    return f"{split}-{number:05d}"


class Writer:
    """Spreads documents over the buckets of a folder; use it in a `with` statement.

    Args:
        folder: Where the buckets are.
        task: Whose files these are; no two writers of a folder have the same number.
    """

    def __init__(self, folder: pathlib.Path, task: int):
        self._folder = folder
        self._task = task
        self._held: dict[str, bytearray] = {}
        self._size = 0

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()

    def add(self, bucket: str, key: bytes, text: bytes) -> None:
        """Puts a document into its bucket."""
        held = self._held.setdefault(bucket, bytearray())
        held += _HEAD.pack(key, len(text))
        held += text
        self._size += len(text) + _HEAD.size
        if self._size > _HELD_BYTES:
            self._flush()

    def _flush(self) -> None:
        for bucket, held in self._held.items():
            with (self._folder / f"{bucket}.{self._task}").open("ab") as file:
                file.write(held)
        self._held = {}
        self._size = 0


def read(folder: pathlib.Path, bucket: str) -> Iterator[Keyed]:
    """The documents of a bucket, in no order that means anything."""
    for path in sorted(folder.glob(f"{bucket}.*")):
        with path.open("rb") as file:
            while head := file.read(_HEAD.size):
                key, length = _HEAD.unpack(head)
                yield key, file.read(length)


def remove(folder: pathlib.Path, bucket: str) -> None:
    """Deletes the files of a bucket."""
    for path in folder.glob(f"{bucket}.*"):
        path.unlink()


def in_order(documents: Iterable[Keyed]) -> tuple[list[bytes], int]:
    """The different texts, sorted by key, and how many came a second time."""
    texts: dict[bytes, bytes] = {}
    count = 0
    for key, text in documents:
        texts.setdefault(key, text)
        count += 1
    return [texts[key] for key in sorted(texts)], count - len(texts)
