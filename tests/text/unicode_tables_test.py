"""The frozen tables against what any Python's unicodedata must agree with."""

import unicodedata

import pytest

from tfzoo.text import unicode_tables as tables

TABLES = ("PUNCTUATION", "NONSPACING_MARKS", "FORMAT", "DECOMPOSABLE", "LATER_PUNCTUATION")


@pytest.mark.parametrize(
    "name", [*TABLES, "CHINESE", "WHITESPACE", "LATER_LETTERS", "LATER_NUMBERS"]
)
def test_code_points_are_listed_once(name):
    points = tables.code_points(getattr(tables, name))
    assert points and len(points) == len(set(points))


def test_ranges_are_read_with_both_ends():
    assert tables.code_points("9 20-22") == [0x9, 0x20, 0x21, 0x22]


def test_categories_changed_since_unicode_3_2_only_where_they_did():
    changed = {
        "PUNCTUATION": "AD 23B4-23B6 A7 B6 F14 2308-230B",
        "NONSPACING_MARKS": "302E-302F 17B4-17B5",
    }
    old = unicodedata.ucd_3_2_0
    for name, kinds in (("PUNCTUATION", ("P",)), ("NONSPACING_MARKS", ("Mn",))):
        assigned = [p for p in range(0x80, 0x110000) if old.category(chr(p)) != "Cn"]
        here = {p for p in assigned if old.category(chr(p)).startswith(kinds)}
        ours = set(tables.code_points(getattr(tables, name)))
        assert here ^ ours.intersection(assigned) == set(tables.code_points(changed[name]))


def test_what_the_table_calls_decomposable_is():
    for point in tables.code_points(tables.DECOMPOSABLE):
        assert unicodedata.normalize("NFD", chr(point)) != chr(point)


def test_lowercase_letters_are_those_of_python_up_to_unicode_14():
    ours = tables.lowercase()
    later = {0x1C89, 0xA7CB, 0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA, 0xA7DC}
    later |= {*range(0x10D50, 0x10D66), *range(0x16EA0, 0x16EB9)}
    assert all(chr(p).lower() == chr(q) for p, q in ours.items() if p not in later)
    assert later < ours.keys()
    assert ours[ord("Σ")] == ord("σ") and ours[0x1E9E] == ord("ß") and 0x130 not in ours


def test_a_table_is_a_character_class_of_re2():
    assert tables.regex_class("9 20-22") == r"\x{9}-\x{9}\x{20}-\x{22}"
