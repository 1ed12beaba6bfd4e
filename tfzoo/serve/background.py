"""A server in a child process, for as long as a block runs: the quickstart and the tests use it.

    with running("out/bert", port=0) as url:
        Client(url, "bert").predict(["a film"])

The child stops when the block ends, and also when this process dies, however it dies.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO

from tfzoo.core.errors import UserError
from tfzoo.serve.server import Options

_READY = re.compile(r" at (http://\S+)/v1/models/")


@contextlib.contextmanager
def running(
    base_path: str | os.PathLike[str],
    name: str | None = None,
    port: int = 0,
    options: Options | None = None,
) -> Iterator[str]:
    """Serves for the length of a block and gives the server's URL, such as "http://127.0.0.1:8501".

    Args:
        base_path: a folder of versions, a folder of such folders, or a models.config file.
        name: the name of the one model to serve; None for its folder's name, or for all of them.
        port: 0 takes any free one.
        options: see `tfzoo.serve.server.Options`.

    Raises:
        UserError: when the server does not start; its own words.
    """
    with ServerProcess(base_path, name, port, options) as server:
        yield server.url


class ServerProcess:
    """A server in a child process, ready when the constructor returns.

    Args:
        base_path, name, port, options: see `running`.
        timeout_seconds: how long loading and warming up may take.

    Attributes:
        url: where it listens, such as "http://127.0.0.1:8501".
        process: the child.

    Raises:
        UserError: when the server does not start; its own words.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str],
        name: str | None = None,
        port: int = 0,
        options: Options | None = None,
        timeout_seconds: float = 120.0,
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "tfzoo.serve.child",
            os.fspath(base_path),
            f"--port={port}",
        ]
        command += [f"--name={name}"] if name is not None else []
        command += ["--stop-with-parent"]
        for key, value in dataclasses.asdict(options or Options()).items():
            if value is not None:
                command.append(f"--{key.replace('_', '-')}={value}")
        # The child finds this very tfzoo, also where it is not installed.
        root = str(pathlib.Path(__file__).parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._log: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        try:
            self.url = self._wait_until_ready(timeout_seconds)
        except BaseException:
            self.process.kill()
            self.stop()
            raise

    def stop(self, timeout_seconds: float = 60.0) -> int:
        """Sends SIGTERM, waits for running requests, and returns the exit code: 0 when clean."""
        self.process.terminate()
        try:
            code = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            if pipe is not None:
                pipe.close()
        return code

    def log(self) -> str:
        """Returns what the server has written to its standard error so far."""
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_ready(self, timeout_seconds: float) -> str:
        """Returns the URL from the first line that the child prints."""
        out = self.process.stdout
        if out is None:
            raise RuntimeError("the child was started without a pipe")
        ready, _, _ = select.select([out], [], [], timeout_seconds)
        line = out.readline().decode("utf-8", "replace") if ready else ""
        match = _READY.search(line)
        if match:
            return match[1]
        if not ready:
            raise UserError(
                f"the server is not ready. Received: timeout_seconds={timeout_seconds}. "
                f"Its last words: {self._last_words()}"
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        raise UserError(self._last_words())

    def _last_words(self) -> str:
        lines = self.log().strip().splitlines() or ["(nothing)"]
        return lines[-1].removeprefix("tfzoo: ")
