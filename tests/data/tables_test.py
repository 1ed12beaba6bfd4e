"""Tables are read as they are written, and every mistake is one line with file and line number."""

import gzip

import pytest

from tfzoo.core.errors import UserError
from tfzoo.data import tables
from tfzoo.data.tables import Columns


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def test_tsv_takes_quotes_as_letters(file):
    table = tables.read(file("a.tsv", 'text\tlabel\n"quoted" , here\tx\na "b\ty\n'))
    assert table.texts == ('"quoted" , here', 'a "b')
    assert table.labels == ("x", "y")
    assert table.lines == (2, 3)


def test_csv_fields_may_hold_commas_quotes_and_line_ends(file):
    content = 'text,label\r\n"a, ""b""",x\r\n"two\r\nlines",y\r\nlast,x\r\n'
    table = tables.read(file("a.csv", content))
    assert table.texts == ('a, "b"', "two\r\nlines", "last")
    assert table.lines == (2, 3, 5)


def test_jsonl_labels_may_be_numbers_and_truth_values(file):
    content = '{"text": "a", "label": 1}\n{"label": true, "text": "b", "more": []}\n'
    assert tables.read(file("a.jsonl", content)).labels == ("1", "true")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", ["a.tsv", "a.TSV", "a.tsv.gz"])
def test_byte_order_mark_line_ends_and_gzip_leave_no_trace(file, name, mark, ending):
    content = mark + ending.join(["text\tlabel", "é 日\tx", "b\u2028c\x0bd\x85\ty"]) + ending * 3
    table = tables.read(file(name, content))
    assert table.texts == ("é 日", "b\u2028c\x0bd\x85")
    assert table.labels == ("x", "y")


def test_columns_by_number_need_no_header(file):
    path = file("a.tsv", "1\tx\tfirst\tsecond\n2\ty\tthird\tfourth\n")
    table = tables.read(path, Columns(text=2, pair=3, label=1))
    assert table.texts == ("first", "third")
    assert table.pairs == ("second", "fourth")
    assert table.lines == (1, 2)


def test_columns_by_number_skip_a_header_that_is_said_to_be_there(file):
    path = file("a.tsv", "label\ttext\nx\ta\n")
    assert tables.read(path, Columns(1, 0, header=True)).texts == ("a",)


def test_a_file_without_labels_can_be_read(file):
    table = tables.read(file("a.tsv", "text\na\nb\n"), Columns(label=None))
    assert table.labels is None
    assert len(table) == 2


def test_surrounding_space_stays_in_texts_and_goes_from_labels(file):
    table = tables.read(file("a.tsv", "text\tlabel\n a \t x \n"))
    assert (table.texts, table.labels) == ((" a ",), ("x",))


ROWS = "text\tlabel\n"
WRONG = {
    "missing": ("none.tsv", None, Columns(), "No such file"),
    "empty": ("a.tsv", "", Columns(), "holds no rows"),
    "header_only": ("a.tsv", ROWS, Columns(), "holds no rows"),
    "blank_only": ("a.csv", "\n\n", Columns(), "holds no rows"),
    "extension": ("a.xlsx", "x", Columns(), r"ends in \.tsv"),
    "columns": ("a.tsv", ROWS + "a\tx\nb\ty\tz\n", Columns(), r"a\.tsv:3 has another number"),
    "csv_columns": ("a.csv", "text,label\na,x\nb\n", Columns(), r"a\.csv:3 .*Expected 2.*: 1"),
    "blank_line": ("a.tsv", ROWS + "a\tx\n\nb\ty\n", Columns(), r"a\.tsv:3 is blank"),
    "no_text": ("a.tsv", ROWS + "a\tx\n  \ty\n", Columns(), r"a\.tsv:3: the text is empty"),
    "no_label": ("a.tsv", ROWS + "a\t\n", Columns(), r"a\.tsv:2: the label is empty"),
    "no_pair": ("a.tsv", "t\tu\tl\na\t\tx\n", Columns("t", "l", "u"), "the pair is empty"),
    "no_column": ("a.tsv", "sentence\tlabel\na\tx\n", Columns(), "'text' for the text.*'sentence'"),
    "two_columns": ("a.csv", "text,text,label\na,b,x\n", Columns(), "two columns called 'text'"),
    "number": ("a.tsv", "a\tx\n", Columns(0, 2), r"no column 2.*2 columns"),
    "latin1": ("a.tsv", b"text\tlabel\na\tx\ncaf\xe9\ty\n", Columns(), r"a\.tsv:3.*byte 18 .*0xe9"),
    "utf16": ("a.tsv", "text\tlabel\n".encode("utf-16"), Columns(), "UTF-16"),
    "nul": ("a.tsv", b"text\tlabel\na\0b\tx\n", Columns(), r"a\.tsv:2 holds a NUL"),
    "quote": ("a.csv", 'text,label\na,x\n"b,y\nc,x\n', Columns(), r"a\.csv:3 is not CSV.*quote"),
    "json": ("a.jsonl", '{"text": "a", "label": "x"}\n{"text" 1}\n', Columns(), r":2 is not JSON"),
    "json_list": ("a.jsonl", "[1]\n", Columns(), r":1 must be a JSON object.*list"),
    "json_empty": ("a.jsonl", "{}\n", Columns(), r":1 has no key 'text'"),
    "json_key": ("a.jsonl", '{"text": "a"}\n', Columns(), r":1 has no key 'label'.*'text'"),
    "json_type": ("a.jsonl", '{"text": 3, "label": "x"}\n', Columns(), r":1: the text must be a s"),
    "json_null": ("a.jsonl", '{"text": "a", "label": null}\n', Columns(), r":1: the label must"),
    "json_half": ("a.jsonl", '{"text": "\\ud83d", "label": 1}\n', Columns(), r":1: .* no text"),
    "json_nul": ("a.jsonl", '{"text": "a\\u0000", "label": 1}\n', Columns(), r":1: .*NUL"),
    "json_deep": ("a.jsonl", "[" * 100_000 + "\n", Columns(), ":1 is not JSON"),
    "json_number": ("a.jsonl", '{"a": "b"}\n', Columns(0, 1), "names, not numbers"),
    "gzip": ("b.tsv", b"", Columns(), "not a whole gzip"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line_that_helps(file, tmp_path, case):
    name, content, columns, message = WRONG[case]
    path = tmp_path / name if content is None else file(name, content)
    if case == "gzip":
        path = path.rename(tmp_path / "b.tsv.gz")
        path.write_bytes(gzip.compress(b"text\tlabel\na\tx\n" * 9)[:-12])
    with pytest.raises(UserError, match=message) as error:
        tables.read(path, columns)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.tsv").mkdir()
    with pytest.raises(UserError, match="not a folder"):
        tables.read(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": -1}, "counted from 0.*text=-1"),
        ({"text": "a", "header": False}, "by number, from 0.*text='a'"),
        ({"text": "a", "label": "a"}, "cannot be two things.*text='a', label='a'"),
    ],
)
def test_columns_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Columns(**arguments)


def table(labels, file):
    return tables.read(file("a.tsv", ROWS + "".join(f"text\t{label}\n" for label in labels)))


def test_labels_are_sorted_as_numbers_when_all_are(file):
    assert tables.label_names(table(["10", "9", "-1", "2.5"], file)) == ("-1", "2.5", "9", "10")
    assert tables.label_names(table(["10", "9", "b"], file)) == ("10", "9", "b")


def test_one_class_is_refused(file):
    with pytest.raises(UserError, match=r"one class only.*3 rows, all of label 'x'"):
        tables.label_names(table(["x"] * 3, file))


def test_a_label_column_of_measurements_is_refused(file):
    with pytest.raises(UserError, match=r"nearly as many labels as rows.*40 different"):
        tables.label_names(table([f"0.{i}1" for i in range(40)] + ["7"] * 0, file))


def test_an_unknown_label_is_named_with_its_line(file):
    found = table(["x", "y", "z"], file)
    assert found.label_ids(("z", "y", "x")) == [2, 1, 0]
    with pytest.raises(UserError, match=r"a\.tsv:4 .*one of 'x', 'y'\. Received: label='z'"):
        found.label_ids(("x", "y"))


def test_fewer_rows_are_spread_over_the_file(file):
    found = table("a" * 500 + "b" * 500, file)
    few = found.spread(100)
    assert few == found.spread(100)
    assert list(few.lines) == sorted(set(few.lines))
    assert 40 < few.labels.count("a") < 60
    in_turns = table("ab" * 500, file).spread(100)
    assert 35 < in_turns.labels.count("a") < 65
    assert found.spread(None) is found.spread(1000) is found


def test_the_fingerprint_sees_every_text_and_label(file):
    one = tables.fingerprint(table("ab", file))
    assert one == tables.fingerprint(table("ab", file))
    assert one != tables.fingerprint(table("ba", file))


@pytest.mark.data
def test_sst2_is_read_whole(shared_data):
    found = tables.read(shared_data("data-sst2") / "dev.tsv", Columns("sentence", "label"))
    assert len(found) == 6735
    assert tables.label_names(found) == ("0", "1")


@pytest.mark.data
def test_pairs_without_a_header_are_read_whole(shared_data, tmp_path):
    path = tmp_path / "sick.tsv"
    path.write_bytes((shared_data("data-sick") / "SICK_trial.txt").read_bytes())
    found = tables.read(path, Columns(text=1, pair=2, label=4))
    assert len(found) == 500
    assert tables.label_names(found) == ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
