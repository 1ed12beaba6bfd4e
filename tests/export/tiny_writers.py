"""Tiny tasks that write text, of every family, with random weights that have much to say."""

import numpy as np

import tfzoo
from tfzoo.tasks.language_model import LanguageModel
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence

VOCABULARY, ROOM = 61, 40
PROMPTS = ([7, 9, 30, 44], [21], [50, 8, 8, 17, 33, 12])
_DECODER = {"num_layers": 2, "num_heads": 2, "width": 16}
_SIDES = {"num_encoder_layers": 2, "num_decoder_layers": 2, "width": 16, "max_length": ROOM}
_SIDES |= {"pad_id": 0, "eos_id": 5}
_SPLIT = {"num_encoder_heads": 2, "num_decoder_heads": 2}
_SPLIT |= {"encoder_feed_forward_dim": 32, "decoder_feed_forward_dim": 32}
SIZES = {
    "gpt": {**_DECODER, "max_length": ROOM},
    "gpt2": {**_DECODER, "max_length": ROOM, "eos_id": 5, "bos_id": 1},
    "bloom": {**_DECODER, "max_length": ROOM, "eos_id": 5, "bos_id": 1},
    "t5": {**_SIDES, "num_heads": 2, "head_dim": 8, "feed_forward_dim": 32},
    "bart": {**_SIDES, **_SPLIT, "decoder_start_id": 5},
    "transformer": {**_SIDES, **_SPLIT},
}
DECODERS = ("gpt", "gpt2", "bloom")


def task(family, **fields):
    """A task without tokenizer; `fields` are of the model's config."""
    is_decoder = family in DECODERS
    head = "causal_lm" if is_decoder else "conditional_generation"
    sizes = {"vocab_size": VOCABULARY, **SIZES[family], **fields}
    model = tfzoo.build(family, head=head, **sizes)
    random = np.random.default_rng(3)
    for weight in model.weights:
        if len(weight.shape) > 1:  # not norms, or every text is one token again and again
            wide = 0.7 if "embedding" in weight.path else 0.5
            weight.assign(random.normal(0, wide, weight.shape))
    return (LanguageModel if is_decoder else SequenceToSequence)(model, None)
