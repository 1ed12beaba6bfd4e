"""Texts at which a text ends, found in the bytes of its tokens without any string operation."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfzoo.core.errors import UserError

_FOUND = 1


def table(stop_strings: Sequence[str], pieces: Sequence[bytes]) -> np.ndarray:
    """The automaton of Aho and Corasick 1975 (https://doi.org/10.1145/360825.360855), by tokens.

    State 0 is the beginning, and state 1 is never left: one of the strings has come. Only what is
    written counts, not the prompt.

    Args:
        stop_strings: The texts, none of them empty.
        pieces: What each token adds to a text, in UTF-8; not necessarily whole characters.

    Returns:
        `(s, v)` int32: the state after a token, by the state before it.

    Raises:
        UserError: when there is no string, or one is empty.
    """
    words = [string.encode() for string in stop_strings]
    if not words or not all(words):
        raise UserError(
            f"Give at least one stop string, and none that is empty. Received: "
            f"stop_strings={tuple(stop_strings)!r}."
        )
    moves_sn = _automaton(words)
    longest = max(map(len, pieces), default=0)
    bytes_vn = np.full((len(pieces), longest), 256, np.int32)  # 256: no more bytes
    for row, piece in zip(bytes_vn, pieces, strict=True):
        row[: len(piece)] = np.frombuffer(piece, np.uint8)
    states_sv = np.repeat(np.arange(len(moves_sn), dtype=np.int32)[:, None], len(pieces), 1)
    for column_v in bytes_vn.T:
        states_sv = moves_sn[states_sv, column_v]
    return states_sv


def after(table_sv: tf.Tensor, state_b: tf.Tensor, token_b: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The states after a token of each row, `(b,)`, and where one of the strings has come."""
    places_b2 = tf.stack([state_b, token_b], -1)
    state_b = tf.gather_nd(table_sv, places_b2)
    return state_b, state_b == _FOUND


def _automaton(words: Sequence[bytes]) -> np.ndarray:
    """The state after a byte, `(s, 257)` int32; byte 256 changes none."""
    children: list[dict[int, int]] = [{}, {}]
    ends = {_FOUND}
    for word in words:
        state = 0
        for byte in word:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
            state = children[state][byte]
        ends.add(state)
    moves = np.zeros((len(children), 257), np.int32)
    moves[:, 256] = range(len(children))
    queue, fallback = [0], {0: 0}
    for state in queue:  # shorter beginnings first: what they fall back on is there
        if state:
            moves[state, :256] = moves[fallback[state], :256]
        if fallback[state] in ends:
            ends.add(state)
        for byte, child in children[state].items():
            fallback[child] = moves[state, byte] if state else 0
            moves[state, byte] = child
            queue.append(child)
    moves[_FOUND] = _FOUND
    moves[np.isin(moves, [*ends])] = _FOUND
    return moves
