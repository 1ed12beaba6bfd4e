"""Range checks name the field, what it may be, and what was received."""

import types

import pytest

from tfzoo.core import checks
from tfzoo.core.errors import UserError

NAN = float("nan")


def config(**fields):
    return types.SimpleNamespace(**fields)


@pytest.mark.parametrize(
    ("check", "fields", "arguments", "message"),
    [
        (checks.at_least, {"a": 1, "b": 0}, (1, "a", "b"), "b must be at least 1. Received: b=0."),
        (checks.at_least, {"a": NAN}, (0, "a"), "a must be at least 0. Received: a=nan."),
        (checks.above, {"a": 0.0}, (0, "a"), "a must be above 0. Received: a=0.0."),
        (checks.dropout_rates, {"a": 1.0}, ("a",), "a must be from 0 to 1, 1 excluded."),
        (checks.one_of, {"a": "z"}, (("x", "y"), "a"), "a must be one of x, y. Received: a='z'."),
        (
            checks.token_ids,
            {"a": 0, "b": 7, "vocab_size": 7},
            ("a", "b"),
            "b must be from 0 to 6, an id of the vocabulary. Received: b=7.",
        ),
        (checks.token_ids, {"a": -1, "vocab_size": 7}, ("a",), "a must be from 0 to 6"),
        (checks.divides, {"a": 3, "b": 8}, ("a", "b"), "a must divide b. Received: a=3, b=8."),
    ],
)
def test_what_is_out_of_range_is_said(check, fields, arguments, message):
    with pytest.raises(UserError) as error:
        check(config(**fields), *arguments)
    assert str(error.value).startswith(message)


def test_what_is_in_range_passes():
    good = config(a=1, b=0.0, c="x", d=4, nothing=None, vocab_size=2)
    checks.at_least(good, 1, "nothing")
    checks.above(good, 0, "nothing")
    checks.at_least(good, 1, "a")
    checks.above(good, 0, "a")
    checks.dropout_rates(good, "b")
    checks.one_of(good, ("x",), "c")
    checks.token_ids(good, "nothing", "b", "a")
    checks.divides(good, "a", "d")
