"""A folder of shards is a function of the texts and the settings, and whole or not there."""

import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.tasks.tiny import tokenizer as make_tokenizer
from tfzoo.core.errors import UserError
from tfzoo.data import buckets, cleaning, prepare, records
from tfzoo.data.preparation import Preparation

WORDS = "a b c ad bd é 日 x".split()


def texts(count, seed=0):
    chance = random.Random(seed)
    return [
        ". ".join(
            " ".join(chance.choices(WORDS, k=chance.randint(1, 9))).capitalize()
            for _ in range(chance.randint(1, 5))
        )
        for _ in range(count)
    ]


@pytest.fixture
def how(tmp_path):
    make_tokenizer().save(tmp_path / "tokenizer")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("\n\n".join(texts(150)))
    (tmp_path / "in" / "b.txt").write_text("\n\n".join([*texts(150, seed=1), *texts(150)[:9]]))
    return Preparation(
        (str(tmp_path / "in"),), str(tmp_path / "tokenizer"),
        evaluation_share=0.1, train_shards=3, min_characters=4,
    )  # fmt: skip


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def shards(folder):
    return {name: data for name, data in content(folder).items() if name.endswith(".tfrecord")}


def test_every_different_document_is_there_once_with_its_tokens(how, tmp_path):
    manifest = prepare.run(how, tmp_path / "out").manifest
    raw = [*texts(150), *texts(150, seed=1), *texts(150)[:9]]
    clean = {cleaning.clean(text, how) for text in raw}
    kept = {text for text in clean if len(text) >= 4}
    tokenizer = make_tokenizer()
    expected = sorted(
        [ids for ids in tokenizer.tokenize(cleaning.sentences(text, how)).to_list() if ids]
        for text in kept
    )
    found = []
    for split in ("train", "evaluation"):
        documents = records.read(tmp_path / "out", split)
        for first, last in itertools.pairwise(documents.document_starts):
            starts = documents.sentence_starts[first : last + 1]
            found.append([documents.token_ids[i:j].tolist() for i, j in itertools.pairwise(starts)])
    assert sorted(found) == expected
    short = sum(len(cleaning.clean(text, how)) < 4 for text in raw)
    dropped = {"read": 309, "too_short": short, "duplicates": 309 - short - len(kept)}
    assert manifest["cleaning"] == {**dropped, "without_tokens": 0}
    assert short and dropped["duplicates"]
    assert manifest["splits"]["evaluation"]["documents"] > 10


def test_the_folder_has_its_shards_its_tokenizer_and_nothing_else(how, tmp_path):
    prepare.run(how, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json",
        "tokenizer",
        "evaluation-00000-of-00001.tfrecord",
        *(f"train-{i:05d}-of-00003.tfrecord" for i in range(3)),
    }
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    for path in (tmp_path / "out", tmp_path / "out" / "tokenizer"):
        assert path.stat().st_mode & 0o777 == 0o777 & ~_umask()
    for split in json.loads((tmp_path / "out" / "manifest.json").read_text())["splits"].values():
        for shard in split["shards"]:
            path = tmp_path / "out" / shard["file"]
            facts = {"bytes": path.stat().st_size, "sha256": records.digest(path)}
            assert facts.items() <= shard.items()


def test_where_the_texts_stand_and_how_they_are_bucketed_changes_nothing(
    how, tmp_path, monkeypatch
):
    prepare.run(how, tmp_path / "out")
    monkeypatch.setattr(buckets, "_BUCKET_BYTES", 500)
    monkeypatch.setattr(prepare, "_TASK_BYTES", 1)
    both = tmp_path / "both.txt"
    both.write_text("\n\n".join([*texts(150, seed=1), *reversed(texts(150))]))
    prepare.run(dataclasses.replace(how, inputs=(str(both),)), tmp_path / "again")
    assert shards(tmp_path / "again") == shards(tmp_path / "out")


def test_another_seed_is_another_order_of_the_same_documents(how, tmp_path):
    prepare.run(how, tmp_path / "one")
    prepare.run(dataclasses.replace(how, seed=2), tmp_path / "two")
    for split in ("train", "evaluation"):
        one, two = (records.read(tmp_path / name, split) for name in ("one", "two"))
        assert one.fingerprint() != two.fingerprint()
        assert sorted(one.token_ids) == sorted(two.token_ids)
        assert len(one) == len(two)


def test_a_finished_folder_is_left_alone_and_another_refused(how, tmp_path):
    first = prepare.run(how, tmp_path / "out")
    before = content(tmp_path / "out")
    again = prepare.run(how, tmp_path / "out")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.manifest == first.manifest
    with pytest.raises(UserError, match=r"its settings.seed is 1\. Received: settings.seed=2"):
        prepare.run(dataclasses.replace(how, seed=2), tmp_path / "out")
    (tmp_path / "in" / "a.txt").write_text("a b c")
    with pytest.raises(UserError, match=r"prepared otherwise: its inputs"):
        prepare.run(how, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused(how, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="Expected a folder that `tfzoo prepare` wrote"):
        prepare.run(how, tmp_path / "out")
    assert content(tmp_path / "out") == {"mine": b"x"}


def test_a_mistake_leaves_nothing(how, tmp_path):
    (tmp_path / "in" / "c.txt").write_bytes(b"fine\n\nbad \xff")
    with pytest.raises(UserError, match=r"c.txt:3 is not UTF-8"):
        prepare.run(how, tmp_path / "out")
    nothing = dataclasses.replace(how, inputs=(str(tmp_path / "in" / "a.txt"),), min_characters=999)
    with pytest.raises(UserError, match="No document was left of 150 read"):
        prepare.run(nothing, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "tokenizer"]


def test_the_rest_of_a_killed_run_is_removed_but_not_that_of_a_running_one(how, tmp_path):
    dead, alive = tmp_path / ".out.dead", tmp_path / ".out.alive"
    for folder in (dead, alive):
        (folder / ".buckets").mkdir(parents=True)
    with prepare._lock(alive):
        prepare.run(how, tmp_path / "out")
    assert alive.exists() and not dead.exists()


def test_nothing_held_out_means_one_split(how, tmp_path):
    manifest = prepare.run(dataclasses.replace(how, evaluation_share=0.0), tmp_path / "out")
    assert list(manifest.manifest["splits"]) == ["train"]
    assert not list((tmp_path / "out").glob("evaluation*"))


@pytest.mark.slow
def test_several_processes_give_the_same_folder(how, tmp_path):
    prepare.run(how, tmp_path / "one")
    prepare.run(how, tmp_path / "two", num_workers=2)
    assert content(tmp_path / "two") == content(tmp_path / "one")


@pytest.mark.slow
def test_a_killed_run_leaves_no_folder_and_the_next_one_is_whole(how, tmp_path):
    code = (
        "import sys, time; from tfzoo.core.config import from_dict;"
        "from tfzoo.data import prepare; from tfzoo.data.preparation import Preparation;"
        "encode = prepare.encode;"
        "slow = lambda *a: (encode(*a), print('part', flush=True), time.sleep(60));"
        "prepare.encode = slow;"
        "prepare.run(Preparation((sys.argv[1],), sys.argv[2], evaluation_share=0.1,"
        "train_shards=3, min_characters=4), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, *how.inputs, how.tokenizer, tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"part\n"
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert not (tmp_path / "out").exists()
    assert len(list(tmp_path.glob(".out.*"))) == 1
    prepare.run(how, tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))
    prepare.run(how, tmp_path / "undisturbed")
    assert content(tmp_path / "out") == content(tmp_path / "undisturbed")


@pytest.mark.data
def test_byte_level_ids_of_sentences_are_those_of_the_text(shared_data, tmp_path):
    from tfzoo.text import kinds

    tokenizer = kinds.load(shared_data("tok-gpt2"))
    text = (shared_data("data-wikitext2") / "valid.txt").read_text()
    paragraphs = [part for part in text.split("\n") if part.strip()][:400]
    for whitespace in ("collapse", "keep"):
        how = Preparation(("x",), "t", whitespace=whitespace)
        clean = [cleaning.clean(part, how) for part in paragraphs]
        cut = records.from_texts([cleaning.sentences(part, how) for part in clean], tokenizer)
        whole = records.from_texts([[part] for part in clean], tokenizer)
        np.testing.assert_array_equal(cut.token_ids, whole.token_ids)
        assert cut.characters == whole.characters == sum(map(len, clean))
        assert len(cut.sentence_starts) > 3 * len(whole.sentence_starts)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
