"""Grapheme clusters, as Hugging Face's normalizer for SentencePiece models sees them.

Source: tokenizers 0.23, normalizers/precompiled.rs. Where sentencepiece replaces the longest key of
its character map at each place of a text, tokenizers goes through the grapheme clusters:

- of a cluster with fewer than 6 bytes the shortest key that it begins with is replaced, and the
  rest of the cluster dropped: "e" + two marks loses the second, "²" + a mark loses the mark;
- in any other cluster every character is looked up by itself, so nothing is composed: Hangul
  syllables and Japanese voiced letters in decomposed form stay as they are.

`rules` takes out of a character map what then can never apply. `split` marks the places in a text
where sentencepiece would still compose, and drops what tokenizers drops.

Easy to get wrong: RE2 cannot look ahead, so the longer clusters are broken up first, and the
separator keeps the later patterns from seeing them.
"""

import unicodedata
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tfzoo.text import unicode_tables

SEPARATOR = b"\xff"  # No UTF-8 has it. The character map must replace it by nothing.
LONGEST_KEY = 5  # In bytes, of several characters: a longer cluster is not looked up.

# What continues a cluster, by its bytes in UTF-8: combining marks, joiners, and a few letters.
_MARKS_2 = unicode_tables.regex_class(
    "300-36F 483-489 591-5BD 5BF 5C1-5C2 5C4-5C5 5C7 610-61A 64B-65F 670 6D6-6DC 6DF-6E4 6E7-6E8 "
    "6EA-6ED 711 730-74A 7A6-7B0 7EB-7F3 7FD"
)
_LETTERS_3 = unicode_tables.regex_class("E33 EB3 200C-200D FF9E-FF9F")
_LETTERS_4 = unicode_tables.regex_class("1F3FB-1F3FF E0020-E007F")
_TWO = f"[{_MARKS_2}]"
_THREE = rf"(?:[^\P{{M}}{_MARKS_2}\x{{10000}}-\x{{10ffff}}]|[{_LETTERS_3}])"
_FOUR = rf"(?:[^\P{{M}}\x{{0}}-\x{{ffff}}]|[{_LETTERS_4}])"
_ANY = rf"[\p{{M}}{_LETTERS_3}{_LETTERS_4}]"
# What stands before its cluster.
_PREPENDED = unicode_tables.regex_class(
    "600-605 6DD 70F 890-891 8E2 D4E 110BD 110CD 111C2-111C3 113D1 1193F 11941 11A3A 11A84-11A89 "
    "11D46 11F02"
)
_CONTROLS = unicode_tables.regex_class(
    "0-1F 7F-9F AD 61C 180E 200B 200E-200F 2028-202E 2060-206F FEFF FFF0-FFFB 13430-1343F "
    "1BCA0-1BCA3 1D173-1D17A E0000-E001F E0080-E00FF E01F0-E0FFF"
)
_MARKS = ("Mn", "Mc", "Me")
_JOINERS = "\u200c\u200d"
_NO_BASE = ("Cc", "Cf", "Zl", "Zp", *_MARKS)  # Controls and marks do not begin one.
_BASE_1 = f"[^{_CONTROLS}\\x{{80}}-\\x{{10ffff}}]"
_BASE_2 = f"[^{_CONTROLS}\\x{{0}}-\\x{{7f}}{_MARKS_2}{_PREPENDED}\\x{{800}}-\\x{{10ffff}}]"


def rules(rules: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Those replacements of a character map that tokenizers can come to use."""

    def is_used(key: bytes) -> bool:
        if len(key.decode()) == 1:
            return True
        return len(key) <= LONGEST_KEY and not any(key[:n] in rules for n in range(1, len(key)))

    return {key: text for key, text in rules.items() if is_used(key)}


class Clusters:
    """Makes sentencepiece's normalizer do to texts what tokenizers' does.

    Args:
        rules: The replacements of the character map, after `rules`.
    """

    def __init__(self, rules: Mapping[bytes, bytes]):
        keys = [key.decode() for key in rules]
        apart = rb"\1" + SEPARATOR + rb"\2"
        self._changes = [
            (f"([{_PREPENDED}][^{_CONTROLS}])({_ANY})", apart),
            (f"({_BASE_1})({_TWO}{_TWO}{_ANY}|{_TWO}(?:{_THREE}|{_FOUR})|{_THREE}{_ANY})", apart),
            (f"({_BASE_2})((?:{_TWO}|{_THREE}){_ANY})", apart),
        ]
        singles = [key for key in keys if len(key) == 1]
        bases = [key for key in singles if unicodedata.category(key) not in _NO_BASE]
        # A mark is one only at the start of a text and after what nothing continues.
        marks = [key for key in singles if unicodedata.category(key) in _MARKS or key in _JOINERS]
        for before, begins in (("", bases), (f"(?:^|[{_CONTROLS}])", marks)):
            for size, shorter, longer in (
                (3, _TWO, f"{_TWO}{_ANY}"),
                (2, f"(?:{_TWO}|{_THREE})", f"(?:{_TWO}|{_THREE}){_ANY}"),
                (1, f"(?:{_TWO}{_TWO}?|{_THREE}|{_FOUR})", None),
            ):
                points = [f"{ord(key):X}" for key in begins if len(key.encode()) == size]
                begin = f"({before}[{unicode_tables.regex_class(' '.join(points))}])"
                if points and longer:
                    self._changes.append((f"{begin}({longer})", apart))
                if points:
                    self._changes.append((f"{begin}{shorter}", rb"\1"))
        pairs = [key for key in keys if len(key) == 2 and len(key.encode()) == 3]
        if pairs:
            self._changes.append((f"({_alternatives(pairs)}){_TWO}", rb"\1"))

    def split(self, texts: tf.Tensor) -> tf.Tensor:
        """`(n,)` texts, certain to be UTF-8, to texts for sentencepiece's normalizer."""
        has_marks = tf.reduce_any(tf.strings.regex_full_match(texts, f"(?s:.*{_ANY}.*)"))
        return tf.cond(has_marks, lambda: self._split(texts), lambda: texts)

    def _split(self, texts: tf.Tensor) -> tf.Tensor:
        for pattern, replacement in self._changes:
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        return texts


def _alternatives(pairs: Iterable[str]) -> str:
    marks: dict[str, list[str]] = {}
    for base, mark in pairs:
        marks.setdefault(base, []).append(f"{ord(mark):X}")
    found = (
        f"\\x{{{ord(base):x}}}[{unicode_tables.regex_class(' '.join(found))}]"
        for base, found in marks.items()
    )
    return "|".join(found)
