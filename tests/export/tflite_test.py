"""TFLite files: what is written beside them, and what cannot be written."""

import pytest

from tests.export import tiny_tasks
from tfzoo.core.errors import UserError
from tfzoo.export import tflite


def test_the_names_of_labels_and_tokens_lie_beside(lite, tiny_task):
    assert (lite / "labels.txt").read_text() == "bad\ngood\nodd\n"
    lines = (lite / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert tuple(lines[:-1]) == tiny_task.tokenizer.vocabulary


def test_what_cannot_be_written_is_refused_before_work_begins(tmp_path, tiny_task):
    with pytest.raises(UserError, match="`int4` is not a precision of TFLite files"):
        tflite.write(tiny_task, tmp_path, ["int4"])
    with pytest.raises(UserError, match="`tokens` is not a form of TFLite files"):
        tflite.write(tiny_task, tmp_path, forms=["tokens"])
    without = tiny_tasks.token_classification(tokenizer=False)
    with pytest.raises(UserError, match="need a tokenizer"):
        tflite.write(without, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_label_that_is_no_line_is_refused(tmp_path):
    with pytest.raises(UserError, match="a label a line"):
        tflite.write(tiny_tasks.classification(labels=("a\nb", "c")), tmp_path)


def test_a_model_without_tokenizer_has_files_from_ids_only(tiny_task):
    assert tflite.forms_of(tiny_tasks.token_classification(tokenizer=False)) == ("token_ids",)
    assert tflite.forms_of(tiny_task) == ("token_ids", "text")
