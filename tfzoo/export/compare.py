"""Compares an export's answers with the live model's. Nothing that is not a number ever passes.

Easy to get wrong: every comparison with NaN is false, so `difference > limit` lets NaN through, and
`max` of an array may or may not carry it along. Here finiteness is asked first, of both sides.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from tfzoo.export.golden import Case, Golden, Row, first
from tfzoo.export.meta_graph import TensorSpec

# A text whose two best classes are nearer than this may change sides by rounding alone.
CLEAR_MARGIN = 0.1


class Mismatch(Exception):
    """An answer that is wrong in a way that no tolerance covers."""


def unpack(case: Case, answer: Row, specs: dict[str, TensorSpec] | None = None) -> list[Row]:
    """Takes an answer apart into its rows, each without batch axis and without padding.

    Args:
        case: What was asked.
        answer: What came back.
        specs: The signature's outputs; None where shapes do not tell (TFLite).

    Raises:
        Mismatch: when outputs are missing or superfluous, or have another type or shape.
    """
    wanted = case.goldens[0].answers[case.request.signature]
    if set(answer) != set(wanted):
        raise Mismatch(f"outputs are {sorted(answer)} instead of {sorted(wanted)}")
    longest = max(len(golden.token_ids) for golden in case.goldens)
    asked = case.request.inputs.get("token_ids")
    width = longest if asked is None else asked.shape[1]
    rows: list[Row] = [{} for _ in case.goldens]
    for name, array in answer.items():
        if array.ndim == 0 or len(array) != len(case.goldens):
            raise Mismatch(f"{name} has shape {list(array.shape)} for {len(case.goldens)} rows")
        spec = specs[name] if specs else None
        for number, (row, golden) in enumerate(zip(rows, case.goldens, strict=True)):
            values = first(array[number:])
            row[name] = _without_padding(name, values, golden, case, width, spec)
    return rows


def difference(got: Row, wanted: Row) -> float:
    """The largest difference of two rows' floats, relative to the largest value where that is > 1.

    Raises:
        Mismatch: for anything but finite floats that differs at all. Text may differ only where
            it names the best of several `logits` and the two best are equal to 1e-5.
    """
    worst = 0.0
    for name, truth in wanted.items():
        value = np.asarray(got[name])
        if value.dtype != truth.dtype or value.shape != truth.shape:
            raise Mismatch(
                f"{name} is {value.dtype} {list(value.shape)} instead of {truth.dtype} "
                f"{list(truth.shape)}"
            )
        if truth.dtype.kind == "f":
            _require_finite(name, value, truth)
            scale = max(1.0, float(np.abs(truth).max(initial=0.0)))
            gap = np.abs(value.astype(np.float64) - truth.astype(np.float64))
            worst = max(worst, float(gap.max(initial=0.0)) / scale)
        elif not np.array_equal(value, truth) and not _is_tie(value, truth, wanted.get("logits")):
            raise Mismatch(f"{name} is {_short(value)} instead of {_short(truth)}")
    return worst


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How near the answers of a compressed model are to the live model's, over many texts.

    Attributes:
        explained: Share of the answers' variation from text to text that survives: 1 less the
            squared error by the variance. 1 is perfect; a constant, or noise, scores 0 or below.
        cosine: Mean cosine of the answers' vectors.
        least_cosine: The worst of them.
        label: Share of texts with the same best class; None where there are no classes.
        clear_label: The same among texts whose best class leads by more than 0.1 in probability.
        difference: The largest of any number, relative to the largest number of all.
        num_texts: Over how many texts.
    """

    explained: float
    cosine: float
    least_cosine: float
    label: float | None
    clear_label: float | None
    difference: float
    num_texts: int


def agreement(got: Sequence[Row], wanted: Sequence[Row]) -> Agreement:
    """Measures the agreement of the logits of all rows, or else of the largest float output.

    Of several logits (question answering, pretraining) the ones that agree least count.

    Raises:
        Mismatch: for an answer that is not finite or has another type or shape.
    """
    for value, truth in zip(got, wanted, strict=True):
        for name in truth:
            if value[name].shape != truth[name].shape or value[name].dtype != truth[name].dtype:
                raise Mismatch(f"{name} has another type or shape than the live model's")
            if truth[name].dtype.kind == "f":
                _require_finite(name, value[name], truth[name])
    names = [name for name, truth in wanted[0].items() if truth.dtype.kind == "f"]
    largest = max(names, key=lambda n: wanted[0][n].ndim)
    keys = [name for name in names if name.endswith("logits")] or [largest]
    return min((_agreement(key, got, wanted) for key in keys), key=lambda found: found.explained)


def _agreement(key: str, got: Sequence[Row], wanted: Sequence[Row]) -> Agreement:
    values, truths = (_vectors(rows, key) for rows in (got, wanted))
    error = ((values - truths) ** 2).sum()
    variation = ((truths - truths.mean(0)) ** 2).sum()
    cosines = _cosines(values, truths)
    same, clear = _labels(values, truths) if key == "logits" else (None, None)
    return Agreement(
        explained=float(1 - error / variation) if variation > 0 else float(error == 0),
        cosine=float(cosines.mean()),
        least_cosine=float(cosines.min()),
        label=None if same is None else float(same.mean()),
        clear_label=None if same is None else float(same[clear].mean()) if clear.any() else 1.0,
        difference=float(np.abs(values - truths).max() / max(np.abs(truths).max(), 1e-30)),
        num_texts=len(wanted),
    )


def _without_padding(
    name: str, values: np.ndarray, golden: Golden, case: Case, width: int, spec: TensorSpec | None
) -> np.ndarray:
    truths = [each.answers[case.request.signature][name] for each in case.goldens]
    truth = golden.answers[case.request.signature][name]
    fixed = spec is not None and spec.shape is not None and spec.shape[1:2] != (None,)
    if fixed or values.ndim == 0 or truth.ndim == 0:
        return np.asarray(values)
    # As wide as the row that was asked, or, of the target tokens in such rows, as the longest one.
    widths = {max(each.shape[0] for each in truths)}
    if truth.shape[0] == len(golden.token_ids):
        widths.add(width)
    return np.asarray(values[: truth.shape[0]] if values.shape[0] in widths else values)


def _require_finite(name: str, *arrays: np.ndarray) -> None:
    for whose, array in zip(("the export", "the live model"), arrays, strict=True):
        if not np.isfinite(array).all():
            raise Mismatch(f"{name} of {whose} is not finite: {_short(array)}")


def _is_tie(value: np.ndarray, truth: np.ndarray, logits: np.ndarray | None) -> bool:
    if logits is None or logits.ndim != truth.ndim + 1 or logits.shape[-1] < 2:
        return False
    best = np.sort(logits, -1)
    tied = best[..., -1] - best[..., -2] <= 1e-5 * np.maximum(1.0, np.abs(best[..., -1]))
    return bool(((value == truth) | tied).all())


def _vectors(rows: Iterable[Row], name: str) -> np.ndarray:
    """All rows of one output below each other, float64 `(number of vectors, width)`."""
    parts = [row[name].astype(np.float64) for row in rows]
    return np.concatenate(
        [p.reshape(-1, p.shape[-1]) if p.ndim else p.reshape(1, 1) for p in parts]
    )


def _cosines(values: np.ndarray, truths: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(truths, axis=1)
    products = (values * truths).sum(1)
    return np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0.0)


def _labels(values: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each vector of logits: whether the best class is the same, whether it was a clear one."""
    odds = np.exp(truths - truths.max(1, keepdims=True))
    chances = np.sort(odds / odds.sum(1, keepdims=True), 1)
    second = chances[:, -2] if chances.shape[1] > 1 else np.zeros(len(chances))
    return values.argmax(1) == truths.argmax(1), chances[:, -1] - second > CLEAR_MARGIN


def _short(array: np.ndarray) -> str:
    text = str(array.reshape(-1)[:6].tolist())
    return text if len(text) < 100 else f"{text[:100]}..."
