"""Documents in memory."""

import dataclasses

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.data.documents import Documents


def make(ids=(7, 12, 9, 4, 4, 31), sentences=(0, 3, 5, 6), starts=(0, 2, 3), characters=20):
    return Documents(*map(np.array, (ids, sentences, starts)), characters)


def test_documents_begin_where_their_first_sentences_do():
    assert len(make()) == 2
    assert make().token_starts.tolist() == [0, 5, 6]


def test_the_fingerprint_is_of_tokens_sentences_and_documents():
    others = [make(ids=(7, 12, 9, 4, 4, 30)), make(sentences=(0, 2, 5, 6)), make(starts=(0, 1, 3))]
    found = {made.fingerprint() for made in (make(), make(), *others)}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ids": ()}, "hold no tokens"),
        ({"sentences": (0, 3, 5, 7)}, "0 to 7 of 6"),
        ({"sentences": (0, 3, 3, 6)}, "must rise"),
        ({"starts": (1, 2, 3)}, "1 to 3 of 3"),
        ({"starts": (0, 2)}, "0 to 2 of 3"),
    ],
)
def test_starts_that_fit_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        make(**fields)


def test_documents_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().characters = 1
