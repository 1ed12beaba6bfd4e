"""What TFLite files that write text are made of: functions of one text, of fixed sizes.

    decode.*.tflite     prefill   token_ids (1, p) ─► caches            of a decoder
                        encode    token_ids (1, p), lengths (1,) ─► caches, mask  with an encoder
                        decode    token_id (1,), position (1,), caches (, mask) ─► logits, caches
    generate.*.tflite   generate  token_ids (1, p), lengths (1,), max_new_tokens (1,)
                                  ─► token_ids (1, t), lengths (1,)

With the first, the app drives the loop, as `tfzoo.export.lite_writer` does, and keeps the caches;
the second has the loop inside, and writes the most likely token each time.

Both begin with the same step: of a decoder the prompt's last token is read by `decode` again, at
its own place, so `prefill` scores nothing and need not know how long a prompt is. What it read
behind it, in the place of tokens that there are not yet, is written over before it is seen.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.decoding.config import DecodingConfig
from tfzoo.layers import runtime
from tfzoo.tasks.generation import is_decoder
from tfzoo.tasks.task import Task, Tensors

_PROMPT, _CACHE = 64, 128
_MASK = "encoder_padding_mask"
_NEVER = -1e9  # the logit of a token that never comes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The fixed sizes of such a file.

    Attributes:
        prompt: How many tokens a prompt may have; with an encoder, what it reads.
        cache: How many tokens the decoder has room for, prompt or start and new ones together.
    """

    prompt: int
    cache: int


def sizes_for(task: Task, prompt: int | None = None, cache: int | None = None) -> Sizes:
    """The sizes, as wanted, or 64 and 128, or what the task has positions for.

    Raises:
        UserError: when it has not so many, or none are left for new tokens.
    """
    most = task.max_length
    less = int(is_decoder(task))  # a decoder's cache holds the prompt, too
    chosen = Sizes(
        min(_PROMPT, most - less) if prompt is None else prompt,
        min(_CACHE, most) if cache is None else cache,
    )
    least = chosen.prompt + 1 if less else 2
    if not 1 <= chosen.prompt <= most - less or not least <= chosen.cache <= most:
        raise UserError(
            f"The sizes of TFLite files that write must fit into the {most} tokens of the model, "
            f"with room for a new one. Received: prompt_length={chosen.prompt}, "
            f"cache_length={chosen.cache}."
        )
    return chosen


def plain(task: Any) -> DecodingConfig:
    """Of how a task writes what these files follow: they write greedily, one text at a time.

    That is where texts begin and end, tokens that never come, and those that are forced.
    """
    config, start = task.decoding, None
    if not is_decoder(task):
        start = config.decoder_start_token_id
        start = task.model.config.decoder_start_id if start is None else start
    ends = [(token,) for token in config.eos_ids]
    single = [word[0] for word in config.bad_words_ids if len(word) == 1 and word not in ends]
    return DecodingConfig(
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=start,
        suppress_tokens=tuple(sorted({*config.suppress_tokens, *single})),
        forced_bos_token_id=config.forced_bos_token_id,
        forced_eos_token_id=config.forced_eos_token_id,
    )


def stepwise(task: Any, sizes: Sizes) -> dict[str, Any]:
    """The functions of a file whose loop the app drives, by signature."""
    config = plain(task)
    ids = tf.TensorSpec([1, sizes.prompt], tf.int32, name="token_ids")
    lengths = tf.TensorSpec([1], tf.int32, name="lengths")
    position = tf.TensorSpec([1], tf.int32, name="position")
    token = tf.TensorSpec([1], tf.int32, name="token_id")

    def prefill(token_ids: tf.Tensor) -> Tensors:
        return _flat(_read(task.model, token_ids, sizes))

    def encode(token_ids: tf.Tensor, lengths: tf.Tensor) -> Tensors:
        caches, mask = _encoded(task.model, token_ids, lengths, 1)
        found = {name: part for name, part in _flat(caches).items() if name.startswith("encoder")}
        return {**found, _MASK: mask}

    first, specs = (prefill, [ids]) if is_decoder(task) else (encode, [ids, lengths])
    states = _states(task, sizes)

    def decode(token_id: tf.Tensor, position: tf.Tensor, *parts: tf.Tensor) -> Tensors:
        state = dict(zip(states, parts, strict=True))
        mask = state.pop(_MASK, None)
        logits, caches = _step(task.model, config, token_id, _nested(state), position, mask)
        new = {name: part for name, part in _flat(caches).items() if name[:7] != "encoder"}
        return {"logits": logits, **new}

    functions = {first.__name__: _function(first, specs)}
    return {**functions, "decode": _function(decode, [token, position, *states.values()])}


def whole(task: Any, sizes: Sizes) -> dict[str, Any]:
    """The function of a file that has the loop inside."""
    config = plain(task)
    specs = [
        tf.TensorSpec([1, sizes.prompt], tf.int32, name="token_ids"),
        tf.TensorSpec([1], tf.int32, name="lengths"),
        tf.TensorSpec([1], tf.int32, name="max_new_tokens"),
    ]

    def generate(token_ids: tf.Tensor, lengths: tf.Tensor, max_new_tokens: tf.Tensor) -> Tensors:
        if is_decoder(task):
            caches, mask = _read(task.model, token_ids, sizes), None
            token, position = tf.gather(token_ids[0], lengths - 1), lengths - 1
        else:
            caches, mask = _encoded(task.model, token_ids, lengths, sizes.cache)
            token, position = tf.constant([config.decoder_start_token_id]), tf.constant([0])
        room = tf.minimum(max_new_tokens, sizes.cache - 1 - position)
        begun = (token, position, caches)
        return _loop(task.model, config, begun, mask, room, sizes.cache - 1)

    return {"generate": _function(generate, specs)}


def _loop(
    model: Any, config: DecodingConfig, begun: Any, mask: Any, room_1: tf.Tensor, width: int
) -> Tensors:
    """Writes until the end or `room_1` tokens; `width` is that of the result."""
    token_1, position_1, caches = begun
    places_1t = tf.range(width)[None]

    def goes_on(written_1: tf.Tensor, ended_1: tf.Tensor, *_: Any) -> tf.Tensor:
        return tf.reduce_all((written_1 < room_1) & ~ended_1)

    def step(
        written_1: tf.Tensor, ended_1: tf.Tensor, token_1: tf.Tensor, ids: tf.Tensor, caches: Any
    ) -> tuple[Any, ...]:
        place_1 = position_1 + written_1
        logits, caches = _step(model, config, token_1, caches, place_1, mask)
        token_1 = tf.argmax(logits, 1, tf.int32)
        if config.forced_bos_token_id is not None:
            token_1 = tf.where(place_1 == 0, config.forced_bos_token_id, token_1)
        if config.forced_eos_ids:
            is_last = written_1 + 1 == room_1
            token_1 = tf.where(is_last, config.forced_eos_ids[0], token_1)
        ids = tf.where(places_1t == written_1, token_1, ids)
        if config.eos_ids:
            ended_1 = tf.reduce_any(token_1[:, None] == tf.constant([config.eos_ids]), 1)
        return written_1 + 1, ended_1, token_1, ids, caches

    ids = tf.fill([1, width], config.pad_id)
    state = (tf.constant([0]), tf.constant([False]), token_1, ids, caches)
    written_1, _, _, ids, _ = tf.while_loop(goes_on, step, state)
    return {"token_ids": ids, "lengths": written_1}


def _read(model: Any, token_ids: tf.Tensor, sizes: Sizes) -> Any:
    """The caches after a prompt."""
    with runtime.drawing_for("tflite"):
        _, caches = model.read(token_ids, model.empty_caches(1, sizes.prompt), 0)
    room = [[0, 0], [0, 0], [0, sizes.cache - sizes.prompt], [0, 0]]
    return tf.nest.map_structure(lambda part: tf.pad(part, room), caches)


def _encoded(model: Any, token_ids: tf.Tensor, lengths: tf.Tensor, room: int) -> tuple[Any, Any]:
    """The caches after an encoder, and which of its tokens are real."""
    mask = tf.cast(tf.range(token_ids.shape[1])[None] < lengths[:, None], tf.int32)
    with runtime.drawing_for("tflite"):
        return model.empty_caches(model.encode(token_ids * mask, mask), room), mask


def _step(
    model: Any, config: DecodingConfig, token_1: tf.Tensor, caches: Any, place_1: Any, mask: Any
) -> tuple[tf.Tensor, Any]:
    """Reads a token: `(1, v)` logits of the next one, and the caches."""
    with runtime.drawing_for("tflite"):
        logits_11v, caches = model.step(token_1[:, None], caches, place_1, mask)
    logits_1v = logits_11v[:, 0]
    if config.suppress_tokens:
        tokens_v1 = tf.range(model.config.vocab_size)[:, None]
        never_v = tf.reduce_any(tokens_v1 == tf.constant([config.suppress_tokens]), 1)
        logits_1v = tf.where(never_v, _NEVER, logits_1v)
    return logits_1v, caches


def _states(task: Any, sizes: Sizes) -> dict[str, tf.TensorSpec]:
    """What stays between two steps, by name."""
    found = {}
    for i, block in enumerate(task.model.decoder_blocks):
        shapes = {"": (block.attention, sizes.cache)}
        if not is_decoder(task):
            shapes["encoder_"] = (block.cross_attention, sizes.prompt)
        for side, (attention, length) in shapes.items():
            shape = [1, attention.num_heads, length, attention.head_dim]
            for part in ("key", "value"):
                name = f"{side}{part}_{i}"
                found[name] = tf.TensorSpec(shape, attention.compute_dtype, name=name)
    if not is_decoder(task):
        found[_MASK] = tf.TensorSpec([1, sizes.prompt], tf.int32, name=_MASK)
    return found


def _flat(caches: Any) -> Tensors:
    """Caches by the names of `_states`."""
    return {
        f"{kind.removesuffix('cache')}{part}_{i}": tensor
        for i, entry in enumerate(caches)
        for kind, pair in entry.items()
        for part, tensor in zip(("key", "value"), pair, strict=True)
    }


def _nested(state: Tensors) -> Any:
    """Caches as `Model.step` takes them."""
    kinds = [kind for kind in ("", "encoder_") if f"{kind}key_0" in state]
    depth = len(state) // (2 * len(kinds))
    return tuple(
        {f"{kind}cache": (state[f"{kind}key_{i}"], state[f"{kind}value_{i}"]) for kind in kinds}
        for i in range(depth)
    )


def _function(python: Callable[..., Tensors], specs: list[tf.TensorSpec]) -> Any:
    return tf.function(python, input_signature=specs, autograph=False)
