"""The config of generation, and generation_config.json."""

import types

import pytest

from tfzoo.core.errors import UserError
from tfzoo.decoding import config
from tfzoo.decoding.config import DecodingConfig

BART = {
    "_from_model_config": True,
    "bos_token_id": 0,
    "decoder_start_token_id": 2,
    "early_stopping": True,
    "eos_token_id": [2, 3],
    "forced_bos_token_id": 0,
    "length_penalty": 2,
    "max_length": None,
    "bad_words_ids": [[5], [6, 7]],
    "num_beams": 4,
    "transformers_version": "5.23.0",
    "encoder_repetition_penalty": 1.0,
    "use_cache": True,
}


def test_a_file_is_read_and_comes_back():
    found = config.of_generation_config(BART)
    assert found == DecodingConfig(
        decoder_start_token_id=2,
        early_stopping=True,
        eos_token_id=(2, 3),
        forced_bos_token_id=0,
        length_penalty=2.0,
        bad_words_ids=((5,), (6, 7)),
        num_beams=4,
    )
    written = config.to_generation_config(found)
    ours = {"decoder_start_token_id", "early_stopping", "eos_token_id", "forced_bos_token_id"}
    assert written == {k: BART[k] for k in ours | {"length_penalty", "bad_words_ids", "num_beams"}}
    assert config.of_generation_config(written) == found
    assert hash(found) == hash(config.of_generation_config(written))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guidance_scale": 1.5}, r"asks for guidance_scale.*not supported.*guidance_scale=1\.5"),
        ({"temprature": 1.0}, "temprature.*Did you mean `temperature`"),
        ({"top_k": "many"}, r"`top_k` must be int\. Received: 'many'"),
        ({"early_stopping": "soon"}, "early_stopping"),
    ],
)
def test_what_a_file_must_not_say(values, message):
    with pytest.raises(UserError, match=message):
        config.of_generation_config(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"top_p": 1.5}, r"top_p must be at most 1\. Received: top_p=1\.5"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"min_new_tokens": 5, "max_new_tokens": 4}, "min_new_tokens must not be above"),
        ({"num_return_sequences": 2}, "Several sequences need do_sample or beams"),
        ({"num_return_sequences": 3, "num_beams": 2}, "not be above num_beams"),
        ({"num_beam_groups": 2, "num_beams": 3, "diversity_penalty": 1.0}, "must divide num_beams"),
        ({"num_beam_groups": 2, "num_beams": 4}, "need a diversity_penalty above 0"),
        ({"diversity_penalty": 1.0, "num_beams": 4}, "it needs groups"),
        ({"penalty_alpha": 0.6, "num_beams": 2}, "takes one beam"),
        ({"forced_eos_token_id": 3, "suppress_tokens": (3,)}, "forced and suppressed"),
        ({"early_stopping": "soon"}, "early_stopping must be true, false or 'never'"),
        ({"bad_words_ids": ((),)}, "must not hold an empty one"),
    ],
)
def test_values_that_contradict_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        DecodingConfig(**values)


def test_ids_that_the_model_knows_are_filled_in():
    model = types.SimpleNamespace(eos_id=7, pad_id=None)
    found = config.completed(DecodingConfig(decoder_start_token_id=4), model)
    assert (found.eos_ids, found.pad_id, found.decoder_start_token_id) == ((7,), 7, 4)
    assert config.completed(DecodingConfig(eos_token_id=(1, 2)), model).eos_ids == (1, 2)


def test_requests_are_vectors_with_the_defaults_of_the_config():
    found = config.requests(DecodingConfig(seed=5, top_p=0.5), 2, top_k=[1, 2], do_sample=True)
    assert found.keys() == config.NEUTRAL.keys()
    assert {name: value.dtype for name, value in found.items()} == config.DTYPES
    plain = {name: value.numpy().tolist() for name, value in found.items()}
    assert plain["top_k"] == [1, 2] and plain["seed"] == [5, 5] and plain["top_p"] == [0.5, 0.5]
    assert plain["max_new_tokens"] == [20, 20] and plain["min_p"] == [0.0, 0.0]
    assert plain["do_sample"] == [True, True]
    assert "max_new_tokens" not in config.requests(DecodingConfig(max_length=9), 2)
    with pytest.raises(UserError, match="`num_beams` is not a parameter of a request"):
        config.requests(DecodingConfig(), 2, num_beams=4)


@pytest.mark.parity
def test_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GenerationConfig._get_default_generation_params()
    ours = vars(DecodingConfig())
    same = {name: ours[name] for name in theirs.keys() & ours if name != "max_length"}
    assert len(same) > 15
    assert {k: v or None for k, v in same.items()} == {k: theirs[k] or None for k in same}
    unset = transformers.GenerationConfig().to_dict().keys() - {"max_time", "top_h"}
    refused = {"sequence_bias", "exponential_decay_length_penalty", "watermarking_config"}
    for name in theirs.keys() - ours - refused:
        config.of_generation_config({name: theirs[name]})
    assert unset
