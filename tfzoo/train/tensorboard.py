"""TensorBoard's event files, without a point twice after a resume.

TensorBoard draws whatever it finds: the points between the last checkpoint and a kill would stand
there twice. So a resume copies the events up to its step into a new file and drops the old ones.
Events are written directly, because `tf.summary` cannot keep the time at which an old one was made.
"""

import pathlib
import time
from collections.abc import Mapping

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

_PATTERN = "events.out.tfevents.*"


class Curves:
    """The curves of one run in TensorBoard, such as `train` or `evaluation`.

    Args:
        folder: Its folder.
        step: The step at which the training goes on; later events are dropped.
    """

    def __init__(self, folder: pathlib.Path, step: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        old = sorted(folder.glob(_PATTERN))
        self._writer = EventFileWriter(str(folder))
        seen = set()
        for event in (event for path in old for event in _events(path)):
            key = (event.step, *(value.tag for value in event.summary.value))
            # Twice in two files, if an earlier resume was killed in the middle of this.
            if event.step <= step and key not in seen:
                seen.add(key)
                self._writer.add_event(event)
        self._writer.flush()
        for path in old:
            path.unlink()
        self._has_text = any(len(key) > 1 and key[0] == 0 for key in seen)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of the named curves."""
        for name, value in values.items():
            summary = scalar_pb(name, value)
            self._writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """Shows a text, once in a run."""
        if not self._has_text:
            summary = text_pb(name, text)
            self._writer.add_event(Event(step=0, wall_time=time.time(), summary=summary))
            self._writer.flush()

    def close(self) -> None:
        """Writes out what is pending."""
        self._writer.close()


def _events(path: pathlib.Path) -> list[Event]:
    """The events of a file, without those that carry no data; a torn end is left out."""
    events = (Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load())
    return [event for event in events if event.HasField("summary")]
