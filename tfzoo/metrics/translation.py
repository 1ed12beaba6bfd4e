"""BLEU, as sacrebleu counts it, so that a figure means the same everywhere."""

import dataclasses
from collections.abc import Sequence

import sacrebleu


@dataclasses.dataclass(frozen=True)
class Bleu:
    """A score and how it was counted.

    Attributes:
        score: From 0 to 100.
        signature: What sacrebleu says about its settings; to be given beside the score.
    """

    score: float
    signature: str


def bleu(translations: Sequence[str], references: Sequence[str]) -> Bleu:
    """Corpus BLEU with one reference each: cased, sacrebleu's own tokenization "13a".

    Source: Papineni et al. 2002; Post 2018, https://aclanthology.org/W18-6319.
    """
    metric = sacrebleu.BLEU()
    score = metric.corpus_score(list(translations), [list(references)])
    return Bleu(float(score.score), str(metric.get_signature()))
