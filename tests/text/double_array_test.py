"""The trie answers for its keys and for nothing else."""

import random

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.text import double_array


def value(units, key):
    position = double_array.find(units, key)
    return None if position is None else int(units[position]) & 0x7FFFFFFF


def some_items(count=3000, seed=0):
    chance = random.Random(seed)
    keys = {
        bytes(chance.randrange(1, 256) for _ in range(chance.randrange(1, 5))) for _ in range(count)
    }
    return {key: chance.randrange(1 << 31) for key in sorted(keys)}


def test_every_key_is_found_with_its_value():
    items = some_items()
    units = double_array.build(items.items())
    assert {key: value(units, key) for key in items} == items


def test_other_keys_are_not_found():
    items = some_items()
    units = double_array.build(items.items())
    others = [key for key in some_items(seed=1) if key not in items]
    prefixes = {key[:n] for key in items for n in range(1, len(key))} - items.keys()
    assert len(others) > 1000 and len(prefixes) > 1000
    assert not [key for key in (*others, *prefixes) if value(units, key) is not None]


def test_a_key_may_be_the_start_of_another():
    units = double_array.build([(b"a", 1), (b"ab", 2), (b"abc", 3)])
    assert [value(units, key) for key in (b"a", b"ab", b"abc", b"abcd")] == [1, 2, 3, None]


def test_the_order_of_items_does_not_matter():
    items = list(some_items(300).items())
    assert np.array_equal(double_array.build(items), double_array.build(items[::-1]))


def test_equal_subtries_are_stored_once():
    rows = [(bytes([a, b]), 7) for a in range(1, 101) for b in range(1, 101)]
    assert len(double_array.build(rows)) <= 1024


def test_nested_mappings_may_share_their_parts():
    leaf = {double_array.LEAF: 5}
    units = double_array.pack({1: {2: leaf}, 3: {2: leaf}})
    assert [value(units, bytes(key)) for key in ((1, 2), (3, 2), (2,))] == [5, 5, None]


@pytest.mark.parametrize("item", [(b"", 1), (b"a\0b", 1), (b"a", -1), (b"a", 1 << 31)])
def test_what_the_layout_cannot_hold_is_refused(item):
    with pytest.raises(UserError, match="double array"):
        double_array.build([item])
