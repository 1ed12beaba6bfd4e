"""One key decides order, split, shard and what is there twice."""

import dataclasses
import hashlib

from tfzoo.data import buckets
from tfzoo.data.preparation import Preparation

HOW = Preparation(("x",), "t", evaluation_share=0.2, train_shards=4, evaluation_shards=2)
TEXTS = [f"text number {i}".encode() for i in range(4000)]


def in_shards(layout):
    """The shard and place in it of each text."""
    placed = {text: layout.place(text) for text in TEXTS}
    names = {
        (split, shard): layout.of_shard(split, shard)
        for split, count in layout.shards.items()
        for shard in range(count)
    }
    return {
        shard: sorted((key, text) for text, (name, key) in placed.items() if name in buckets_of)
        for shard, buckets_of in names.items()
    }


def test_shards_do_not_depend_on_the_number_of_buckets():
    few, many = buckets.layout(HOW, 0), buckets.layout(HOW, 1 << 29)
    assert len(few.names()) == 6 and len(many.names()) > 60
    assert in_shards(few) == in_shards(many)
    assert sum(map(len, in_shards(few).values())) == len(TEXTS)


def test_a_bucket_is_a_part_of_the_order():
    layout = buckets.layout(HOW, 1 << 29)
    by_key = sorted(layout.place(text)[::-1] for text in TEXTS)
    names = [name for _, name in by_key if name.startswith("train")]
    assert names == sorted(names)


def test_the_hash_alone_decides_what_is_held_out_and_the_seed_the_order():
    one, two = (buckets.layout(dataclasses.replace(HOW, seed=seed), 0) for seed in (1, 2))

    def held_out(layout):
        return [layout.place(text)[0].startswith("evaluation") for text in TEXTS]

    def order(layout):
        return sorted(TEXTS, key=lambda text: layout.place(text)[1])

    assert held_out(one) == held_out(two)
    assert 0.17 < sum(held_out(one)) / len(TEXTS) < 0.23
    assert order(one) != order(two)


def test_the_key_is_the_hash_that_is_documented():
    digest = hashlib.blake2b(b"text", digest_size=16).digest()
    key = hashlib.blake2b(digest, digest_size=16, key=(1).to_bytes(8, "big")).digest()
    assert buckets.layout(HOW, 0).place(b"text")[1] == key


def test_shards_are_of_about_one_size():
    sizes = [len(texts) for texts in in_shards(buckets.layout(HOW, 0)).values()]
    assert all(700 < size < 900 for size in sizes[:4])
    assert all(340 < size < 460 for size in sizes[4:])


def test_buckets_come_back_from_disk_whoever_wrote_them(tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "_HELD_BYTES", 100)  # Writes often.
    layout = buckets.layout(HOW, 0)
    written = {}
    for task in range(2):
        with buckets.Writer(tmp_path, task) as writer:
            for text in TEXTS[task:300:2]:
                name, key = layout.place(text)
                writer.add(name, key, text)
                written.setdefault(name, set()).add((key, text))
    assert {name: set(buckets.read(tmp_path, name)) for name in layout.names()} == written
    for name in layout.names():
        buckets.remove(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_equal_documents_stay_once():
    found = [(b"2", b"b"), (b"1", b"a"), (b"2", b"b"), (b"2", b"b")]
    assert buckets.in_order(found) == ([b"a", b"b"], 2)
