"""Tiny tasks that write texts, of every family, with weights that make them say something."""

import numpy as np

import tfzoo
from tests.export.tiny_tasks import VOCABULARY
from tfzoo.tasks.language_model import LanguageModel
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence
from tfzoo.text.wordpiece import WordPiece

LENGTH = 40
_DECODER = {"width": 16, "num_layers": 1, "num_heads": 2}
_SIDES = {
    "width": 16,
    **{f"num_{side}_{what}": 1 for side in ("encoder", "decoder") for what in ("layers", "heads")},
    **{f"{side}_feed_forward_dim": 32 for side in ("encoder", "decoder")},
    "max_length": LENGTH,
    "head": "conditional_generation",
}
# Family -> architecture and the fields of its config.
FAMILIES = {
    "gpt": ("gpt", {**_DECODER, "max_length": LENGTH}),
    "gpt2": ("gpt2", {**_DECODER, "max_length": LENGTH}),
    "bloom": ("bloom", _DECODER),
    "t5": (
        "t5",
        {
            **{"width": 16, "num_encoder_layers": 1, "num_decoder_layers": 1, "num_heads": 2},
            **{"head_dim": 8, "feed_forward_dim": 32, "head": "conditional_generation"},
        },
    ),
    "bart": ("bart", _SIDES),
    "marian": ("transformer", {**_SIDES}),
}
DECODERS = ("gpt", "gpt2", "bloom")


def tokenizer():
    return WordPiece(VOCABULARY, max_length=LENGTH)


def task(family, **fields):
    """A task whose tokens are far from equally likely, and that ends its texts now and then."""
    name, sizes = FAMILIES[family]
    ids = {"eos_id": 3, "pad_id": 0}
    ids |= {"bos_id": 2} if family in DECODERS else {"decoder_start_id": 2}
    model = tfzoo.build(name, vocab_size=len(VOCABULARY), **{**ids, **sizes, **fields})
    random = np.random.default_rng(5)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(random.normal(0, 0.6, weight.shape).astype("float32"))
    made = LanguageModel if family in DECODERS else SequenceToSequence
    return made(model, tokenizer(), max_length=LENGTH)
