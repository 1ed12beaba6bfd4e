"""A double-array trie in the layout of darts-clone, the one tensorflow-text's C++ ops read.

Source: https://github.com/s-yata/darts-clone (include/darts.h, class DoubleArrayUnit); the idea is
Aoe 1989, "An efficient digital search algorithm by using a double-array structure". Each node is
one uint32:

    bit 31 | 30 ............ 10 | 9            | 8        | 7 ... 0
    0      | offset to children | offset * 256 | has leaf | label from the parent
    1      | the value, 31 bits                              (a leaf, label 0)

A child with label l of the node at p is at `p ^ offset ^ l`, and a key's value is at the child
with label 0.

Easy to get wrong: two nodes whose children sit on the same base would answer for each other, so a
base is given out once; identical subtries share one base, as in darts-clone's own DAWG, without
which the buffer would be ten times larger.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError

LEAF = -1  # The pseudo label under which a node of the plain trie keeps its value.
Trie = dict[int, Any]  # Label -> Trie, and LEAF -> value.
_Node = tuple[tuple[int, int], ...]  # (label or LEAF, number of the child node, or the value).


def build(items: Iterable[tuple[bytes, int]]) -> np.ndarray:
    """Builds the trie of `items`: distinct, non-empty keys without NUL bytes, values below 2**31.

    Returns:
        The units, uint32, equal for equal items whatever their order.

    Raises:
        UserError: for a key that is empty or holds a NUL byte, or a value out of range.
    """
    return pack(plain_trie(items))


def pack(root: Trie) -> np.ndarray:
    """Builds the trie that nested mappings describe; they may share subtries.

    Returns:
        The units, uint32.
    """
    nodes = _minimal_nodes(root)
    bases, size = _place(nodes)
    units = np.zeros(size, np.uint32)
    root = len(nodes) - 1
    units[0] = bases[root] << 10
    for number, node in enumerate(nodes):
        base = bases[number]
        for label, target in node:
            if label == LEAF:
                units[base] = 0x80000000 | target
            else:
                position = base ^ label
                has_leaf = 0x100 if nodes[target][0][0] == LEAF else 0
                units[position] = label | has_leaf | ((position ^ bases[target]) << 10)
    return units


def find(units: np.ndarray, key: bytes) -> int | None:
    """Position in `units` of the leaf that holds the value of `key`, or None."""
    position = 0
    for label in key:
        position ^= int(units[position] >> 10) ^ label
        if int(units[position]) & 0x800000FF != label:
            return None
    if not int(units[position]) & 0x100:
        return None
    return position ^ int(units[position] >> 10)


def plain_trie(items: Iterable[tuple[bytes, int]]) -> Trie:
    """Nested mappings of `items`; see `build`."""
    root: Trie = {}
    for key, value in sorted(items):
        if not key or 0 in key or not 0 <= value < 1 << 31:
            raise UserError(
                "Keys of a double array need at least one byte and no NUL, and values 31 bits. "
                f"Received: key={key!r}, value={value}."
            )
        node = root
        for label in key:
            node = node.setdefault(label, {})
        node[LEAF] = value
    return root


def _minimal_nodes(root: Trie) -> list[_Node]:
    """Numbers the distinct subtries, children before parents; the last one is the root."""
    numbers: dict[_Node, int] = {}
    seen: dict[int, int] = {}

    def number(trie: Trie) -> int:
        if id(trie) not in seen:
            edges = [(label, c if label == LEAF else number(c)) for label, c in trie.items()]
            seen[id(trie)] = numbers.setdefault(tuple(sorted(edges)), len(numbers))
        return seen[id(trie)]

    number(root)
    return list(numbers)


def _place(nodes: list[_Node]) -> tuple[list[int], int]:
    """Finds each node a base where its children collide with nobody's. Widest nodes go first."""
    used = np.zeros(1 << 16, bool)  # Positions that hold a unit.
    taken = np.zeros(1 << 16, bool)  # Bases that belong to a node.
    used[0] = taken[0] = True
    bases = [0] * len(nodes)
    start: dict[int, int] = {}  # Nodes of equal width never need to look further back.
    for number in sorted(range(len(nodes)), key=lambda n: -len(nodes[n])):
        labels = np.array([max(label, 0) for label, _ in nodes[number]])
        base = start.get(len(labels), 1)
        while True:
            if base + 1024 > len(used):
                used, taken = (np.concatenate([a, np.zeros_like(a)]) for a in (used, taken))
            window = np.arange(base, base + 256)
            free = ~taken[window] & ~used[window[:, None] ^ labels].any(1)
            if free.any():
                base = int(window[free.argmax()])
                break
            base += 256
        start[len(labels)] = max(1, base - 256)
        bases[number] = base
        taken[base] = True
        used[base ^ labels] = True
    last = int(max(np.flatnonzero(used)[-1], max(bases)))
    return bases, (last | 0xFF) + 1  # A lookup may touch any label of the last block.
