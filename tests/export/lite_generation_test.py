"""What TFLite files that write are made of, before they are converted."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.export import tiny_writers
from tfzoo.core.errors import UserError
from tfzoo.decoding.config import DecodingConfig
from tfzoo.export import lite_generation
from tfzoo.export.lite_generation import Sizes, plain, sizes_for
from tfzoo.tasks import generation

SIZES = Sizes(prompt=6, cache=16)
NEW = 9
PROMPT = tiny_writers.PROMPTS[0]


@pytest.fixture
def decoder():
    return tiny_writers.task("gpt2")


def written(task, prompt, **options):
    """What the live model writes."""
    config = dataclasses.replace(plain(task), **options)
    new_n = tf.constant([NEW])
    found = generation.written(task, config, tf.constant([prompt]), None, {"max_new_tokens": new_n})
    return found["token_ids"][0, 0, : int(found["lengths"][0, 0])].numpy().tolist()


def looped(task, prompt, *limits):
    """What the function with the loop inside writes; anything stands behind the prompt."""
    ids = np.full([1, SIZES.prompt], 60, np.int32)
    ids[0, : len(prompt)] = prompt
    (function,) = lite_generation.whole(task, SIZES).values()
    texts = []
    for limit in limits:
        found = function(ids, np.array([len(prompt)], np.int32), np.array([limit], np.int32))
        length = int(found["lengths"][0])
        assert set(found["token_ids"][0, length:].numpy()) <= {task.decoding.pad_id}
        texts.append(found["token_ids"][0, :length].numpy().tolist())
    return texts


def test_prompt_and_new_tokens_fit_into_the_positions(decoder):
    assert sizes_for(decoder) == Sizes(39, 40)
    assert sizes_for(decoder, 8, 12) == Sizes(8, 12)
    for prompt, cache in ((40, None), (0, None), (8, 8), (8, 41)):
        with pytest.raises(UserError, match="must fit into the 40 tokens of the model"):
            sizes_for(decoder, prompt, cache)


def test_of_a_config_what_is_the_same_at_every_step_is_kept():
    task = tiny_writers.task("bart")
    task.decoding = DecodingConfig(
        eos_token_id=(5, 6),
        bad_words_ids=((7,), (8, 9), (5,)),
        suppress_tokens=(3,),
        forced_bos_token_id=4,
        num_beams=3,
        repetition_penalty=2.0,
    )
    assert plain(task) == DecodingConfig(
        eos_token_id=(5, 6),
        suppress_tokens=(3, 7),
        forced_bos_token_id=4,
        decoder_start_token_id=5,  # the model's
    )
    assert sizes_for(task) == Sizes(40, 40)  # the encoder's tokens are none of the decoder's


def test_the_signatures_have_names_and_fixed_sizes(decoder):
    found = lite_generation.stepwise(decoder, SIZES)
    specs = {name: {s.name: s.shape for s in f.input_signature} for name, f in found.items()}
    cache = [1, 2, SIZES.cache, 8]
    caches = {f"{part}_{i}": cache for i in range(2) for part in ("key", "value")}
    assert specs == {
        "prefill": {"token_ids": [1, SIZES.prompt]},
        "decode": {"token_id": [1], "position": [1], **caches},
    }


def test_the_loop_writes_what_the_live_model_does(decoder):
    free = written(decoder, PROMPT)
    assert looped(decoder, PROMPT, NEW, 3) == [free, free[:3]]
    assert len(free) == NEW and len(set(free)) > 2


@pytest.mark.slow
def test_the_loop_ends_where_the_live_model_does(decoder):
    free = written(decoder, PROMPT)
    end = next(token for token in free if token != free[0])
    decoder.decoding = DecodingConfig(eos_token_id=(60, end), pad_token_id=2)
    assert looped(decoder, PROMPT, NEW) == [free[: free.index(end) + 1]]


@pytest.mark.slow
def test_tokens_that_never_come_or_are_forced_are_in_the_loop(decoder):
    decoder.decoding = DecodingConfig(pad_token_id=2)
    never = written(decoder, PROMPT)[0]
    rules = {"suppress_tokens": (never,), "forced_eos_token_id": 9}
    decoder.decoding = DecodingConfig(pad_token_id=2, **rules)
    (found,) = looped(decoder, PROMPT, NEW)
    assert found == written(decoder, PROMPT, **rules)
    assert never not in found and found[-1] == 9
