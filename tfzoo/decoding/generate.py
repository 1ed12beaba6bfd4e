"""The one way in: text after text, in the graph."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.decoding import beam, contrastive, search
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.loop import Plan
from tfzoo.layers.positions import LearnedPositions, SinusoidalPositions

# What only a draw needs.
_DRAWS = {"temperature", "top_k", "top_p", "min_p", "typical_p", "seed"}


def generate(
    model: Any,
    inputs: Mapping[str, tf.Tensor],
    config: DecodingConfig,
    requests: Mapping[str, tf.Tensor] | None = None,
    stops: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Writes on. A row's result depends on its own text, parameters and seed alone.

    It is a loop in the graph, without string or XLA operations; new lengths trace nothing anew.

    Args:
        model: A decoder of the zoo with a language model, or an encoder-decoder.
        inputs: Of a decoder `token_ids`, `(b, p)` int32, right-padded, at least one real token a
            row, and `padding_mask`, 1 on real tokens; without it all are real, which is faster. Of
            an encoder-decoder `encoder_token_ids` and `encoder_padding_mask`, `(b, k)`; with
            `decoder_token_ids` and `decoder_padding_mask` what its decoder has read already, its
            start included, or else the start alone.
        config: How text is written. What only the model knows, `tfzoo.decoding.config.completed`
            fills in: the ids of end and padding.
        requests: `(b,)` vectors of what rows have for themselves, some or all of
            `tfzoo.decoding.config.requests`. What they do not name is the config's; where that does
            nothing, it is not in the graph.
        stops: As `tfzoo.decoding.stops.table` gives, where texts end at `stop_strings`.

    Returns:
        `token_ids` `(b, n, t)` int32, what was written, for `num_return_sequences` texts of a row,
        the best first; behind the end of each the id of padding. `lengths` `(b, n)` int32, the end
        included. Of beams `scores` `(b, n)` float32: the sum of the logarithms of the tokens'
        probabilities over the length to the power of `length_penalty`. With `output_scores`
        `step_scores` `(b, n, t, v)`, by which tokens were chosen, and with `output_logits`
        `logits`, the model's; zeros after the last step that was taken. t is the largest
        `max_new_tokens`.

    Raises:
        UserError: when the inputs are not the model's, a request has an unknown name, stop strings
            have no table, or prompt and new tokens are known to exceed the positions.
    """
    plan = _plan(model, inputs, config, dict(requests or {}), stops)
    if config.num_beams > 1:
        return beam.search(plan)
    return contrastive.search(plan) if config.penalty_alpha else search.search(plan)


def positions(model: Any) -> int | None:
    """How many tokens a decoder can read, which the last new one is not; None: any number."""
    parts = [x for x in vars(model).values() if isinstance(x, _POSITIONS)]
    return min((part.max_length for part in parts), default=None)


_POSITIONS = (LearnedPositions, SinusoidalPositions)


def _plan(
    model: Any,
    inputs: Mapping[str, tf.Tensor],
    config: DecodingConfig,
    requests: Mapping[str, tf.Tensor],
    stops: tf.Tensor | None,
) -> Plan:
    decoding_config.check_names(requests)
    if config.stop_strings and stops is None:
        raise UserError(
            f"stop_strings need the tokens' bytes: give the table that "
            f"tfzoo.decoding.stops.table makes. Received: stop_strings={config.stop_strings}."
        )
    prompt_bp, mask_bp, encoder = _prompt(model, inputs, config)
    length = tf.shape(prompt_bp)[1] if prompt_bp.shape[1] is None else prompt_bp.shape[1]
    lengths: Any = length if mask_bp is None else tf.reduce_sum(tf.cast(mask_bp, tf.int32), 1)
    samples = config.do_sample or "do_sample" in requests
    parameters = _parameters(config, requests, samples)
    parameters["prompt_lengths"] = lengths
    if "max_new_tokens" not in parameters:
        parameters["max_new_tokens"] = _above(1, config.max_length or 0, lengths)
    if config.min_new_tokens is None and config.min_length and "min_new_tokens" not in requests:
        parameters["min_new_tokens"] = _above(0, config.min_length, lengths)
    limits = parameters["max_new_tokens"]
    width = tf.reduce_max(limits) if tf.is_tensor(limits) else limits
    _check_room(model, length, width)
    return Plan(
        model,
        config,
        prompt_bp,
        mask_bp is None,
        parameters,
        width,
        samples,
        *encoder,
        stops=stops,
    )


def _prompt(model: Any, inputs: Mapping[str, tf.Tensor], config: DecodingConfig) -> Any:
    """What the decoder reads first, its mask, and what the encoder gave with its mask."""
    start = "decoder_" if hasattr(model, "_encode") else ""
    wanted = ({"encoder_token_ids"} if start else {"token_ids"}) - inputs.keys()
    known = {"encoder_token_ids", "encoder_padding_mask"} if start else set()
    known |= {f"{start}token_ids", f"{start}padding_mask"}
    if wanted or inputs.keys() - known:
        raise UserError(
            f"{model.name} writes after {', '.join(sorted(known))}. Received: "
            f"{', '.join(sorted(inputs)) or 'nothing'}."
        )
    encoder: tuple[Any, ...] = (None, None)
    if start:
        mask = inputs.get("encoder_padding_mask")
        encoder = (model.encode(inputs["encoder_token_ids"], mask), mask)
    ids = inputs.get(f"{start}token_ids")
    if ids is None:
        chosen = config.decoder_start_token_id
        first = model.config.decoder_start_id if chosen is None else chosen
        ids = tf.fill([tf.shape(encoder[0])[0], 1], first)
    ids, mask = tf.convert_to_tensor(ids), inputs.get(f"{start}padding_mask")
    return ids, mask, encoder


def _parameters(
    config: DecodingConfig, requests: Mapping[str, tf.Tensor], samples: bool
) -> dict[str, Any]:
    """Of what requests may set, what does something: tensors, or the config's numbers."""
    found: dict[str, Any] = {}
    for name, neutral in decoding_config.NEUTRAL.items():
        if name in _DRAWS and not samples:
            continue
        if name in requests:
            dtype = decoding_config.DTYPES[name]
            found[name] = tf.cast(tf.convert_to_tensor(requests[name]), dtype)
        elif name == "max_new_tokens" and config.max_new_tokens is None and config.max_length:
            continue
        elif (value := decoding_config.default(config, name)) not in (None, neutral):
            found[name] = value
    if samples:
        found.setdefault("do_sample", config.do_sample)
    return found


def _above(least: int, wanted: int, lengths: Any) -> Any:
    """How many new tokens make up `wanted` with those of the prompts."""
    if tf.is_tensor(lengths):
        return tf.maximum(wanted - lengths, least)
    return max(wanted - lengths, least)


def _check_room(model: Any, length: Any, width: Any) -> None:
    """Refuses what is known not to fit. The last token is written, and never read."""
    room = positions(model)
    known = isinstance(length, int) and isinstance(width, int)
    if known and room is not None and length + width - 1 > room:
        raise UserError(
            f"{model.name} has {room} positions: too few for prompt and new tokens. Shorten the "
            f"prompt or lower max_new_tokens. Received: {length} and {width} tokens."
        )
