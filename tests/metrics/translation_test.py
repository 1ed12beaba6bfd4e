"""BLEU is sacrebleu's."""

import pytest
import sacrebleu

from tfzoo.metrics import translation

REFERENCES = ["The cat sat on the mat.", "A dog is barking loudly.", "It's raining, isn't it?"]
TRANSLATIONS = ["The cat sat on a mat.", "A dog barks loudly.", "It's raining, isn't it?"]


def test_known_strings_score_as_sacrebleu_scores_them():
    found = translation.bleu(TRANSLATIONS, REFERENCES)
    assert found.score == sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score
    assert 20 < found.score < 90
    assert found.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_the_bounds_and_what_matters():
    assert translation.bleu(REFERENCES, REFERENCES).score == pytest.approx(100)
    assert translation.bleu(["x"] * 3, REFERENCES).score < 5
    assert translation.bleu([t.lower() for t in REFERENCES], REFERENCES).score < 100
    # A corpus is scored as a whole: one translation may make up for the brevity of another.
    shuffled = translation.bleu(REFERENCES[::-1], REFERENCES).score
    assert shuffled < translation.bleu(TRANSLATIONS, REFERENCES).score
