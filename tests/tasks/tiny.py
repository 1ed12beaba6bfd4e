"""A tiny model and tokenizer for the tests of tasks."""

import tfzoo
from tfzoo.testing.conformance import fill
from tfzoo.text.wordpiece import WordPiece

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d", "é", "日")


def tokenizer():
    return WordPiece(VOCABULARY)


def model(**fields):
    sizes = {"num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16, "max_length": 12}
    built = tfzoo.build("bert", vocab_size=len(VOCABULARY), **sizes, **fields)
    fill(built)
    return built
