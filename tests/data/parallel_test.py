"""Texts that belong together in pairs, and what an encoder-decoder learns of them."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from tests.data import corpora
from tfzoo.core.errors import UserError
from tfzoo.data import parallel

PAD, START = 0, 9


def write(folder, **columns):
    paths = []
    for name, lines in columns.items():
        paths.append(folder / name)
        paths[-1].write_text("".join(f"{line}\n" for line in lines))
    return tuple(map(str, paths))


def test_two_files_belong_together_line_by_line(tmp_path, caplog):
    table = parallel.read(write(tmp_path, en=["a", " b c ", "", "d"], de=["A", "B C", "X", "D"]))
    assert table.texts == ("a", "b c", "d")
    assert table.pairs == ("A", "B C", "D")
    assert table.lines == (1, 2, 4)
    assert table.path == f"{tmp_path}/en and {tmp_path}/de"


def test_files_may_be_compressed(tmp_path):
    for name, text in (("en.gz", "a\nb\n"), ("de.gz", "A\nB\n")):
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(text)
    table = parallel.read((str(tmp_path / "en.gz"), str(tmp_path / "de.gz")))
    assert (table.texts, table.pairs) == (("a", "b"), ("A", "B"))


def test_a_table_has_both_in_its_columns(tmp_path):
    (path,) = write(tmp_path, **{"x.tsv": ["de\ten", "A\ta", "B\tb"]})
    table = parallel.read(path, "en", "de")
    assert (table.texts, table.pairs) == (("a", "b"), ("A", "B"))


@pytest.mark.parametrize(
    ("en", "de", "message"),
    [
        (["a", "b"], ["A"], r"as many in both files\. Received: 2 in .*en, 1 in .*de\."),
        (["a", ""], ["", "B"], "hold no pair of lines that are not blank"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, en, de, message):
    with pytest.raises(UserError, match=message) as error:
        parallel.read(write(tmp_path, en=en, de=de))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    (path,) = write(tmp_path, en=["a"])
    with pytest.raises(UserError, match=r"No such file\. Received: .*nowhere"):
        parallel.read((path, str(tmp_path / "nowhere")))


SOURCES = [[5, 6], [7, 8, 9, 5], [4], [6, 6, 6]]
TARGETS = [[3, 2, 1], [4, 1], [7, 7, 7, 7, 1], [1]]


def source(width=None):
    ragged = (tf.ragged.constant(rows, dtype=tf.int32) for rows in (SOURCES, TARGETS))
    return parallel.teacher_forcing(*ragged, PAD, START, width)


def test_the_decoder_reads_each_label_one_place_later():
    found = corpora.take(source(), [2, 0], is_real=[True, False])
    assert found["encoder_token_ids"].tolist() == [[4, 0], [5, 6]]
    assert found["encoder_padding_mask"].tolist() == [[1, 0], [1, 1]]
    assert found["labels"].tolist() == [[7, 7, 7, 7, 1], [3, 2, 1, 0, 0]]
    assert found["decoder_token_ids"].tolist() == [[9, 7, 7, 7, 7], [9, 3, 2, 1, 0]]
    assert found["decoder_padding_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert found["label_weights"].tolist() == [[1] * 5, [0] * 5]
    assert found["weight"].tolist() == [1, 0]


def test_fixed_rows_are_all_of_one_shape():
    found = corpora.take(source(6), [3])
    assert {v.shape for k, v in found.items() if k != "weight"} == {(1, 6)}
    assert source(6).lengths is None
    corpora.check_batches(source(6))


def test_lengths_are_the_tokens_of_both_sides():
    assert np.asarray(source().lengths).tolist() == [5, 6, 6, 4]
    assert source().num_rows == 4
