"""Export from end to end: write aside, verify, describe, and only then put in place.

    OUT/NAME/VERSION/              the SavedModel, which TensorFlow Serving finds by its number
    OUT/NAME/tflite/VERSION/       the TFLite files; servers skip folders that are no numbers

Both hold report.json and README.md. A server that watches OUT/NAME never sees half a version, nor
one that was not verified.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from absl import logging

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.core.files import folder_aside
from tfzoo.export import card, report, saved_model, tflite
from tfzoo.export.golden import Golden, Goldens
from tfzoo.export.lite_generation import sizes_for
from tfzoo.export.report import Report, VerificationError
from tfzoo.export.verify import verify_saved_model
from tfzoo.export.verify_tflite import verify_tflite
from tfzoo.tasks.task import Task

KINDS = ("savedmodel", "tflite")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_MOST = 2**63 - 1  # versions are int64 for TensorFlow Serving


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was exported.

    Attributes:
        name: Name of the model.
        version: Its version.
        folders: Where each kind was put.
        reports: Of the verification, SavedModel first.
    """

    name: str
    version: int
    folders: dict[str, pathlib.Path]
    reports: tuple[Report, ...]


def run(
    task: Task,
    out: str | os.PathLike[str],
    name: str,
    *,
    kinds: Sequence[str] = KINDS,
    version: int | None = None,
    precisions: Sequence[str] = tflite.PRECISIONS,
    forms: Sequence[str] | None = None,
    prompt_length: int | None = None,
    cache_length: int | None = None,
    texts: Sequence[str] = (),
    licence: str | None = None,
) -> Summary:
    """Exports and verifies a model; nothing is left when anything does not verify.

    Args:
        task: Model, tokenizer and what an answer is.
        out: Folder of all exported models.
        name: Name of this one, as it will stand in a server's URLs.
        kinds: Of `savedmodel` and `tflite`.
        version: A number that this model does not have yet; None for the next one.
        precisions: Of the TFLite files: `float32`, `float16`, `int8`.
        forms: Of the TFLite files: `token_ids`, `text`, and of what writes text `decode` and
            `generate`; None for all there can be.
        prompt_length: How many tokens a prompt of those that write may have; None for 64.
        cache_length: How many tokens they have room for, prompt and new ones; None for 128.
        texts: Texts of the user's own to compare answers on, besides the built-in ones.
        licence: Of the weights, for the model card.

    Raises:
        UserError: for a name, kind, version, precision, form or length that there cannot be, or a
            folder that cannot be written.
        VerificationError: when the export is not what the live model is.
    """
    forms = tflite.forms_of(task) if forms is None else forms
    _check(task, name, kinds, precisions, forms)
    sizes = None
    if "tflite" in kinds and set(forms) & set(tflite.WRITING):
        sizes = sizes_for(task, prompt_length, cache_length)
    root = pathlib.Path(os.path.abspath(pathlib.Path(out).expanduser())) / name
    version = _next_version(root) if version is None else version
    targets = {kind: target for kind, target in places(root, version).items() if kind in kinds}
    _check_free(targets, version)
    goldens = Goldens(task, texts)

    def make(kind: str, folder: pathlib.Path) -> list[Report]:
        if kind == "tflite":
            files = tflite.write(task, folder, precisions, forms, sizes)
            reports = [verify_tflite(file, task, goldens) for file in files]
            describe: Callable[..., None] = card.write_tflite
        else:
            saved_model.write(task, folder, name)
            reports = [verify_saved_model(folder, task, goldens)]
            describe = card.write_saved_model
        _require_passed(reports)
        report.write(reports, folder)
        shown: object = reports if kind == "tflite" else reports[0]
        describe(folder, name, task, shown, _example(goldens()), licence)
        _check_free(targets, version)  # once more: another export may have taken it meanwhile
        return reports

    try:
        reports = _make_all(targets, make)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"{root} cannot be written: {reason}.") from None
    finally:
        _remove_empty(root)
    return Summary(name, version, targets, tuple(reports))


def places(root: pathlib.Path, version: int) -> dict[str, pathlib.Path]:
    """Where each kind of a model is put, whose folder is `root`."""
    return {"savedmodel": root / str(version), "tflite": root / "tflite" / str(version)}


def _make_all(
    targets: dict[str, pathlib.Path], make: Callable[[str, pathlib.Path], list[Report]]
) -> list[Report]:
    """Makes every kind aside; they take their places together, when all of them are good."""
    reports = []
    with contextlib.ExitStack() as stack:
        for kind, target in targets.items():
            found = make(kind, stack.enter_context(folder_aside(target)))
            logging.info("%s verified: %d checks.", kind, sum(len(r.checks) for r in found))
            reports += found
    return reports


def _require_passed(reports: list[Report]) -> None:
    if not all(one.passed for one in reports):
        raise VerificationError(reports, "it was deleted")


def _check(
    task: Task,
    name: str,
    kinds: Sequence[str],
    precisions: Sequence[str],
    forms: Sequence[str],
) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            "the name of a model stands in file names and URLs. Expected letters, digits, and "
            f"._- after the first. Received: name={name!r}."
        )
    if not kinds:
        raise UserError(f"nothing to export. Expected kinds of {', '.join(KINDS)}.")
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(unknown_name("kind of export", kind, KINDS))
    if "tflite" in kinds:
        tflite.check(task, precisions, forms)


def _check_free(targets: dict[str, pathlib.Path], version: int) -> None:
    if not 0 < version <= _MOST:
        raise UserError(f"a version is a number from 1. Received: version={version}.")
    for target in targets.values():
        if target.exists():
            raise UserError(
                "a version is never written over, because servers do not load one again. "
                f"Received: version={version}, which is there: {target}. Leave version out."
            )


def _next_version(root: pathlib.Path) -> int:
    folders = [*root.glob("*"), *(root / "tflite").glob("*")]
    numbers = [int(path.name) for path in folders if re.fullmatch(r"[0-9]{1,18}", path.name)]
    return max(numbers, default=0) + 1


def _example(goldens: Sequence[Golden]) -> Golden:
    return goldens[0] if goldens[0].columns else goldens[-2]


def _remove_empty(root: pathlib.Path) -> None:
    for folder in (root / "tflite", root):
        with contextlib.suppress(OSError):
            folder.rmdir()
