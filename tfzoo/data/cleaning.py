r"""Raw documents to clean ones, and clean ones to sentences, by rules that hold in most languages.

    "Dr. No  came.\r\n He sat." ─ clean ─► "Dr. No came. He sat." ─► "Dr. No came.", " He sat."

The sentences of a document, one after the other, are its text: what stands between two of them
begins the second. So a byte-level tokenizer gives them the ids that it gives the whole text.

Easy to get wrong: a missed end of a sentence costs nothing, one too many cuts names and numbers in
two. The rules leave a text whole where they do not know.
"""

import re
import unicodedata
from typing import Any

from tfzoo.data.preparation import Preparation

# Control characters that are no white space, and the byte order mark.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
_SPACED = ".!?…‥؟۔।॥።"  # what ends a sentence when white space follows
_UNSPACED = "。！？｡．"  # what ends one whatever follows
# One class at the start, and no alternatives: so re looks for it as fast as for a letter.
_STOP = re.compile(rf"""[{_SPACED}{_UNSPACED}\n][{_SPACED}{_UNSPACED}"'”’»›)\]}}」』）】》〉]*""")
_GAP = re.compile(r"\n\s*\n")
_OPENING = re.compile(r"""[\s"'“‘„«‹¿¡(\[{]*""")
_INITIALS = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]")  # J, U.S, z.B, Ph.D
# Words before a full stop that ends no sentence, in the larger languages of Latin script.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof rev gen col capt lt sgt gov sen rep hon st mt jr sr inc ltd co corp vs etc "
    "fig no nos vol pp ed eds al cf approx dept est e.g i.e jan feb mar apr aug sept sep oct nov "
    "dec hr fr bzw ca usw nr bd abb str mme mlle sra srta sig".split()
)
_LONGEST = 10  # of an abbreviation, the full stops of its initials included


def clean(text: str, how: Preparation) -> str:
    """A document in the form that is hashed, kept and cut; empty when nothing is left.

    With collapsed white space a line break is left where a sentence ends for certain.
    """
    if how.normalization != "none" and not text.isascii():
        form: Any = how.normalization
        text = unicodedata.normalize(form, text)
    text = _CONTROL.sub("", text)
    if how.whitespace == "keep":
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        return text if text.strip() else ""
    if how.sentences == "none":
        return " ".join(text.split())
    runs = text.split("\n") if how.sentences == "lines" else _GAP.split(text)
    return "\n".join(filter(None, (" ".join(run.split()) for run in runs)))


def sentences(text: str, how: Preparation) -> list[str]:
    """The sentences of a clean document, none of them blank."""
    if how.sentences == "none":
        return [text]
    if how.whitespace == "keep":
        return _by_line(text) if how.sentences == "lines" else _by_rules(text)
    found = []
    for run in text.split("\n"):
        cut = [run] if how.sentences == "lines" else _by_rules(run)
        found += [f" {cut[0]}", *cut[1:]] if found else cut
    return found


def _by_line(text: str) -> list[str]:
    pieces = re.split(r"(?=\n)", text)
    found: list[str] = []
    for piece in pieces:
        if found and not (piece.strip() and found[-1].strip()):
            found[-1] += piece  # Blank lines belong to the line before.
        else:
            found.append(piece)
    return found


def _by_rules(text: str) -> list[str]:
    found, start = [], 0
    for match in _STOP.finditer(text):
        end = match.end()
        if match[0][0] == "\n":
            end = match.start()
            is_end = _GAP.match(text, end) is not None
        else:
            is_end = _is_end(text, match.start(), end, start)
        if is_end and text[start:end].strip():
            found.append(text[start:end])
            start = end
    if found and not text[start:].strip():
        return [*found[:-1], found[-1] + text[start:]]
    return [*found, text[start:]]


def _is_end(text: str, stop: int, end: int, start: int) -> bool:
    """Whether a sentence that begins at `start` ends with what stands from `stop` to `end`."""
    if text[stop] in _UNSPACED:
        return True
    if end == len(text) or not text[end].isspace():
        return False
    following = text[end + 1 : end + 2]
    if not following.isalnum():  # A second space, or what opens a quotation.
        place = _OPENING.match(text, end).end()  # type: ignore[union-attr]  # It matches "".
        following = text[place : place + 1]
    if following.islower():
        return False
    if text[stop] != "." or text[stop + 1] in _SPACED:
        return True
    word = text[max(start, stop - 24) : stop].rsplit(None, 1)[-1:]
    last = word[0].lstrip("\"'“‘„«([{") if word else ""
    if len(last) > _LONGEST:
        return True
    is_number = last.isdecimal() and len(last) < 3  # "3. Oktober", "1. First of all"
    return not (is_number or last.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(last))
