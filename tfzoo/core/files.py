"""Writes files and folders aside and renames them, so that nobody ever sees half of one."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def write_aside(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary file path beside `path`, which replaces `path` if the body succeeds.

    Raises:
        OSError: when the folder cannot be created or written.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays in place because Keras and others choose a format by it.
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix
    )
    os.close(handle)
    aside = pathlib.Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_aside(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields an empty temporary folder beside `path`, which replaces `path` if the body succeeds.

    An existing folder at `path` is moved away first and removed only after the new one stands.

    Raises:
        OSError: when the parent folder cannot be created or written.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    old = aside.with_name(aside.name + ".old")
    try:
        yield aside
        aside.chmod(0o777 & ~_umask())
        if target.exists():
            target.replace(old)
        aside.replace(target)
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
