"""A trace of some steps for TensorBoard's profiler (`pip install tfzoo[profile]` shows it)."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import tensorflow as tf


class Profiler:
    """Traces a window of steps, once in a run.

    Args:
        folder: A folder with event files, to which the trace belongs.
        window: The first and last step; None traces nothing.
        start: The step at which the training goes on. When the window is not over by then, what was
            traced before is dropped, and the rest of the window is traced.
    """

    def __init__(self, folder: pathlib.Path, window: tuple[int, int] | None, start: int = 0):
        self._folder = folder
        self._window = window
        self._is_running = False
        if window is not None and start < window[1]:
            shutil.rmtree(folder / "plugins" / "profile", ignore_errors=True)

    def steps(self, step: int, wanted: int) -> int:
        """How many of the `wanted` steps after `step` one call may take: in the window one."""
        if self._window is None or step >= self._window[1]:
            return wanted
        return max(1, min(wanted, self._window[0] - 1 - step))

    @contextlib.contextmanager
    def trace(self, step: int) -> Iterator[None]:
        """Around the call that takes the step after `step`."""
        if self._window is None or not self._window[0] <= step + 1 <= self._window[1]:
            yield
            return
        if not self._is_running:
            tf.profiler.experimental.start(str(self._folder))
            self._is_running = True
        with tf.profiler.experimental.Trace("train", step_num=step + 1, _r=1):
            yield
        if step + 1 == self._window[1]:
            self.close()

    def close(self) -> None:
        """Writes the trace, should the window not be over."""
        if self._is_running:
            self._is_running = False
            tf.profiler.experimental.stop()
