"""Text after text, for language models and encoder-decoders, in the graph and from Python.

    text ─► prompt ids ─► cut to leave room ─► tfzoo.decoding.generate ─► ids ─► text

A language model gives the new text only, as it continues the prompt: prompt and answer, one behind
the other, are the whole text.

Easy to get wrong: tokenizers put spaces between tokens and not around texts, so what a language
model wrote is decoded together with its prompt. And a tokenizer's mark behind a text would end what
is to go on, so a language model's prompt has none.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding import generate as decoding
from tfzoo.decoding import stops
from tfzoo.decoding.config import DecodingConfig
from tfzoo.tasks.texts import named_id

Tensors = dict[str, tf.Tensor]

# Of what a request may set, what only a draw needs.
DRAWS = ("temperature", "top_k", "top_p", "min_p", "typical_p", "seed")


def is_decoder(task: Any) -> bool:
    """Whether a task's model continues its prompts; otherwise it answers them."""
    return "encoder_token_ids" not in task.model.input


def prompts(task: Any, text: tf.Tensor) -> tf.RaggedTensor:
    """`(n,)` strings to what the model reads, `(n, (t))` int32.

    Of a language model all of it; of an encoder-decoder as much as `max_length` allows.
    """
    if not is_decoder(task):
        inputs = task.inputs(text)
        lengths = tf.reduce_sum(inputs["padding_mask"], 1)
        return tf.RaggedTensor.from_tensor(inputs["token_ids"], lengths)
    ids = task.tokenizer.tokenize(text)
    before = task.tokenizer.frame.before
    front_1f = tf.constant(before, tf.int32, [1, len(before)])
    front_nf = tf.tile(front_1f, [ids.nrows(out_type=tf.int32), 1])
    return tf.concat([tf.RaggedTensor.from_tensor(front_nf), ids], 1)


def written(
    task: Any,
    config: DecodingConfig,
    token_ids: tf.Tensor,
    lengths: tf.Tensor | None,
    requests: Mapping[str, tf.Tensor],
    model: Any = None,
) -> Tensors:
    """What `tfzoo.decoding.generate` gives for prompts.

    Args:
        task: The task.
        config: How text is written.
        token_ids: `(n, t)` int32, of which a row's `lengths` are real, at least one.
        lengths: `(n,)` int32, or None where all are t.
        requests: What rows have for themselves.
        model: Another model than the task's.
    """
    side = "" if is_decoder(task) else "encoder_"
    inputs = {f"{side}token_ids": token_ids}
    if lengths is not None:
        real_nt = tf.sequence_mask(lengths, tf.shape(token_ids)[1], tf.int32)
        inputs = {f"{side}token_ids": token_ids * real_nt, f"{side}padding_mask": real_nt}
    elif side:
        inputs[f"{side}padding_mask"] = tf.ones_like(token_ids)
    table = _stops(task.tokenizer, config.stop_strings) if config.stop_strings else None
    return decoding.generate(model or task.model, inputs, config, requests, table)


def texts(task: Any, config: DecodingConfig, prompt: tf.RaggedTensor, found: Tensors) -> tf.Tensor:
    """The texts of what was written, `(n,)` strings, or `(n, r)` of r texts for each prompt."""
    ids_nrt = found["token_ids"]
    count = config.num_return_sequences
    ids_mt = tf.reshape(ids_nrt, [-1, tf.shape(ids_nrt)[2]])
    new = tf.RaggedTensor.from_tensor(ids_mt, tf.reshape(found["lengths"], [-1]))
    decode = functools.partial(task.tokenizer.decode, skip_special_tokens=True)
    text = decode(new)
    if is_decoder(task):
        rows = tf.repeat(tf.range(prompt.nrows()), count)
        before = tf.gather(prompt, rows)
        shown = decode(before)
        whole = decode(tf.concat([before, new], 1))
        size = tf.strings.length(shown)
        behind = tf.strings.substr(whole, size, tf.strings.length(whole) - size)
        continues = tf.strings.substr(whole, tf.zeros_like(size), size) == shown
        text = tf.where(continues, behind, text)
    if config.stop_strings:
        pattern = "|".join(map(re.escape, config.stop_strings))
        text = tf.strings.regex_replace(text, f"(?s)(?:{pattern}).*", "")
    return text if count == 1 else tf.reshape(text, [-1, count])


def fitted(
    task: Any, token_ids: tf.Tensor, lengths: tf.Tensor, requests: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
    """Prompts and requests of a server, such that prompt and new tokens fit into `max_length`.

    A client's number of new tokens is lowered first, then a language model's prompt loses its
    beginning. A prompt without a token becomes the one for the beginning of a text. Where no number
    is given, or 0, it is the config's. Each row alone decides.
    """
    begun_n = lengths if is_decoder(task) else tf.ones_like(lengths)
    usual_n = _new_tokens(task.decoding, begun_n)
    new_n = requests.get("max_new_tokens", usual_n)
    most = task.max_length - 1
    new_n = tf.minimum(tf.where(new_n > 0, new_n, usual_n), most)
    requests = {**requests, "max_new_tokens": new_n}
    if task.decoding.penalty_alpha:  # contrastive search draws nothing, and its top_k is fixed
        requests = {k: v for k, v in requests.items() if k not in ("do_sample", *DRAWS)}
    lengths = tf.maximum(lengths, 1)
    if not is_decoder(task):
        return token_ids, lengths, requests
    ids_nt = tf.where((begun_n == 0)[:, None], _begin_id(task), tf.pad(token_ids, [[0, 0], [0, 1]]))
    kept_n = tf.minimum(lengths, most + 1 - new_n)
    places_nt = (lengths - kept_n)[:, None] + tf.range(tf.reduce_max(kept_n))
    places_nt = tf.minimum(places_nt, tf.shape(ids_nt)[1] - 1)
    return tf.gather(ids_nt, places_nt, batch_dims=1), kept_n, requests


def request_defaults(task: Any) -> dict[str, Any]:
    """What a request to `generate` or `generate_ids` gets where it sets nothing itself."""
    found = {name: decoding_config.default(task.decoding, name) for name in decoding_config.NEUTRAL}
    return {**found, "max_new_tokens": 0, "min_new_tokens": found["min_new_tokens"] or 0}


def default_config(task: Any) -> DecodingConfig:
    """How text is written where a folder does not say: greedily, to the model's own end."""
    return completed(task, DecodingConfig())


def completed(task: Any, config: DecodingConfig) -> DecodingConfig:
    """A config with the ids of end, padding and start that it does not say itself.

    A model's config that was made for another vocabulary, as a variant's is, may name tokens that
    there are not; then the tokenizer's end counts.
    """
    found = decoding_config.completed(config, task.model.config)
    size = task.model.config.vocab_size
    names = ("eos_token_id", "pad_token_id", "decoder_start_token_id")
    absent = {
        name: getattr(config, name)
        for name in names
        if isinstance(given := getattr(found, name), int) and given >= size
    }
    found = dataclasses.replace(found, **absent)
    if found.eos_token_id is None and task.tokenizer is not None:
        end = named_id(task.tokenizer, "eos", "</s>")
        found = dataclasses.replace(found, eos_token_id=end)
    return found


def _new_tokens(config: DecodingConfig, lengths: tf.Tensor) -> tf.Tensor:
    """How many tokens are written at most after prompts of so many, by the config; `(n,)` int32.

    Of an encoder-decoder the prompt is what its decoder begins with: one token.
    """
    value = decoding_config.default(config, "max_new_tokens")
    if value is not None:
        return tf.fill(tf.shape(lengths), value)
    return tf.maximum(config.max_length - lengths, 1)


def signatures(task: Any) -> dict[str, Any]:
    """The functions by which a server writes texts, each a `tf.function` with a signature.

    `serving_default` takes `text`; `generate` also the parameters that
    `tfzoo.decoding.config.NEUTRAL` names, as `(n,)` vectors; `generate_ids` takes `token_ids`
    `(n, t)` and `lengths` `(n,)` in place of a text, and gives the same two; `score` takes `text`
    and `pair`, what follows it; `encode`, of encoder-decoders, gives `sequence` and
    `padding_mask`.
    """
    text = tf.TensorSpec([None], tf.string, name="text")
    ids = tf.TensorSpec([None, None], tf.int32, name="token_ids")
    lengths = tf.TensorSpec([None], tf.int32, name="lengths")
    vectors = [tf.TensorSpec([None], d, name=n) for n, d in decoding_config.DTYPES.items()]
    config = task.decoding

    def write(token_ids: tf.Tensor, lengths: tf.Tensor, requests: Tensors) -> Tensors:
        token_ids, lengths, requests = fitted(task, token_ids, lengths, requests)
        found = written(task, config, token_ids, lengths, requests)
        return {**found, "prompt_ids": token_ids, "prompt_lengths": lengths}

    def write_as_asked(token_ids: tf.Tensor, lengths: tf.Tensor, *values: tf.Tensor) -> Tensors:
        # What a request leaves out comes as one value for all of its rows.
        values_n = [tf.broadcast_to(value, tf.shape(lengths)) for value in values]
        return write(token_ids, lengths, dict(zip(decoding_config.DTYPES, values_n, strict=True)))

    # One function for both signatures that need it, so that its loop is in the graph once.
    as_asked = _function(write_as_asked, [ids, lengths, *vectors])

    def answer(found: Tensors) -> Tensors:
        prompt = tf.RaggedTensor.from_tensor(found["prompt_ids"], found["prompt_lengths"])
        return {"text": texts(task, config, prompt, found)} | _scores(config, found)

    def by_default(text: tf.Tensor) -> Tensors:
        return answer(write(*_dense(prompts(task, text)), {}))

    def generate(text: tf.Tensor, *values: tf.Tensor) -> Tensors:
        found = as_asked(*_dense(prompts(task, text)), *values)
        return answer(found) | {"num_tokens": _first(config, found["lengths"])}

    def generate_ids(token_ids: tf.Tensor, lengths: tf.Tensor, *values: tf.Tensor) -> Tensors:
        found = as_asked(token_ids, lengths, *values)
        picked = {name: _first(config, found[name]) for name in ("token_ids", "lengths")}
        return picked | _scores(config, found)

    found = {}
    if task.tokenizer is not None:
        found["serving_default"] = _function(by_default, [text])
        found["generate"] = _function(generate, [text, *vectors])
    found["generate_ids"] = _function(generate_ids, [ids, lengths, *vectors])
    return found if task.tokenizer is None else found | _readers(task)


def _readers(task: Any) -> dict[str, Any]:
    """The functions that read texts and write none: `score`, and of encoder-decoders `encode`."""
    text = tf.TensorSpec([None], tf.string, name="text")
    pair = tf.TensorSpec([None], tf.string, name="pair")

    def score(text: tf.Tensor, pair: tf.Tensor) -> Tensors:
        found = task.score_tensors(text, pair)
        return {name: found[name] for name in ("log_likelihood", "num_tokens")}

    def encode(text: tf.Tensor) -> Tensors:
        inputs = task.inputs(text)
        return {"sequence": task.sequence(inputs), "padding_mask": inputs["padding_mask"]}

    found = {"score": _function(score, [text, pair])}
    return found if is_decoder(task) else found | {"encode": _function(encode, [text])}


def _begin_id(task: Any) -> int:
    """What stands for a prompt without a token: the beginning of a text, or padding."""
    begin = task.model.config.bos_id
    if begin is not None and begin < task.model.config.vocab_size:
        return int(begin)
    return 0 if task.tokenizer is None else int(task.tokenizer.pad_id)


def _scores(config: DecodingConfig, found: Tensors) -> Tensors:
    """Of beams their scores, by name."""
    return {"scores": _first(config, found["scores"])} if "scores" in found else {}


def _first(config: DecodingConfig, value_nr: tf.Tensor) -> tf.Tensor:
    """What there is for each text of a row, or, where a row has one, for that."""
    return value_nr[:, 0] if config.num_return_sequences == 1 else value_nr


def _dense(ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    return ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32)


def _function(python: Callable[..., Tensors], specs: list[tf.TensorSpec]) -> Any:
    return tf.function(python, input_signature=specs, autograph=False)


def _stops(tokenizer: Any, strings: tuple[str, ...]) -> tf.Tensor:
    """Where texts end, as `tfzoo.decoding.generate` takes it.

    Raises:
        UserError: when there are no texts.
    """
    if tokenizer is None:
        raise UserError(
            f"stop_strings need a tokenizer, which this model came without. "
            f"Received: stop_strings={strings}."
        )
    return tf.constant(stops.table(strings, tokenizer.token_bytes()))
