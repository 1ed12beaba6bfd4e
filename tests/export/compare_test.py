"""The comparison with the live model: what passes, and that nothing else does."""

import dataclasses

import numpy as np
import pytest

from tfzoo.export.compare import Agreement, Mismatch, agreement, difference, unpack
from tfzoo.export.golden import Case, Golden
from tfzoo.export.meta_graph import TensorSpec
from tfzoo.export.warm_up import Request

NAN, INF = float("nan"), float("inf")


def row(logits, label=b"a"):
    return {"logits": np.array(logits, np.float32), "label": np.array(label, object)}


def golden(length, **answer):
    return Golden({}, np.ones(length, np.int32), length, {"s": answer})


def test_equal_rows_differ_by_nothing():
    assert difference(row([1.0, 2.0]), row([1.0, 2.0])) == 0


def test_small_numbers_differ_absolutely_and_large_ones_relatively():
    assert difference(row([0.1, 0.25]), row([0.1, 0.5])) == pytest.approx(0.25)
    assert difference(row([0.0, 990.0]), row([0.0, 1000.0])) == pytest.approx(0.01)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_never_passes(value):
    with pytest.raises(Mismatch, match="of the export is not finite"):
        difference(row([value, 1.0]), row([0.0, 1.0]))
    with pytest.raises(Mismatch, match="of the live model is not finite"):
        difference(row([0.0, 1.0]), row([value, 1.0]))
    with pytest.raises(Mismatch, match="not finite"):
        difference(row([value, 1.0]), row([value, 1.0]))


def test_another_type_or_shape_never_passes():
    with pytest.raises(Mismatch, match=r"float64 \[1\] instead of float32 \[1\]"):
        difference({"x": np.zeros(1)}, {"x": np.zeros(1, np.float32)})
    with pytest.raises(Mismatch, match=r"float32 \[1\] instead of float32 \[2\]"):
        difference({"x": np.zeros(1, np.float32)}, {"x": np.zeros(2, np.float32)})


def test_another_label_passes_only_for_a_tie():
    with pytest.raises(Mismatch, match="label is"):
        difference(row([0.0, 1e-4], b"a"), row([0.0, 1e-4], b"b"))
    assert difference(row([1.0, 1.0], b"a"), row([1.0, 1.0], b"b")) == 0


def test_whole_numbers_are_compared_exactly():
    with pytest.raises(Mismatch, match="ids is"):
        difference({"ids": np.array([1, 2])}, {"ids": np.array([1, 3])})


def test_a_batch_is_taken_apart_without_its_padding():
    long, short = (golden(n, x=np.ones([n, 2], np.float32)) for n in (3, 1))
    case = Case(Request("s", {}), (long, short))
    rows = unpack(case, {"x": np.ones([2, 3, 2], np.float32)})
    assert [r["x"].shape for r in rows] == [(3, 2), (1, 2)]


def test_an_axis_of_fixed_size_is_not_taken_for_tokens():
    case = Case(Request("s", {}), (golden(4, x=np.ones(4)), golden(3, x=np.ones(3))))
    specs = {"x": TensorSpec("x", "float64", (None, 4), "")}
    rows = unpack(case, {"x": np.ones([2, 4])}, specs)
    assert [len(r["x"]) for r in rows] == [4, 4]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "outputs are"),
        ({"x": np.ones([1, 1]), "y": np.ones([1, 1])}, "outputs are"),
        ({"x": np.ones([2, 1])}, "for 1 rows"),
        ({"x": np.ones([])}, "for 1 rows"),
    ],
)
def test_wrong_outputs_are_said(answer, message):
    with pytest.raises(Mismatch, match=message):
        unpack(Case(Request("s", {}), (golden(1, x=np.ones(1)),)), answer)


def rows(values):
    return [{"logits": np.array(value, np.float32)} for value in values]


def test_perfect_agreement():
    truths = rows([[0, 1], [2, 0], [1, 3]])
    found = agreement(truths, truths)
    assert found == Agreement(1.0, pytest.approx(1.0), pytest.approx(1.0), 1.0, 1.0, 0.0, 3)


def test_a_constant_explains_nothing_however_near_it_is():
    truths = rows([[10.0, 9.9], [10.1, 10.0], [9.9, 10.1]])
    constant = rows([[10.0, 10.0]] * 3)
    found = agreement(constant, truths)
    assert found.cosine > 0.999
    assert found.explained == pytest.approx(0, abs=1e-3)


def test_noise_explains_nothing():
    random = np.random.default_rng(0)
    found = agreement(rows(random.normal(size=(50, 8))), rows(random.normal(size=(50, 8))))
    assert found.explained < 0
    assert found.label < 0.5


def test_unclear_texts_count_only_among_all():
    truths, values = rows([[0, 0.1], [0, 9]]), rows([[0.1, 0], [0, 9]])
    found = agreement(values, truths)
    assert (found.label, found.clear_label) == (0.5, 1.0)


@pytest.mark.parametrize("value", [NAN, INF])
def test_agreement_of_what_is_not_finite_is_refused(value):
    with pytest.raises(Mismatch, match="not finite"):
        agreement(rows([[value, 1.0]]), rows([[0.0, 1.0]]))


def test_agreement_holds_only_finite_numbers():
    found = agreement(rows([[0.0, 0.0]]), rows([[0.0, 0.0]]))
    numbers = [v for v in dataclasses.astuple(found) if v is not None]
    assert np.isfinite(numbers).all()


def test_of_several_logits_the_worst_count():
    random = np.random.default_rng(0)

    def spans(end):
        return [
            {"start_logits": row, "end_logits": other}
            for row, other in zip(start, end, strict=True)
        ]

    start, end = (list(random.normal(size=(50, 8)).astype("float32")) for _ in range(2))
    garbage = list(random.normal(size=(50, 8)).astype("float32"))
    assert agreement(spans(end), spans(end)).explained == 1
    assert agreement(spans(garbage), spans(end)).explained < 0.1
