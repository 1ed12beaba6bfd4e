"""Stop strings are found in bytes of tokens, wherever they begin and end."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.decoding import stops

PIECES = [b"", b"a", b"b", b"ab", b"ba", b"aab", b"bbab", "é".encode()[:1], "é".encode()[1:], b"ca"]


def test_a_string_is_found_by_the_token_that_ends_it():
    strings = ["abab", "bbb", "aé", "cab"]
    table = tf.constant(stops.table(strings, PIECES))
    ids = np.random.default_rng(1).integers(0, len(PIECES), (300, 12)).astype("int32")
    state, found = tf.zeros(300, tf.int32), []
    for token in ids.T:
        state, stopped = stops.after(table, state, tf.constant(token))
        found.append(stopped.numpy())
    for row, stopped in zip(ids, np.transpose(found), strict=True):
        for count in range(1, 13):
            text = b"".join(PIECES[i] for i in row[:count])
            assert stopped[count - 1] == any(string.encode() in text for string in strings)
    assert 0.2 < np.mean(found[-1]) < 0.9


def test_a_string_inside_of_another_is_found():
    table = stops.table(["aabb", "ab"], [b"a", b"b"])
    assert table[table[0, 0], 1] == 1
    assert (table[1] == 1).all()


@pytest.mark.parametrize("strings", [[], ["a", ""]])
def test_there_must_be_something_to_find(strings):
    with pytest.raises(UserError, match=r"none that is empty.*stop_strings="):
        stops.table(strings, PIECES)
