"""Raw texts to shards of tokenized documents, on one machine.

    sources ─ clean, hash ─► buckets on disk ─ sort, drop doubles, cut, tokenize ─► parts ─► shards

Each bucket is a task; no more of the texts is in memory than one bucket a process. What is written
depends on the texts and the settings only: not on the number of processes, the names of the files
or the order of the texts in them, nor on whether Beam did it (`tfzoo.data.beam_pipeline`).

The output folder appears when it is whole. What an interrupted run left is removed by the next.
"""

import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import logging
from tqdm import tqdm

from tfzoo.core import json_file
from tfzoo.core.config import to_dict
from tfzoo.core.errors import UserError
from tfzoo.core.files import folder_aside
from tfzoo.data import buckets, cleaning, records, sources, workers
from tfzoo.data.preparation import Preparation
from tfzoo.text import kinds

_TASK_BYTES = 64 << 20  # sources are read in tasks of about so much
_BUCKETS, _PARTS = ".buckets", ".parts"
_DROPPED = ("read", "too_short", "duplicates", "without_tokens")


@dataclasses.dataclass(frozen=True)
class Job:
    """What every task needs to know.

    Attributes:
        how: The settings.
        layout: The buckets.
        folder: The output, while it is written.
        kind: The kind of tokenizer in its folder `tokenizer`.
    """

    how: Preparation
    layout: buckets.Layout
    folder: pathlib.Path
    kind: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A folder that is ready.

    Attributes:
        manifest: What its manifest.json holds.
        is_new: Whether it was written now.
    """

    manifest: dict[str, Any]
    is_new: bool


def run(
    how: Preparation,
    output: str | os.PathLike[str],
    num_workers: int = 1,
    beam_options: Sequence[str] | None = None,
) -> Prepared:
    """Writes a folder of shards, or finds that it is there already.

    Args:
        how: The settings.
        output: The folder. It must not exist, be empty, or be the result of these settings.
        num_workers: Number of processes. With Beam its own options decide.
        beam_options: Options of Apache Beam such as --runner=DirectRunner, to do it with Beam; all
            its workers must see the inputs and the output under the same paths. None: without.

    Raises:
        UserError: for inputs, tokenizers and outputs that cannot be used, with file and line.
    """
    output = pathlib.Path(output).expanduser()
    found = sources.find(how.inputs)
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / records.TOKENIZER
        kind, tokenizer = _tokenizer(how, copy)
        identity = _identity(how, found, tokenizer)
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            return Prepared(_finished(output, identity), is_new=False)
        with _aside(output) as aside:
            shutil.copytree(copy, aside / records.TOKENIZER)
            size = sum(source.text_bytes for source in found)
            job = Job(how, buckets.layout(how, size), aside, kind)
            (aside / _BUCKETS).mkdir()
            (aside / _PARTS).mkdir()
            logging.info("Inputs: %d, about %.1f MB of text", len(found), size / 1e6)
            if beam_options is None:
                counts = _plainly(job, found, num_workers)
            else:
                from tfzoo.data import beam_pipeline

                counts = beam_pipeline.run(job, found, beam_options)
            manifest = _finish(job, identity, counts)
    return Prepared(manifest, is_new=True)


def scattered(
    job: Job, found: Iterable[sources.Source], counts: Counter[str]
) -> Iterator[tuple[str, buckets.Keyed]]:
    """The cleaned documents of sources, each with its bucket and key.

    Args:
        job: The settings.
        found: The sources.
        counts: Gets how many were read, and how many of them were too short.
    """
    for source in found:
        for raw in sources.documents(source, job.how):
            text = cleaning.clean(raw, job.how)
            if not text and not raw.strip():
                continue  # Nothing stood there: a blank line.
            counts["read"] += 1
            if len(text) < job.how.min_characters:
                counts["too_short"] += 1
                continue
            content = text.encode()
            bucket, key = job.layout.place(content)
            yield bucket, (key, content)


def encode(job: Job, bucket: str, documents: Iterable[buckets.Keyed]) -> Counter[str]:
    """Sorts, cuts and tokenizes the documents of a bucket, and writes them as its part.

    Returns:
        The counts of `records.write`, and how many were there twice.
    """
    texts, duplicates = buckets.in_order(documents)
    pieces = (cleaning.sentences(text.decode(), job.how) for text in texts)
    tokenize = records.tokenize_with(job.kind, str(job.folder / records.TOKENIZER))
    path = part(job, bucket)
    aside = path.with_suffix(f".{os.getpid()}")  # Beam may try a task twice.
    counts = records.write(aside, pieces, tokenize)
    aside.replace(path)
    return counts + Counter(duplicates=duplicates)


def part(job: Job, bucket: str) -> pathlib.Path:
    """The file that holds the records of a bucket."""
    return job.folder / _PARTS / f"{bucket}.tfrecord"


def _plainly(job: Job, found: Sequence[sources.Source], num_workers: int) -> dict[str, Any]:
    """Counts by bucket, and under "" those of reading."""
    counts: dict[str, Any] = {"": Counter()}
    tasks = [(job, i, of_task) for i, of_task in enumerate(_shared_out(found))]
    names = [(job, name) for name in job.layout.names()]
    with workers.start(num_workers) as run_all:
        for done in _progress(run_all(_scatter, tasks), "read", len(tasks)):
            counts[""] += done
        for bucket, done in _progress(run_all(_encode, names), "tokenize", len(names)):
            counts[bucket] = done
    return counts


def _scatter(task: tuple[Job, int, list[sources.Source]]) -> Counter[str]:
    job, number, found = task
    counts: Counter[str] = Counter()
    with buckets.Writer(job.folder / _BUCKETS, number) as writer:
        for bucket, keyed in scattered(job, found, counts):
            writer.add(bucket, *keyed)
    return counts


def _encode(task: tuple[Job, str]) -> tuple[str, Counter[str]]:
    job, bucket = task
    counts = encode(job, bucket, buckets.read(job.folder / _BUCKETS, bucket))
    buckets.remove(job.folder / _BUCKETS, bucket)
    return bucket, counts


def _shared_out(found: Sequence[sources.Source]) -> list[list[sources.Source]]:
    tasks: list[list[sources.Source]] = []
    size = _TASK_BYTES
    for source in found:
        if size >= _TASK_BYTES:
            tasks.append([])
            size = 0
        tasks[-1].append(source)
        size += source.text_bytes
    return tasks


def _progress(done: Iterable[Any], name: str, total: int) -> Iterable[Any]:
    bar: Iterable[Any] = tqdm(done, desc=name, total=total, unit="part", disable=None)
    return bar


def _tokenizer(how: Preparation, folder: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """Copies the tokenizer into a new folder; its kind, and what tells it from others."""
    place = pathlib.Path(how.tokenizer).expanduser()
    kind = kinds.find(place)
    tokenizer = kinds.read(kind, place)
    folder.mkdir()
    tokenizer.save(folder)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    facts = {"kind": kind, "sha256": digest.hexdigest(), "vocab_size": tokenizer.vocab_size}
    return kind, facts


def _identity(
    how: Preparation, found: Sequence[sources.Source], tokenizer: dict[str, Any]
) -> dict[str, Any]:
    """What two folders have in common when they hold the same."""
    settings = to_dict(how)
    del settings["inputs"], settings["tokenizer"]  # Where they lie does not matter.
    # Names, not paths: the folder may be mounted elsewhere.
    names = sorted((pathlib.PurePath(source.place).name, source.size) for source in found)
    inputs = {
        "files": len(found),
        "bytes": sum(source.size for source in found),
        "names_and_sizes_sha256": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
    }
    return {
        "format": records.FORMAT,
        "settings": settings,
        "inputs": inputs,
        "tokenizer": tokenizer,
    }


def _finished(output: pathlib.Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a folder that these settings made.

    Raises:
        UserError: when it is something else.
    """
    manifest = records.manifest(output)
    wanted, there = _flat(identity), _flat({key: manifest.get(key) for key in identity})
    other = [key for key in wanted | there if wanted.get(key) != there.get(key)]
    if other:
        key = other[0]
        raise UserError(
            f"{output} was prepared otherwise: its {key} is {there.get(key)!r}. "
            f"Received: {key}={wanted.get(key)!r}. Choose another --output, or delete the folder."
        )
    return manifest


def _flat(values: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {path: values}
    return {
        k: v for key in values for k, v in _flat(values[key], f"{path}.{key}"[not path :]).items()
    }


@contextlib.contextmanager
def _aside(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """`folder_aside`, after removing what runs that were killed have left there."""
    with folder_aside(output) as aside, _lock(aside):
        for left in output.parent.glob(f".{glob.escape(output.name)}.*"):
            if left.is_dir() and (left / _BUCKETS).exists() and left != aside:
                with contextlib.suppress(OSError), _lock(left):
                    logging.info("Removing what an interrupted preparation left: %s", left)
                    shutil.rmtree(left, ignore_errors=True)
        yield aside


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """Holds a folder until the body, or the process, ends.

    Raises:
        OSError: when another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _finish(job: Job, identity: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    """Joins the parts to shards, and writes the manifest."""
    splits = {}
    for split, total in job.layout.shards.items():
        shards = []
        for number in range(total):
            path = job.folder / f"{split}-{number:05d}-of-{total:05d}.tfrecord"
            names = job.layout.of_shard(split, number)
            _join([part(job, name) for name in names], path)
            sums = sum((counts[name] for name in names), Counter())
            facts = {"bytes": path.stat().st_size, "sha256": records.digest(path)}
            shards.append(
                {"file": path.name, **{name: sums[name] for name in records.COUNTS}, **facts}
            )
        totals = {name: sum(shard[name] for shard in shards) for name in records.COUNTS}
        splits[split] = {**totals, "shards": shards}
    every = sum(counts.values(), Counter())
    if not every["documents"]:
        raise UserError(
            f"No document was left of {every['read']} read. Expected texts. Look at inputs, "
            f"min_characters={job.how.min_characters} and documents={job.how.documents!r}."
        )
    manifest = {**identity, "cleaning": {name: every[name] for name in _DROPPED}, "splits": splits}
    for name in (_BUCKETS, _PARTS):
        shutil.rmtree(job.folder / name)
    json_file.write(job.folder / records.MANIFEST, manifest)
    return manifest


def _join(parts: Sequence[pathlib.Path], path: pathlib.Path) -> None:
    # TFRecord files one after the other are a TFRecord file.
    with path.open("wb") as file:
        for name in parts:
            with name.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            name.unlink()
