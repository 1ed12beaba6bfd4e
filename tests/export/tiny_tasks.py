"""Tiny tasks to export: every layer of a real one, weights by formula, a few kilobytes."""

import string

import tfzoo
from tfzoo.tasks.classification import Classification
from tfzoo.tasks.embedding import Embedding
from tfzoo.tasks.head import HeadOutputs
from tfzoo.testing.conformance import fill
from tfzoo.text.wordpiece import WordPiece

LETTERS = string.ascii_lowercase + string.digits
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *string.punctuation,
    *("film", "good", "long", "text", "##ing", "é", "中"),
)
LABELS = ("bad", "good", "odd")


def model(**fields):
    sizes = {"num_layers": 1, "num_heads": 2, "width": 16, "feed_forward_dim": 32, "max_length": 24}
    built = tfzoo.build("bert", **{"vocab_size": len(VOCABULARY), **sizes, **fields})
    fill(built)
    for weight in built.weights:
        if not weight.path.endswith("gamma"):
            weight.assign(
                weight * 0.4
            )  # as they are, a rounding grows to a difference that is seen
    return built


def classification(kind=Classification, labels=LABELS, **options):
    built = model(head="classification", num_labels=len(labels))
    return kind(built, WordPiece(VOCABULARY, max_length=24), labels, **options)


def embedding(**options):
    return Embedding(model(), WordPiece(VOCABULARY, max_length=24), **options)


def token_classification(tokenizer=True):
    built = model(head="token_classification", num_labels=len(LABELS))
    return HeadOutputs(built, WordPiece(VOCABULARY, max_length=24) if tokenizer else None, LABELS)
