"""The settings of a preparation are checked before anything is read."""

import pytest

from tfzoo.core.config import from_dict
from tfzoo.core.errors import UserError
from tfzoo.data.preparation import Preparation

GOOD = {"inputs": ["a"], "tokenizer": "t"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_characters": 0}, "min_characters must be at least 1"),
        ({"train_shards": 0}, "train_shards must be at least 1"),
        ({"evaluation_share": 1.0}, "evaluation_share must be from 0 to 1"),
        ({"seed": -1}, "seed must be from 0"),
        ({"documents": "heading"}, "goes with a regular expression"),
        ({"heading": "x"}, "goes with a regular expression"),
        ({"documents": "heading", "heading": "("}, "must be a regular expression"),
        ({"normalization": "NFX"}, "not a value of `normalization`"),
        ({"documents": "blank_line"}, "Did you mean `blank_lines`"),
    ],
)
def test_a_value_out_of_range_is_refused(change, message):
    from_dict(Preparation, GOOD)
    with pytest.raises(UserError, match=message):
        from_dict(Preparation, {**GOOD, **change})


def test_nothing_held_out_means_no_files_for_it():
    assert Preparation(("a",), "t").shards() == {"train": 8, "evaluation": 1}
    assert Preparation(("a",), "t", evaluation_share=0.0).shards() == {"train": 8}
