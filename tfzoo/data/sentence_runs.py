"""Rows of whole sentences: as many of them, one after the other, as fit."""

import numpy as np

from tfzoo.data.documents import Documents


def within_documents(documents: Documents, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts each document into runs of whole sentences with at most `most` tokens.

    A sentence longer than that is cut.

    Returns:
        The first token of each run and the one after its last, `(r,)` int64 each.
    """
    return _runs(documents.sentence_starts, documents.token_starts, most)


def across_documents(
    documents: Documents, most: int, separator_id: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `within_documents`, but a run goes on with the next document, after a separator.

    No run begins or ends with the separator.

    Returns:
        All tokens with a separator after each document, `(n + d,)` int32, and the runs' first
        tokens and the ones after their last, `(r,)` int64 each, in these.
    """
    starts = documents.token_starts
    token_ids = np.insert(documents.token_ids, starts[1:], separator_id)
    separators = starts[1:] + np.arange(len(documents))
    # Before a sentence stand the separators of all documents before its own; a separator belongs
    # to the sentence before it.
    sentences = np.arange(len(documents.sentence_starts))
    before = np.searchsorted(documents.document_starts, sentences, side="right") - 1
    firsts, ends = _runs(documents.sentence_starts + before, np.array([0, len(token_ids)]), most)
    firsts = firsts + np.isin(firsts, separators)
    ends = ends - np.isin(ends - 1, separators)
    filled = firsts < ends
    return token_ids, firsts[filled], ends[filled]


def _runs(sentences: np.ndarray, barriers: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of whole sentences that cross no barrier; both are first tokens, and the end of all."""
    sizes = np.diff(sentences)
    parts = -(-sizes // most)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    edges = np.append(np.repeat(sentences[:-1], parts) + within * most, sentences[-1])
    barrier = barriers[np.searchsorted(barriers, edges[:-1], side="right")]
    limits = np.minimum(edges[:-1] + most, barrier)
    following = (np.searchsorted(edges, limits, side="right") - 1).tolist()
    chain = [0]
    while chain[-1] < len(following):
        chain.append(following[chain[-1]])
    stops = edges[chain]
    return stops[:-1], stops[1:]
