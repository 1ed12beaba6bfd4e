import argparse

import pytest

from tfzoo.cli.parser import Parser, port, whole_number
from tfzoo.core.errors import UserError


@pytest.fixture
def parser():
    made = Parser(prog="tfzoo x", example="tfzoo x --size=3")
    made.add_argument("--size", type=whole_number)
    made.add_argument("--needed", required=True)
    return made


def test_what_is_given_is_parsed(parser):
    assert vars(parser.parse_strictly(["--size=3", "--needed", "y"])) == {
        "size": 3,
        "needed": "y",
    }


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "required: --needed"),
        (["--needed=y", "--sise=3"], r"`--sise` is not a known option of `tfzoo x`. Did you mean"),
        (["--needed=y", "more"], "Received: 'more'"),
        (["--needed=y", "--size=0"], "expected a whole number from 1 on, received '0'"),
        (["--needed=y", "--size=-1"], "expected a whole number from 1 on"),
        (["--needed=y", "--size=two"], "expected a whole number from 1 on"),
        (["--needed"], "expected one argument"),
        (["--need=y"], "`--need`|required: --needed"),  # no abbreviations
    ],
)
def test_a_mistake_is_one_line(parser, arguments, match):
    with pytest.raises(UserError, match=match) as caught:
        parser.parse_strictly(arguments)
    assert "\n" not in str(caught.value)


def test_help_ends_with_the_example(parser):
    assert parser.format_help().rstrip().endswith("example:\n  tfzoo x --size=3")


@pytest.mark.parametrize("text", ["65536", "-1", "http", ""])
def test_a_port_is_in_range(text):
    with pytest.raises(argparse.ArgumentTypeError, match="0 to 65535"):
        port(text)


def test_port_0_is_any_free_one():
    assert port("0") == 0
