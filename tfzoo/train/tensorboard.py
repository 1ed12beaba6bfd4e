"""TensorBoard's event files, without anything twice after a resume.

TensorBoard draws whatever it finds: what stands between the last checkpoint and a kill would be
there twice. So a resume copies the events up to its step into a new file and drops the old ones.
Events are written directly, because `tf.summary` cannot keep the time at which an old one was made.
"""

import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.pr_curve import summary as pr_summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

_PATTERN = "events.out.tfevents.*"


class Curves:
    """What TensorBoard shows of one run, such as `train` or `evaluation`.

    Args:
        folder: Its folder.
        step: The step at which the training goes on; later events are dropped.
    """

    def __init__(self, folder: pathlib.Path, step: int = 0):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        old = sorted(folder.glob(_PATTERN))
        self._writer = EventFileWriter(str(folder))
        self._seen: set[tuple[int, tuple[str, ...]]] = set()
        for event in (event for path in old for event in _events(path)):
            # Twice in two files, if an earlier resume was killed in the middle of this.
            if event.step <= step:
                self._write(event)
                self._seen.add(_key(event))
        self._writer.flush()
        for path in old:
            path.unlink()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of the named curves."""
        self._add(step, (scalar_pb(name, value) for name, value in values.items()))

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Shows a text, which may be Markdown."""
        self._add(step, [text_pb(name, text)])

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Adds the distribution of each of some arrays."""
        self._add(step, (histogram_pb(name, array) for name, array in values.items()))

    def images(self, step: int, name: str, pictures: Iterable[bytes]) -> None:
        """Shows PNG files of one size, side by side."""
        self._add(step, [_images(name, list(pictures))])

    def precision_recall(self, step: int, name: str, is_it: np.ndarray, score: np.ndarray) -> None:
        """Adds the curve of precision and recall of one class.

        Args:
            step: The step.
            name: The class.
            is_it: `(n,)` bool, whether a row is of it.
            score: `(n,)` from 0 to 1, how probable the model finds that.
        """
        made = pr_summary.pb(f"precision_recall/{name}", is_it, np.asarray(score, np.float32))
        self._add(step, [Summary.FromString(made.SerializeToString())])

    def graph(self, graph_def: Any) -> None:
        """Shows a graph, once in a run."""
        definition = graph_def.SerializeToString()
        self._write(Event(step=0, wall_time=time.time(), graph_def=definition))
        self._writer.flush()

    def hyperparameters(self, values: Mapping[str, bool | float | str]) -> None:
        """Says what this run was made with, so that the curves of several runs compare."""
        self._add(0, [hparams_pb(values)])

    def finished(self, step: int) -> None:
        """Notes for the comparison of runs that this one has come to its end."""
        made = hparams_summary.session_end_pb(STATUS_SUCCESS)
        self._add(step, [Summary.FromString(made.SerializeToString())])

    def close(self) -> None:
        """Writes out what is pending."""
        self._writer.close()

    def _add(self, step: int, summaries: Iterable[Summary]) -> None:
        together = Summary()
        for summary in summaries:
            together.MergeFrom(summary)
        self._write(Event(step=step, wall_time=time.time(), summary=together))
        self._writer.flush()

    def _write(self, event: Event) -> None:
        """Writes an event, unless it was there before the resume."""
        if _key(event) not in self._seen:
            self._writer.add_event(event)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, bool | float | str]:
    """The values of a tree by their paths, such as `train.batch_size`.

    Numbers, booleans and strings stay; lists and None become strings.
    """
    found: dict[str, bool | float | str] = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            found |= flat(value, name)
        else:
            found[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


def _images(name: str, pictures: list[bytes]) -> Summary:
    # A PNG file has width and height at 16, each in four bytes.
    size = [str(int.from_bytes(pictures[0][i : i + 4], "big")).encode() for i in (16, 20)]
    strings = [*size, *pictures]
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(strings))])
    tensor = TensorProto(dtype=DT_STRING, string_val=strings, tensor_shape=shape)
    metadata = create_summary_metadata(name, "")
    return Summary(value=[Summary.Value(tag=name, tensor=tensor, metadata=metadata)])


def _key(event: Event) -> tuple[int, tuple[str, ...]]:
    """What an event is, so that it is not written again."""
    tags = tuple(value.tag for value in event.summary.value)
    return event.step, tags if event.HasField("summary") else ("graph",)


def _events(path: pathlib.Path) -> list[Event]:
    """The events of a file, without those that carry no data; a torn end is left out."""
    events = (Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load())
    return [event for event in events if event.HasField("summary") or event.HasField("graph_def")]
