"""Verifies one TFLite file against the live model: through LiteRT, in a process of its own."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export import golden, tflite, trial, verify_lite_writing, warm_up
from tfzoo.export import inspect_saved_model as inspect
from tfzoo.export.compare import Mismatch, agreement, unpack
from tfzoo.export.golden import Case, Golden, Goldens, Row
from tfzoo.export.lite_interpreter import TEXT_OPS, operations
from tfzoo.export.lite_writer import CONFIG
from tfzoo.export.report import Check, Report
from tfzoo.export.verify import Answers, batch_size, runtime_check, timed_request
from tfzoo.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a file of one precision must keep.

    Attributes:
        size: Its size, as a share of that of the weights in float32.
        explained: Least share of the answers' variation that survives, as in `Agreement`. A model
            that gives nearly one answer to everything, as untrained ones do, may fall short of it
            when `difference` is kept.
        difference: Largest difference of any number, relative to the largest number there is.
        clear_label: Least share of clear texts whose best class stays the same, or of clear choices
            of a token.
    """

    size: float
    explained: float
    difference: float
    clear_label: float


# float32 is held to the tolerance of the SavedModel instead. MiniLM: float16 explains 0.99999, int8
# 0.99 of its embeddings' variation; what falls short of these is damaged, not rounded.
LIMITS = {
    "float32": Limit(size=1.1, explained=1.0, difference=1e-5, clear_label=1.0),
    "float16": Limit(size=0.55, explained=0.999, difference=1e-3, clear_label=1.0),
    "int8": Limit(size=0.3, explained=0.95, difference=1e-2, clear_label=0.95),
}


def verify_tflite(file: pathlib.Path, task: Task, goldens: Goldens) -> Report:
    """Makes every check of one file, named `<form>.<precision>.tflite`.

    Raises:
        UserError: when its name does not say form and precision.
    """
    form, _, precision = file.name.removesuffix(".tflite").partition(".")
    if form not in tflite.FORMS or precision not in LIMITS:
        raise UserError(
            "the name of a TFLite file says what it is. Expected "
            f"<{'|'.join(tflite.FORMS)}>.<{'|'.join(LIMITS)}>.tflite. Received: {file.name}."
        )
    try:
        checks = [
            _operations(file, form),
            _size(file, form, precision, task),
            *_names(file, task),
            *_generation_config(file, form, task),
        ]
    except UserError as error:
        checks = [Check("file", False, str(error), "a TFLite file")]
    facts: dict[str, Any] = {
        "bytes": file.stat().st_size,
        "weight_bytes": inspect.weight_bytes(task),
        "precision": precision,
    }
    if all(check.passed for check in checks) and form in tflite.WRITING:
        least = LIMITS[precision].clear_label
        found, measured = verify_lite_writing.checks(file, precision, task, least)
        checks, facts = [*checks, *found], facts | measured
    elif all(check.passed for check in checks):
        wanted = [_numbers(one, tflite.FORMS[form]) for one in goldens()]
        found, measured = _run(file, form, precision, task, wanted)
        checks += found
        facts |= measured
    return Report(file.name, tuple(checks), facts)


def _operations(file: pathlib.Path, form: str) -> Check:
    found = operations(file)
    allowed = {f"CUSTOM:{name}" for name in TEXT_OPS} if form == "text" else set()
    wrong = sorted(op for op in found if op.startswith(("CUSTOM", "unknown")) and op not in allowed)
    measured = f"{len(found)} kinds" + (f", among them {', '.join(wrong)}" if wrong else "")
    limit = "builtin operations" + (" and the tokenizer's two" if form == "text" else "")
    return Check("operations", not wrong, measured, limit)


def _size(file: pathlib.Path, form: str, precision: str, task: Task) -> Check:
    limit, size, weights = LIMITS[precision], file.stat().st_size, inspect.weight_bytes(task)
    most = limit.size * weights + inspect.allowance_bytes(task)
    config = task.model.config
    if form in tflite.WRITING and precision == "int8" and getattr(config, "tied_output", True):
        # The converter has scales of its own for what is looked up and what scores: two tables.
        most += limit.size * 4 * config.vocab_size * config.width
    return Check(
        "size",
        size <= most,
        f"{inspect.megabytes(size)}, {size / weights:.3f} x the weights",
        f"at most {inspect.megabytes(most)}: {limit.size} x the weights, and vocabulary and graph",
    )


def _names(file: pathlib.Path, task: Task) -> list[Check]:
    """labels.txt and vocab.txt beside the file are what the model was trained with."""
    wanted = {"labels.txt": task.labels}
    if task.tokenizer is not None:
        wanted["vocab.txt"] = task.tokenizer.vocabulary
    checks = []
    for name, lines in wanted.items():
        if not lines:
            continue
        path = file.with_name(name)
        found = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        same = found == "".join(f"{line}\n" for line in lines)
        measured = f"{'the same' if same else 'others'}, {found.count(chr(10))}"
        checks.append(Check(name, same, measured, f"the model's {len(lines)}, in its order"))
    return checks


def _generation_config(file: pathlib.Path, form: str, task: Task) -> list[Check]:
    """generation_config.json beside a file that writes says what the live model's does."""
    if form not in tflite.WRITING:
        return []
    path = file.with_name(CONFIG)
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    measured = "as it is" if found == tflite.generation_config(task) else "another, or none"
    return [Check(CONFIG, measured == "as it is", measured, "the model's decoding")]


def _run(
    file: pathlib.Path, form: str, precision: str, task: Task, goldens: list[Golden]
) -> tuple[list[Check], dict[str, Any]]:
    signature = tflite.FORMS[form]
    rows = 1 if form == "text" else batch_size(goldens)
    cases = list(golden.cases(task, goldens, [signature], rows))
    exact, got, wanted = Answers(), list[Row](), list[Row]()

    def visit(number: int, answer: trial.Answer) -> None:
        exact.add(cases[number], answer)
        if not isinstance(answer, str) and len(cases[number].goldens) == 1:
            got.extend(_unpacked(cases[number], answer))
            wanted.append(cases[number].goldens[0].answers[signature])

    timed = _timed_text(task) if form == "text" else timed_request(task)
    try:
        facts = trial.run(file, (case.request for case in cases), timed, visit)
    except trial.TrialError as error:
        return [Check("runs in LiteRT", False, str(error), "loaded and asked")], {}
    measured = {key: facts[key] for key in ("runtime", "milliseconds")}
    measured["texts"] = len(goldens)
    if precision == "float32":
        return [exact.check("answers, alone and in batches"), runtime_check(facts)], measured
    checks, agreed = _agreement(got, wanted, exact, LIMITS[precision])
    return [*checks, runtime_check(facts)], {**measured, "agreement": agreed}


def _unpacked(case: Case, answer: Row) -> list[Row]:
    try:
        return unpack(case, answer)
    except Mismatch:
        return [{}]


def _agreement(
    got: list[Row], wanted: list[Row], exact: Answers, limit: Limit
) -> tuple[list[Check], dict[str, Any] | None]:
    name = "agreement with the live model"
    if exact.wrong:
        return [Check(name, False, exact.wrong[0], "an answer to every text")], None
    try:
        found = agreement(got, wanted)
    except Mismatch as mismatch:
        return [Check(name, False, str(mismatch), "finite answers")], None
    checks = [
        Check(
            "variation that survives",
            found.explained >= limit.explained or found.difference <= limit.difference,
            f"{found.explained:.5f} (cosine {found.cosine:.5f}, worst {found.least_cosine:.5f}, "
            f"difference {found.difference:.1e})",
            f"at least {limit.explained}, or the difference at most {limit.difference:.0e}",
        )
    ]
    if found.clear_label is not None:
        checks.append(
            Check(
                "best class of clear texts",
                found.clear_label >= limit.clear_label,
                f"the same for {found.clear_label:.1%} (for {found.label:.1%} of all texts)",
                f"the same for at least {limit.clear_label:.0%}",
            )
        )
    return checks, dataclasses.asdict(found)


def _numbers(one: Golden, signature: str) -> Golden:
    """The golden without answers that are text, which TFLite files do not give."""
    numbers = {k: v for k, v in one.answers[signature].items() if v.dtype != object}
    return dataclasses.replace(one, answers={signature: numbers})


def _timed_text(task: Task) -> warm_up.Request:
    text = np.array([b"The film was a delight from start to finish, and I would go again."], object)
    inputs = {"text": text, "pair": text} if task.pairs else {"text": text}
    return warm_up.Request("serving_default", inputs)
