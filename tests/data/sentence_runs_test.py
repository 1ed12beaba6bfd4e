"""Runs of whole sentences hold all tokens once, and as many as fit."""

import numpy as np
import pytest

from tests.data import corpora
from tfzoo.data import sentence_runs


def test_runs_fill_up_and_stop_at_documents():
    documents = corpora.numbered([[3, 4, 2, 5], [1], [6, 6]])
    firsts, ends = sentence_runs.within_documents(documents, 9)
    assert list(zip(firsts, ends, strict=True)) == [(0, 9), (9, 14), (14, 15), (15, 21), (21, 27)]


def test_a_sentence_that_does_not_fit_is_cut():
    firsts, ends = sentence_runs.within_documents(corpora.numbered([[2, 23, 2]]), 10)
    assert list(zip(firsts, ends, strict=True)) == [(0, 2), (2, 12), (12, 22), (22, 27)]


def test_runs_across_documents_have_a_separator_between_them():
    documents = corpora.numbered([[2, 2], [1], [3, 3]])
    token_ids, firsts, ends = sentence_runs.across_documents(documents, 6, 7)
    rows = [token_ids[i:j].tolist() for i, j in zip(firsts, ends, strict=True)]
    assert rows == [[100, 101, 102, 103], [104, 7, 105, 106, 107], [108, 109, 110]]


@pytest.mark.parametrize("most", [1, 2, 5, 16, 64, 1000])
def test_all_tokens_occur_once_and_no_run_could_be_longer(most):
    documents = corpora.drawn(60, 6, 20)
    bounds = set(documents.token_starts.tolist())
    firsts, ends = sentence_runs.within_documents(documents, most)
    assert firsts[0] == 0 and (firsts[1:] == ends[:-1]).all()
    assert ends[-1] == len(documents.token_ids)
    assert 0 < (ends - firsts).min() and (ends - firsts).max() <= most
    for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
        assert not bounds & set(range(first + 1, end))
        following = documents.sentence_starts[documents.sentence_starts > end][:1]
        assert end in bounds or following[0] - first > most
    token_ids, firsts, ends = sentence_runs.across_documents(documents, most, 7)
    rows = [token_ids[i:j] for i, j in zip(firsts, ends, strict=True)]
    assert all(0 < len(row) <= most and row[0] != 7 and row[-1] != 7 for row in rows)
    found = np.concatenate(rows)
    np.testing.assert_array_equal(found[found != 7], documents.token_ids)
