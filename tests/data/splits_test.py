"""A part is kept for evaluation by the text alone."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.data import splits
from tfzoo.data.tables import Table


def table(texts):
    count = len(texts)
    return Table("a.tsv", tuple(range(count)), tuple(texts), None, ("x",) * count)


def test_every_row_is_in_one_part_and_the_share_is_kept():
    whole = table([f"text {i}" for i in range(2000)])
    train, evaluate = splits.by_text(whole, 0.1)
    assert sorted(train.lines + evaluate.lines) == list(range(2000))
    assert 160 < len(evaluate) < 240


def test_equal_texts_are_never_on_both_sides():
    train, evaluate = splits.by_text(table([f" {i % 50}" for i in range(500)]), 0.2)
    assert not {t.strip() for t in train.texts} & {t.strip() for t in evaluate.texts}


def test_more_rows_move_no_row():
    few = splits.by_text(table([f"text {i}" for i in range(100)]), 0.3)[1]
    more = splits.by_text(table([f"text {i}" for i in range(200)]), 0.3)[1]
    assert set(few.texts) == {t for t in more.texts if int(t.split()[1]) < 100}


def test_too_few_texts_are_refused():
    with pytest.raises(UserError, match=r"too few different texts.*5 rows"):
        splits.by_text(table(["a"] * 5), 0.1)
