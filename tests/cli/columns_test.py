import pytest

from tfzoo.cli import columns
from tfzoo.cli.parser import Parser
from tfzoo.core.errors import UserError
from tfzoo.data.tables import Columns


def parsed(*arguments, pairs=False, label=True):
    parser = Parser(prog="x")
    columns.add_columns(parser, "in a file")
    return columns.columns(parser.parse_strictly(arguments), pairs, label)


def test_columns_are_names_by_default():
    assert parsed() == Columns("text", "label", None, "auto")


def test_digits_are_numbers():
    assert parsed("--text=1", "--label", "0") == Columns(1, 0, None, "auto")


def test_a_task_of_pairs_takes_the_column_pair():
    assert parsed(pairs=True).pair == "pair"
    assert parsed("--pair=3", "--text=1", "--label=0", pairs=True).pair == 3


def test_without_labels_none_are_read():
    assert parsed(label=False).label is None
    assert parsed("--header=no", "--text=0", label=False) == Columns(0, None, None, False)


def test_names_without_a_header_are_refused():
    with pytest.raises(UserError, match="by number"):
        parsed("--header=no")
