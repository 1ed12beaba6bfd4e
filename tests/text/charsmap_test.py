"""Character maps, packed and unpacked."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text import charsmap

RULES = {
    b"A": b"a",
    "é".encode(): b"e",
    "e\u0301".encode(): "é".encode(),
    "ﬁ".encode(): b"fi",
    b"\x01": b"",
    b"\xff": b"",
    b"<extra_id_0>": b" \xfe000000 ",
    b"<extra_id_1>": b"a",
}


def test_what_is_packed_is_unpacked():
    assert charsmap.unpack(charsmap.pack(RULES), longest=12) == RULES


def test_longer_keys_are_left_out():
    short = {key: text for key, text in RULES.items() if len(key) <= 3}
    assert charsmap.unpack(charsmap.pack(RULES), longest=3) == short


def test_no_map_has_no_rules():
    assert charsmap.unpack(b"", longest=5) == {}


@pytest.mark.parametrize("wrong", [b"abc", b"\0\0\0\0abc", b"\0\4\0\0" + b"a" * 2000])
def test_what_is_no_map_is_refused(wrong):
    with pytest.raises(UserError, match="precompiled character map") as caught:
        charsmap.unpack(wrong, longest=5)
    assert "\n" not in str(caught.value)


def test_a_free_unit_is_nobody_s_child():
    size = int.from_bytes(charsmap.pack(RULES)[:4], "little")
    units = memoryview(charsmap.pack(RULES)[4 : 4 + size]).cast("I")
    assert all(units)  # A zero would answer for the label 0, that is for a NUL in a text.


@pytest.mark.data
def test_t5_s_map_is_read(shared_data):
    from tfzoo.text.sentencepiece_model import read_unigram

    rules = charsmap.unpack(read_unigram(shared_data("tok-t5") / "spiece.model").charsmap, 5)
    assert rules["ﬁ".encode()] == b"fi" and rules["e\u0301".encode()] == "é".encode()
    assert rules[b"\t"] == b" " and rules["\u200b".encode()] == b" "
    assert len(rules) == 7563 and charsmap.unpack(charsmap.pack(rules), 5) == rules
