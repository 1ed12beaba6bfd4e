"""What BERT's normalizer and pre-tokenizer do to one code point, stated as Unicode rules.

Source: Hugging Face tokenizers 0.23, normalizers/bert.rs and pre_tokenizers/bert.rs, which follow
google-research/bert tokenization.py. In this order:

1. clean text: controls (Cc, Cf, Co), NUL and U+FFFD vanish, white space becomes a space;
2. split Chinese: spaces around every ideograph;
3. strip accents: canonical decomposition (NFD), less the nonspacing marks (Mn);
4. lowercase, code point by code point (so no final sigma);
5. split on spaces and around every punctuation mark (P*, and the ASCII symbols).

The outcome is written for the C++ tokenizer that reads it: tensorflow-text's FastWordpiece splits
on spaces, ASCII symbols, ideographs and on whatever its own ICU calls punctuation. So the first
three are left as they are, other punctuation gets spaces, and a code point where tensorflow-text
would split and BERT does not is moved to the private use area (`tfzoo.text.private_alphabet`),
which is free because step 1 removes every private code point of the user's.

Easy to get wrong: one rule for one code point cannot put combining marks in canonical order. All
marks that the order is about are of category Mn and stripped, save a dozen of Mc (U+302E, U+302F,
U+16FF0, U+16FF1, U+1D165 and its kin); two of those in a row keep the order they were typed in.
"""

import unicodedata

from tfzoo.text import unicode_tables as tables
from tfzoo.text.private_alphabet import private_alphabet

_CONTROLS = "0-1F 7F-9F E000-F8FF F0000-FFFFD 100000-10FFFD FFFD"  # Cc, Co, and U+FFFD


def rewrites(lowercase: bool, strip_accents: bool, split_chinese: bool) -> dict[int, str]:
    """Every code point that does not stay as it is, with what it becomes.

    Args:
        lowercase: Whether letters are lowered.
        strip_accents: Whether text is decomposed and nonspacing marks dropped.
        split_chinese: Whether every ideograph is a word of its own.
    """
    lower = tables.lowercase() if lowercase else {}
    marks = frozenset(tables.code_points(tables.NONSPACING_MARKS))
    decomposable = frozenset(tables.code_points(tables.DECOMPOSABLE))
    punctuation = frozenset(tables.code_points(tables.PUNCTUATION))
    private = private_alphabet(split_chinese)

    def change(point: int) -> str:
        points = [point]
        if strip_accents:
            if point in decomposable:
                points = [ord(c) for c in unicodedata.normalize("NFD", chr(point))]
            points = [p for p in points if p not in marks]
        if lowercase:
            # U+0130 is the one letter whose lowercase is two code points: i and a dot above.
            points = [q for p in points for q in ((0x69, 0x307) if p == 0x130 else (p,))]
            points = [lower.get(p, p) for p in points]
        return "".join(
            f" {chr(p)} " if p in punctuation else chr(private.get(p, p)) for p in points
        )

    touched = punctuation | marks | decomposable | lower.keys() | private.keys() | {0x130}
    changes = {point: change(point) for point in touched}
    controls = tables.code_points(_CONTROLS) + tables.code_points(tables.FORMAT)
    changes |= dict.fromkeys(controls, "")
    changes |= dict.fromkeys(tables.code_points(tables.WHITESPACE), " ")
    return {point: text for point, text in changes.items() if text != chr(point)}


def ill_formed() -> list[bytes]:
    """Every ill-formed byte sequence that decoders replace as a whole by one U+FFFD.

    These are the maximal subparts of the Unicode Standard, section 3.9, table 3-7, which Python's
    `errors="replace"` and ICU's `U8_FWD_1` both step over.
    """
    sequences = [bytes([b]) for b in range(0x80, 0x100)]
    for lead in range(0xE0, 0xF5):
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(lead, 0x80)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(lead, 0xBF)
        for second in range(low, high + 1):
            sequences.append(bytes([lead, second]))
            if lead >= 0xF0:
                sequences += [bytes([lead, second, third]) for third in range(0x80, 0xC0)]
    return sequences
