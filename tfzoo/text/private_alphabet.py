"""Letters in the private use area that stand for code points where tensorflow-text would split.

FastWordpiece splits around every ideograph and around what its ICU calls punctuation, always. Where
BERT does not, both the text (through the normalizer's buffer) and the vocabulary are rewritten into
this alphabet, one private letter for one code point, so that nothing is left to split on and words
keep their length in characters. Private letters of the user's own cannot collide with it: BERT
removes them.
"""

import functools

from tfzoo.text import unicode_tables as tables

OPEN = "\ue001"  # Written around the name of a special token that was found in the text, so
CLOSE = "\ue002"  # that "[SEP]" is looked up as one word. See tfzoo.text.wordpiece.
TOO_LONG = "\ue003"  # A word that is in no vocabulary.

# Where FastWordpiece ends a word, whatever its ICU: spaces, ASCII symbols, ideographs. The inside
# of a character class, in the syntax of both RE2 and `re`.
WORD_ENDS = (
    " !-/:-@\\[-`{-~\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ceaf"
    "\uf900-\ufaff\U0002f800-\U0002fa1f"
)

_FIRST = 0xF0000  # Supplementary private use areas A and B: 65,534 letters each.
_PLANE = 0xFFFE


@functools.cache
def private_alphabet(split_chinese: bool) -> dict[int, int]:
    """Code point -> private code point, also usable as the table of `str.translate`.

    Args:
        split_chinese: False makes letters of ideographs too.
    """
    # tensorflow-text splits CJK extension E from U+2B820, tokenizers from U+2B920.
    points = tables.code_points(tables.LATER_PUNCTUATION) + tables.code_points("2B820-2B91F")
    if not split_chinese:
        points += tables.code_points(tables.CHINESE)
    return {p: _FIRST + i // _PLANE * 0x10000 + i % _PLANE for i, p in enumerate(points)}
