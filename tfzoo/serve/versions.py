"""One served model: the newest version of its folder that loads, changed without a gap.

    BASE/1 BASE/2 BASE/3 -> refresh(): load 3, warm it up, point requests at it, then free 2

A version that does not load is reported as TensorFlow Serving reports it (state END, with the
error); the one before it goes on serving, also after a restart. It is tried again when its files
change, so a folder that is still being copied does no harm. Deleting the newest version goes back
to the one before. Versions replaced in place are not noticed: a new version has a new number.

Easy to get wrong: a version may be freed only when no request holds it, not even one that has just
picked it and has not begun to run.

Source: tensorflow/serving, g3doc/architecture.md; apis/get_model_status.proto for the states.
"""

import contextlib
import dataclasses
import enum
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session, TensorFlowError
from tfzoo.serve import catalog
from tfzoo.serve.errors import RequestError

_MOST_RECORDS = 20  # of versions that are gone, in the status


class State(enum.StrEnum):
    """What a version is at, in the words of TensorFlow Serving."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclasses.dataclass
class Version:
    """One version of a model: where it is, what state it is in, and who is using it."""

    number: int
    folder: pathlib.Path
    state: State = State.START
    error_code: str = "OK"
    error_message: str = ""
    session: Session | None = None
    leases: int = 0

    def status(self) -> dict[str, Any]:
        """Returns the entry of this version in a status reply."""
        return {
            "version": str(self.number),
            "state": str(self.state),
            "status": {"error_code": self.error_code, "error_message": self.error_message},
        }


class Model:
    """The versions of one model. `refresh` is for one thread; everything else for any.

    Args:
        name: what clients call it.
        folder: the folder of its versions.
        load: makes a session of a version folder, warmed up; raises UserError.
    """

    def __init__(
        self, name: str, folder: pathlib.Path, load: Callable[[pathlib.Path], Session]
    ) -> None:
        self.name = name
        self._folder = folder
        self._load_session = load
        self._versions: dict[int, Version] = {}
        self._served: Version | None = None
        self._failed: dict[int, object] = {}  # what the files were like when loading failed
        self._changed = threading.Condition()

    @property
    def is_available(self) -> bool:
        """Whether a version can answer now."""
        return self._served is not None

    @contextlib.contextmanager
    def lease(self, number: int | None = None) -> Iterator[tuple[int, Session]]:
        """Gives (version, session), kept alive for the block: that version or the served one.

        Raises:
            RequestError: when that version is not being served.
        """
        with self._changed:
            version = self._served
            if version is None or version.session is None or number not in (None, version.number):
                wanted = (
                    f"Latest({self.name})" if number is None else f"Specific({self.name}, {number})"
                )
                raise RequestError(f"Servable not found for request: {wanted}", "NOT_FOUND")
            version.leases += 1
        try:
            yield version.number, version.session
        finally:
            with self._changed:
                version.leases -= 1
                self._changed.notify_all()

    def status(self, number: int | None = None) -> list[dict[str, Any]]:
        """Returns the states of all versions, newest first, or of one.

        Raises:
            RequestError: when there is no such version.
        """
        with self._changed:
            found = [v for n, v in sorted(self._versions.items(), reverse=True)]
            found = [v for v in found if number in (None, v.number)]
            if not found and number is not None:
                raise RequestError(
                    f"Could not find version {number} of model {self.name}", "NOT_FOUND"
                )
            if not found:
                raise RequestError(f"Could not find any versions of model {self.name}", "NOT_FOUND")
            return [version.status() for version in found]

    def refresh(self) -> None:
        """Looks at the folder and serves the newest version of it that loads."""
        for number, folder in sorted(catalog.versions(self._folder), reverse=True):
            served = self._served
            if served is not None and served.number == number:
                return
            files = _describe(folder)
            if self._failed.get(number) == files:
                continue
            if self._load(number, folder):
                self._failed.pop(number, None)
                if served is not None:
                    self._unload(served)
                return
            self._failed[number] = files

    def close(self) -> None:
        """Waits for running requests and frees the served version."""
        with self._changed:
            served, self._served = self._served, None
        if served is not None:
            self._unload(served)

    def _load(self, number: int, folder: pathlib.Path) -> bool:
        version = Version(number, folder, State.LOADING)
        with self._changed:
            self._versions[number] = version
        start = time.monotonic()
        try:
            session = self._load_session(folder)
        except UserError as error:
            code = error.code if isinstance(error, TensorFlowError) else "INVALID_ARGUMENT"
            self._end(version, code, str(error))
            logging.error("%s version %d does not load: %s", self.name, number, error)
            return False
        except Exception as error:  # a bug, which must not stop the versions that work
            self._end(version, "INTERNAL", f"{type(error).__name__}: {error}")
            logging.exception("%s version %d does not load", self.name, number)
            return False
        with self._changed:
            version.session, version.state = session, State.AVAILABLE
            self._served = version
        seconds = time.monotonic() - start
        logging.info("%s version %d is served, loaded in %.1f s", self.name, number, seconds)
        return True

    def _unload(self, version: Version) -> None:
        with self._changed:
            version.state = State.UNLOADING
            self._changed.wait_for(lambda: not version.leases)
            session, version.session = version.session, None
        if session is not None:
            session.close()
        self._end(version, "OK", "")
        logging.info("%s version %d is unloaded", self.name, version.number)

    def _end(self, version: Version, code: str, message: str) -> None:
        with self._changed:
            version.state, version.error_code, version.error_message = State.END, code, message
            ended = sorted(n for n, v in self._versions.items() if v.state is State.END)
            for number in ended[:-_MOST_RECORDS]:
                del self._versions[number]


def _describe(folder: pathlib.Path) -> object:
    """Returns something that changes when files of the folder do."""
    try:
        found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    except OSError:  # changing this very moment
        return None
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]
