"""Tokens that are looked for in a text as they stand, before anything else is done to it.

Source: tokenizers 0.23, tokenizer/added_vocabulary.rs: leftmost first, of several at one place the
longest. Easy to get wrong: what stands between two of them is a text of its own for everything
that follows, and white space that a token takes with it (`lstrip`, `rstrip`) is gone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text import unicode_tables
from tfzoo.text.private_alphabet import CLOSE, OPEN

# Unicode's White_Space, as the inside of a character class of RE2, whose own \\s is ASCII.
WHITESPACE = unicode_tables.regex_class(unicode_tables.WHITESPACE + " B C 85")

# Bytes that no UTF-8 has and that no character class of RE2 matches: they end words, and mark.
EDGE, MARK = b"\xff", b"\xfe"


class AddedToken(NamedTuple):
    """One added token.

    Attributes:
        content: The token.
        special: Whether `decode` can skip it; only these are not looked for without literals.
        lstrip: Whether white space on its left belongs to it.
        rstrip: Whether white space on its right belongs to it.
        normalized: Whether tokenizers looks for it after those that are not, in normalized text.
    """

    content: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class Segments(NamedTuple):
    """Texts, cut where added tokens are.

    Attributes:
        texts: `(s,)` strings; anything where the segment is an added token.
        rows: `(s,)` int64, ascending, which text each is of.
        tokens: `(s,)` int32, which added token the segment is, or -1.
    """

    texts: tf.Tensor
    rows: tf.Tensor
    tokens: tf.Tensor


class AddedTokens(tf.Module):
    """Finds added tokens in texts.

    Args:
        tokens: The tokens to look for.

    Raises:
        UserError: for tokens that cannot be told apart in a text.
    """

    def __init__(self, tokens: Sequence[AddedToken]):
        super().__init__()
        _check(tokens)
        # RE2 takes the first alternative that matches, so the longest of them comes first.
        longest = sorted(tokens, key=lambda token: len(token.content), reverse=True)
        self._pattern = "|".join(map(_pattern, longest))
        if tokens:
            self._places = make_table([token.content for token in tokens], range(len(tokens)))

    def split(self, texts: tf.Tensor) -> Segments:
        """`(n,)` texts, certain to be UTF-8, to their segments. Empty texts stay, as one."""
        count = tf.size(texts, tf.int64)
        whole = Segments(texts, tf.range(count), tf.fill([count], -1))
        if not self._pattern:
            return whole
        marked = tf.strings.regex_replace(texts, self._pattern, EDGE + MARK + rb"\0" + EDGE)
        has_tokens = tf.reduce_any(tf.strings.length(marked) != tf.strings.length(texts))
        return Segments(*tf.cond(has_tokens, lambda: self._cut(marked), lambda: whole))

    def _cut(self, marked: tf.Tensor) -> Segments:
        # Texts that are empty have no segment here, which makes no difference to what follows.
        rows, segments = split_words(marked, EDGE)
        is_token = tf.strings.substr(segments, 0, 1) == MARK
        names = tf.where(is_token, tf.strings.substr(segments, 1, tf.int32.max), "")
        tokens = self._places.lookup(names)
        # What is not in the table took white space along.
        bare = tf.strings.regex_replace(names, f"^[{WHITESPACE}]+|[{WHITESPACE}]+$", "")
        tokens = tf.where(is_token & (tokens < 0), self._places.lookup(bare), tokens)
        return Segments(segments, rows, tf.where(is_token, tokens, -1))


def _pattern(token: AddedToken) -> str:
    space = f"[{WHITESPACE}]*"
    left, right = space * token.lstrip, space * token.rstrip
    return f"{left}{re.escape(token.content)}{right}"


def _check(tokens: Sequence[AddedToken]) -> None:
    strips = [token.content for token in tokens if token.lstrip or token.rstrip]
    spaced = [token.content for token in tokens if re.search(r"\s", token.content)]
    if strips and spaced:
        raise UserError(
            "An added token that takes white space along (lstrip, rstrip) and one that holds white "
            f"space cannot both be looked for. Received: {strips[0]!r} and {spaced[0]!r}."
        )
    for token in tokens:
        for other in tokens:
            if token.normalized != other.normalized and _overlap(token.content, other.content):
                raise UserError(
                    "Added tokens that overlap must agree about normalized. "
                    f"Received: {token.content!r} and {other.content!r}."
                )


def _overlap(one: str, other: str) -> bool:
    sizes = range(1, min(len(one), len(other)))
    return one in other or any(one[-n:] == other[:n] for n in sizes)


def make_table(keys: Sequence[str | bytes], values: Sequence[int]) -> tf.lookup.StaticHashTable:
    """A table from strings to int32, -1 for what it does not hold, made outside of any graph."""
    if not keys:  # No table may be empty.
        keys, values = [b""], [-1]
    with tf.init_scope(), tf.device("CPU"):
        entries = tf.lookup.KeyValueTensorInitializer(
            tf.constant(keys, tf.string), tf.constant(values, tf.int32)
        )
        return tf.lookup.StaticHashTable(entries, -1)


def mark(texts: tf.Tensor, tokens: Mapping[str, int]) -> tf.Tensor:
    """Writes `OPEN id CLOSE` for tokens, in texts that go through BERT's normalizer afterwards."""
    # Whoever types the marks themselves gets them removed, not understood. They must not vanish
    # yet: that could put together a special token which nobody wrote.
    texts = tf.strings.regex_replace(texts, f"[{OPEN}{CLOSE}]", "\ufffd")
    for token in sorted(tokens, key=len, reverse=True):
        texts = tf.strings.regex_replace(texts, re.escape(token), f"{OPEN}{tokens[token]}{CLOSE}")
    return texts


def split_words(texts: tf.Tensor, ends: bytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts texts at each of the bytes `ends`, and leaves them and empty pieces out.

    Returns:
        The row of each piece, `(w,)` int64, ascending, and the pieces, `(w,)` strings.
    """
    parts = tf.raw_ops.StringSplit(input=texts, delimiter=ends, skip_empty=True)
    return parts.indices[:, 0], parts.values
