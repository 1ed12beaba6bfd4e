"""Writes models for servers and devices, and proves that what was written runs there.

`run(task, out, name)` exports and verifies; `tfzoo.export.verify.verify(artefact, task)` verifies
what is there; `tfzoo.export.session.Session` runs it. Nothing here imports TensorFlow before it is
called: a server that only runs models never does.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfzoo.export.pipeline import Summary
    from tfzoo.tasks.task import Task


def run(task: "Task", out: str | os.PathLike[str], name: str, **options: Any) -> "Summary":
    """Exports a model to `out/name/`; see `tfzoo.export.pipeline.run`."""
    from tfzoo.export import pipeline

    return pipeline.run(task, out, name, **options)
