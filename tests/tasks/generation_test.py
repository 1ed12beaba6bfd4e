"""Texts after texts in the graph: prompts, what fits, what comes out, and what a folder says."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.export import writers
from tfzoo.core.errors import UserError
from tfzoo.decoding.config import DecodingConfig
from tfzoo.tasks import folder, generation


@pytest.fixture(scope="module")
def decoder():
    return writers.task("gpt2")


@pytest.fixture(scope="module")
def translator():
    return writers.task("bart")


def test_a_decoder_goes_on_and_an_encoder_decoder_reads_to_the_end(decoder, translator):
    text = tf.constant(["a b", ""])
    a, b = (decoder.tokenizer.id_of(letter) for letter in "ab")
    assert generation.prompts(decoder, text).to_list() == [[2, a, b], [2]]
    assert generation.prompts(translator, text).to_list() == [[2, a, b, 3], [2, 3]]


def test_the_ids_of_the_model_complete_a_config(decoder, translator):
    assert (decoder.decoding.eos_token_id, decoder.decoding.pad_token_id) == (3, 0)
    assert translator.decoding.decoder_start_token_id == 2
    kept = generation.completed(translator, DecodingConfig(eos_token_id=7, num_beams=2))
    assert (kept.eos_token_id, kept.num_beams, kept.pad_token_id) == (7, 2, 0)


def test_ids_that_the_vocabulary_lacks_are_left_out(decoder):
    model = tfzoo.build("gpt2", vocab_size=116, width=16, num_layers=1, num_heads=2, max_length=16)
    assert model.config.eos_id > 116
    assert type(decoder)(model, writers.tokenizer()).decoding.eos_token_id is None


def fitted(task, ids, lengths, *new):
    requests = {"max_new_tokens": tf.constant(new)} if new else {}
    found = generation.fitted(task, tf.constant(ids), tf.constant(lengths), requests)
    rows = zip(found[0].numpy(), found[1].numpy(), strict=True)
    return [row[:n].tolist() for row, n in rows], found[2]["max_new_tokens"].numpy().tolist()


def test_prompts_lose_their_beginnings_where_there_is_no_room(decoder):
    ids = [[*range(1, 39)]] * 4
    kept, new = fitted(decoder, ids, [38, 38, 5, 0], 2, 30, 30, 99)
    assert new == [2, 30, 30, 39]
    assert kept == [[*range(1, 39)], [*range(29, 39)], [1, 2, 3, 4, 5], [2]]


def test_a_request_of_no_tokens_gets_the_usual_number(decoder, translator):
    assert fitted(decoder, [[5]] * 2, [1, 1], 0, 7)[1] == [20, 7]
    assert fitted(decoder, [[5]], [1])[1] == [20]
    assert fitted(translator, [[5]], [1], 100)[1] == [39]


def test_the_text_behind_a_prompt_continues_it(decoder):
    config = decoder.decoding
    ids = generation.prompts(decoder, tf.constant(["film", "film"]))
    ing, good = (decoder.tokenizer.id_of(token) for token in ("##ing", "good"))
    new = {"token_ids": tf.constant([[[ing, 3]], [[good, 3]]]), "lengths": tf.constant([[2], [2]])}
    assert generation.texts(decoder, config, ids, new).numpy().tolist() == [b"ing", b" good"]
    stopped = DecodingConfig(stop_strings=("od", "n"))
    assert generation.texts(decoder, stopped, ids, new).numpy().tolist() == [b"i", b" go"]


# Folders.


def bare(task):
    """The task without its tokenizer, which is none of transformers' for its family."""
    return type(task)(task.model, None)


def test_a_folder_keeps_how_text_is_written(decoder, tmp_path):
    task = bare(decoder)
    task.decoding = generation.completed(task, DecodingConfig(max_new_tokens=7, top_k=3))
    folder.save(task, tmp_path / "ours")
    folder.convert(str(tmp_path / "ours"), f"hf:{tmp_path / 'theirs'}")
    for name in ("ours", "theirs"):
        assert tfzoo.load(tmp_path / name).task.decoding == task.decoding


def test_a_broken_file_is_one_line_that_names_it(decoder, tmp_path):
    task = bare(decoder)
    folder.save(task, tmp_path / "m")
    path = tmp_path / "m" / "generation_config.json"
    for content, words in (
        ("{", "is not valid JSON"),
        ("[]", "must hold a JSON object"),
        ('{"guidance_scale": 2.0}', "guidance_scale"),
        ('{"top_k": "many"}', "`top_k` must be int"),
        ('{"num_beems": 2}', "Did you mean `num_beams`"),
    ):
        path.write_text(content)
        with pytest.raises(UserError) as caught:
            tfzoo.load(tmp_path / "m")
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    assert tfzoo.load(tmp_path / "m").task.decoding == task.decoding


def test_what_older_folders_say_in_their_config_counts(translator, tmp_path):
    folder.save_hugging_face(bare(translator), tmp_path)
    (tmp_path / "generation_config.json").unlink()
    values = json.loads((tmp_path / "config.json").read_text())
    values |= {"num_beams": 4, "no_repeat_ngram_size": 3, "max_length": 30, "top_p": None}
    (tmp_path / "config.json").write_text(json.dumps(values))
    found = tfzoo.load(f"hf:{tmp_path}").task.decoding
    assert (found.num_beams, found.no_repeat_ngram_size, found.max_length) == (4, 3, 30)


# Signatures.


@pytest.mark.parametrize("name", ["decoder", "translator"])
def test_a_server_has_these_signatures(name, request):
    task = request.getfixturevalue(name)
    names = {n: [s.name for s in f.input_signature] for n, f in task.signatures.items()}
    more = {"encode": ["text"]} if name == "translator" else {}
    vectors = [*generation.request_defaults(task)]
    assert vectors[0] == "max_new_tokens" and len(vectors) == 11
    first = ["first_lengths"] if name == "translator" else []
    assert names == {
        "serving_default": ["text"],
        "generate": ["text", *vectors],
        "generate_ids": ["token_ids", "lengths", *vectors],
        "score": ["text", "pair"],
        "token_ids": ["token_ids", "lengths", *first],
        "embed": ["text"],
        **more,
    }


@pytest.mark.slow
def test_signatures_answer_as_python_does(decoder):
    wanted = decoder.generate(["a film", "long text and"])
    found = decoder.signatures["serving_default"](tf.constant(["a film", "long text and"]))
    assert [text.decode() for text in found["text"].numpy()] == wanted
    values = generation.request_defaults(decoder) | {"do_sample": True, "max_new_tokens": 6}
    vectors = [tf.constant([value]) for value in values.values()]
    found = decoder.signatures["generate"](tf.constant(["a film", "long text and"]), *vectors)
    options = {"do_sample": True, "max_new_tokens": 6}
    written = [text.decode() for text in found["text"].numpy()]
    assert written == decoder.generate(["a film", "long text and"], **options)
    assert (found["num_tokens"].numpy() <= 6).all()
    ids, lengths = np.array([[2, 5, 0], [2, 6, 7]]), np.array([2, 3])
    found = decoder.signatures["generate_ids"](ids, lengths, *vectors)
    alone = decoder.signatures["generate_ids"](ids[:1, :2], lengths[:1], *vectors)
    assert alone["token_ids"][0].numpy().tolist() == found["token_ids"][0].numpy().tolist()
    assert decoder.signatures["generate_ids"].experimental_get_tracing_count() == 1
