"""Grapheme clusters: what is taken apart, what is dropped, what is left alone."""

import random

import pytest
import tensorflow as tf

from tfzoo.text import charsmap, clusters
from tfzoo.text.clusters import SEPARATOR, Clusters

# As in nmt_nfkc, but few.
RULES = {
    key.encode(): text.encode()
    for key, text in {
        "e\u0301": "é",
        "e\u0302": "ê",
        "e\u0302\u0301": "ế",
        "\u0435\u0308": "ё",
        "か\u3099": "が",
        "\u1112\u1161": "하",
        "²": "2",
        "ſ": "s",
        "ſ\u0307": "ṡ",
        "ﬁ": "fi",
        "\u200d": " ",
        "\u0344": "\u0308\u0301",
        "A": "a",
    }.items()
}


@pytest.fixture(scope="module")
def split():
    made = Clusters(clusters.rules(RULES))

    def call(text):
        (found,) = made.split(tf.constant([text])).numpy()
        return found.replace(SEPARATOR, b"|").decode()

    return call


def test_keys_that_tokenizers_cannot_use_are_taken_out():
    gone = set(RULES) - set(clusters.rules(RULES))
    assert {key.decode() for key in gone} == {
        "e\u0302\u0301", "か\u3099", "\u1112\u1161", "ſ\u0307",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "the cat", "e\u0301", "e\u0301e\u0302!", "\u0435\u0308", "²ﬁA", "가", "か\u3099",
     "中\u0301", "x\u0301\u0302", "ﬁ\u3099"],
)  # fmt: skip
def test_what_needs_nothing_is_left_alone(split, text):
    assert split(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0302\u0301", "e\u0302"),
        ("ae\u0302\u0301e", "ae\u0302e"),
        ("²\u0301", "²"),
        ("²\ufe0f!", "²!"),
        ("ſ\u0307", "ſ"),
        ("ﬁ\u0301", "ﬁ"),
        ("A\u0301", "A"),
        ("A\u0301\u0302", "A"),
        ("A\u20d0", "A"),
        ("\u200d\u0301", "\u200d"),
        ("a\n\u0344\u0301", "a\n\u0344"),
    ],
)
def test_the_rest_of_a_short_cluster_is_dropped(split, text, expected):
    assert split(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301\u0302\u0303", "e|\u0301\u0302\u0303"),
        ("e\u0301\u20d0", "e|\u0301\u20d0"),
        ("e\u0301\U0001d165", "e|\u0301\U0001d165"),
        ("e\u20d0\u0301", "e|\u20d0\u0301"),
        ("\u0435\u0308\u0301", "\u0435|\u0308\u0301"),
        ("²\u0301\u0301", "²|\u0301\u0301"),
        ("ﬁ\u0301\u0301", "ﬁ|\u0301\u0301"),
        ("\u0600e\u0301", "\u0600e|\u0301"),
    ],
)
def test_a_long_cluster_is_taken_apart(split, text, expected):
    assert split(text) == expected


def test_a_mark_after_a_base_does_not_begin_a_cluster(split):
    assert split("x\u0344\u0301") == "x\u0344\u0301"
    assert split("x\u200d\u0301") == "x|\u200d\u0301"


@pytest.mark.parity
@pytest.mark.data
def test_fuzzed_clusters_are_normalized_as_tokenizers_does_it(shared_data):
    normalizers = pytest.importorskip("tokenizers").normalizers
    from tfzoo.text.sentencepiece_model import read_unigram

    whole = read_unigram(shared_data("tok-t5") / "spiece.model").charsmap
    rules = clusters.rules(charsmap.unpack(whole, clusters.LONGEST_KEY))
    chance = random.Random(7)
    marks = [chr(c) for c in range(0x300, 0x370)]
    marks += "\u0591 \u064b \u0670 \u1dc4 \u20d0 \u3099 \u200d \u200c \ufe0f \U0001d165".split(" ")
    bases = [*"aeiouzAEIcn <>=0²½ﬁ①éöёиकनかｶſßÅ™가", "\u0600", "\u1112", "\u1161", "\n"]
    texts = [
        "".join(chance.choice(bases if chance.random() < 0.5 else marks) for _ in range(n % 9))
        for n in range(20_000)
    ]
    theirs = normalizers.Precompiled(whole)
    ours = Clusters(rules).split(tf.constant(texts)).numpy()
    rules[SEPARATOR] = b""
    longest = max(map(len, rules))
    for text, found in zip(texts, ours, strict=True):
        assert _apply(rules, longest, found) == theirs.normalize_str(text), ascii(text)


def _apply(rules, longest, text):
    """What sentencepiece's normalizer does: the longest key at each place."""
    out, place = b"", 0
    while place < len(text):
        sizes = range(longest, 0, -1)
        size = next((n for n in sizes if text[place : place + n] in rules), 0)
        out += rules[text[place : place + size]] if size else text[place : place + 1]
        place += size or 1
    return out.decode()
