"""SentencePiece's precompiled character maps: which characters a text's are replaced by.

    4 bytes size │ double array of the keys │ replacements, each with a NUL after it

A key's value is where its replacement begins. Source: sentencepiece, normalizer.cc
(DecodePrecompiledCharsMap); its trie is the one of `tfzoo.text.double_array`.

Easy to get wrong: sentencepiece takes the longest key at each place of a text, Hugging Face's
tokenizers do not (`tfzoo.text.clusters`).
"""

from collections.abc import Mapping

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.text import double_array

_LABELS = np.arange(256, dtype=np.uint32)


def unpack(charsmap: bytes, longest: int) -> dict[bytes, bytes]:
    """The replacements of a character map, by key.

    Args:
        charsmap: The map; empty for none.
        longest: Keys with more bytes are left out.

    Raises:
        UserError: for bytes that are no such map.
    """
    if not charsmap:
        return {}
    size = int.from_bytes(charsmap[:4], "little")
    if size % 4 or not 1024 <= size < len(charsmap) or charsmap[-1]:
        raise UserError(
            "Expected a precompiled character map: a size, a trie of so many bytes, replacements. "
            f"Received: {len(charsmap)} bytes that begin with {charsmap[:8]!r}."
        )
    units = np.frombuffer(charsmap, np.uint32, size // 4, 4)
    texts = charsmap[4 + size :]
    rules = {}
    places, keys = np.zeros(1, np.uint32), [b""]
    for _ in range(longest + 1):
        bases = _children(units, places)
        has_leaf = (units[places] & 0x100) != 0
        values = units[np.where(has_leaf, bases, 0)] & 0x7FFFFFFF
        for number in np.flatnonzero(has_leaf):
            value = int(values[number])
            rules[keys[number]] = texts[value : texts.index(b"\0", value)]
        spots = bases[:, None] ^ _LABELS[None, 1:]
        spots = np.where(spots < len(units), spots, 0)
        parents, labels = np.nonzero((units[spots] & 0x800000FF) == _LABELS[1:])
        keys = [keys[p] + bytes([n + 1]) for p, n in zip(parents, labels, strict=True)]
        places = spots[parents, labels]
    return rules


def pack(rules: Mapping[bytes, bytes]) -> bytes:
    """The character map of these replacements; keys may be any bytes without NUL."""
    places: dict[bytes, int] = {}
    texts = bytearray()
    for text in sorted(set(rules.values())):
        places[text] = len(texts)
        texts += text + b"\0"
    units = double_array.build((key, places[text]) for key, text in rules.items())
    # A free unit must not look like the child with label 0, which a NUL in a text would follow.
    units = np.where(units == 0, 1 << 31, units)
    trie = units.astype("<u4").tobytes()
    return len(trie).to_bytes(4, "little") + trie + bytes(texts)


def _children(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    found = units[places]
    return places ^ ((found >> 10) << ((found & 0x200) >> 6))
