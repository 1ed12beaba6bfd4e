"""`tfzoo.data.prepare` as an Apache Beam pipeline, for many machines: the same records.

    sources ─ clean, hash ─► (bucket, document) ─ group by bucket ─► parts ─► shards

Beam reads, groups and tokenizes, on whatever runner its options name; the parts are joined to
shards where the command runs. The workers must see the inputs and the output folder under the same
paths. It is an extra: `pip install tfzoo[beam]`.
"""

import importlib
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.data import buckets, prepare, sources


def run(job: Any, found: Sequence[sources.Source], options: Sequence[str]) -> dict[str, Any]:
    """Writes the parts of all buckets.

    Args:
        job: A `prepare.Job`.
        found: The sources.
        options: Beam's own options, such as --runner=DirectRunner.

    Returns:
        Counts by bucket, and under "" those of reading.

    Raises:
        UserError: when Beam is not installed or does not know an option; and as `prepare.run`.
    """
    beam = _beam()
    folder = job.folder / ".counts"
    folder.mkdir()
    pipeline = beam.Pipeline(options=_options(options))
    read = (
        pipeline
        | "sources" >> beam.Create([*enumerate(found)])
        | "apart" >> beam.Reshuffle()
        | "clean" >> beam.FlatMap(_read, job, folder)
    )
    grouped = read | "by bucket" >> beam.GroupByKey()
    # Every bucket has a part, also when it has no document.
    names = pipeline | "names" >> beam.Create([(name, None) for name in job.layout.names()])
    both = {"documents": grouped, "name": names} | "all buckets" >> beam.CoGroupByKey()
    _ = both | "tokenize" >> beam.Map(_encode, job, folder)
    _wait(pipeline)
    counts: dict[str, Any] = {"": Counter()}
    for path in folder.iterdir():
        key = "" if path.name.startswith("source-") else path.stem
        counts[key] = counts.get(key, Counter()) + Counter(json_file.read_object(path))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return counts


def _read(
    numbered: tuple[int, sources.Source], job: Any, folder: pathlib.Path
) -> Iterator[tuple[str, buckets.Keyed]]:
    number, source = numbered
    counts: Counter[str] = Counter()
    yield from prepare.scattered(job, [source], counts)
    json_file.write(folder / f"source-{number}.json", counts)


def _encode(both: tuple[str, dict[str, Any]], job: Any, folder: pathlib.Path) -> None:
    bucket, groups = both
    documents: Iterable[buckets.Keyed] = (pair for group in groups["documents"] for pair in group)
    json_file.write(folder / f"{bucket}.json", prepare.encode(job, bucket, documents))


def _beam() -> Any:
    try:
        return importlib.import_module("apache_beam")
    except ImportError:
        raise UserError(
            "--beam needs the package apache-beam. Run `pip install tfzoo[beam]`, or leave --beam "
            "out: the records are the same."
        ) from None


def _options(options: Sequence[str]) -> Any:
    module = importlib.import_module("apache_beam.options.pipeline_options")
    try:
        return module.PipelineOptions(list(options))
    except SystemExit:
        raise UserError(f"Beam does not know these options. Received: {options}.") from None


def _wait(pipeline: Any) -> None:
    pipeline.run().wait_until_finish()
