"""What all ways to write text have in common: the prompt, the caches, and the loop over tokens."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfzoo.decoding import stops
from tfzoo.decoding.config import DecodingConfig

# Caches grow by so many tokens: every step writes and reads all that there is of them, so that it
# takes as long as they are.
_GROWTH = 16

State = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known before the first token is written.

    Attributes:
        model: A decoder or encoder-decoder of the zoo.
        config: How text is written.
        prompt_bp: `(b, p)` int32, what the decoder reads first, right-padded.
        aligned: Whether all prompts are p long, so that all rows are always at one position.
        parameters: As `tfzoo.decoding.processors.processed` takes, with `max_new_tokens`.
        width: How many tokens are written at most; an int where that is known.
        samples: Whether some row may draw its tokens.
        encoder_bkd: What the encoder gave, or None.
        encoder_padding_mask: `(b, k)`, or None.
        stops: As in `tfzoo.decoding.generate.generate`.
    """

    model: Any
    config: DecodingConfig
    prompt_bp: tf.Tensor
    aligned: bool
    parameters: Mapping[str, Any]
    width: Any
    samples: bool
    encoder_bkd: Any = None
    encoder_padding_mask: Any = None
    stops: Any = None

    def begun(self) -> tuple[tf.Tensor, Any]:
        """Reads the prompts in one pass.

        Returns:
            The `(b, p, d)` sequence and the caches, p long.
        """
        rows, length = _sizes(self.prompt_bp)
        rows = rows if self.encoder_bkd is None else self.encoder_bkd
        caches = self.model.empty_caches(rows, length)
        sequence: tuple[tf.Tensor, Any] = self.model.read(
            self.prompt_bp, caches, 0, self.encoder_padding_mask
        )
        return sequence

    def last(self, x_bpd: tf.Tensor) -> tf.Tensor:
        """Of each row the vector of its last token, `(b, 1, d)`."""
        if self.aligned:
            return x_bpd[:, -1:]
        return tf.gather(x_bpd, self.parameters["prompt_lengths"][:, None] - 1, batch_dims=1)

    def history(self) -> tf.Tensor:
        """The prompts, with room for all that is written behind them, `(b, p + t)`."""
        room = [[0, 0], [0, self.width]]
        return tf.pad(self.prompt_bp, room, constant_values=self.config.pad_id)

    def place(self, written: Any, parameters: Mapping[str, Any]) -> tf.Tensor:
        """Where the last of so many written tokens stands: `()`, or `(b,)`.

        Rows that have ended stay where their limit is, or they would leave the positions of the
        model while others go on.
        """
        if self.aligned:
            return _sizes(self.prompt_bp)[1] + written - 1
        steps_b = tf.minimum(written, parameters["max_new_tokens"])
        return parameters["prompt_lengths"] + steps_b - 1

    def copies(self, count: int) -> "Plan":
        """The same for `count` texts of each row, which stand together."""
        if count == 1:
            return self
        tensors = {name: repeated(value, count) for name, value in self.parameters.items()}
        mask = self.encoder_padding_mask
        return dataclasses.replace(
            self,
            prompt_bp=repeated(self.prompt_bp, count),
            parameters=tensors,
            encoder_padding_mask=None if mask is None else repeated(mask, count),
        )


def repeated(value: Any, count: int) -> Any:
    """Each row `count` times, at once; what has no rows stays as it is."""

    def one(part: Any) -> Any:
        has_rows = tf.is_tensor(part) and part.shape.rank
        return tf.repeat(part, count, 0) if has_rows and count > 1 else part

    return tf.nest.map_structure(one, value)


def run(goes_on: Callable[[State], tf.Tensor], step: Callable[[State], State], state: State) -> Any:
    """Steps while `goes_on`, with `state["caches"]` growing from what they are.

    Args:
        goes_on: A `()` boolean of the state.
        step: Reads one token, and gives the next state.
        state: Tensors and TensorArrays, of which only the caches change their shapes.
    """

    def turn(state: State) -> tuple[State]:
        following = step(state)
        for old, new in zip(tf.nest.flatten(state), tf.nest.flatten(following), strict=True):
            if tf.is_tensor(new):
                new.set_shape(old.shape)
        return (following,)

    def stage(state: State) -> tuple[State]:
        wider = {**state, "caches": _grown(state["caches"], _GROWTH)}
        return tuple(tf.while_loop(goes_on, turn, (wider,), maximum_iterations=_GROWTH))

    shapes = {name: tf.nest.map_structure(_shape, value) for name, value in state.items()}
    shapes["caches"] = _any_length(state["caches"])
    return tf.while_loop(goes_on, stage, (state,), (shapes,))[0]


def start(plan: Plan) -> State:
    """Where nothing is written yet, of one text for each row; without the caches."""
    first_b = plan.prompt_bp[:, 0]
    state = {
        "written": tf.constant(0),
        "last": first_b,
        "ended": tf.zeros_like(first_b, tf.bool),
        "lengths": tf.zeros_like(first_b),
        "ids": plan.history(),
    }
    if plan.stops is not None:
        state["stop"] = tf.zeros_like(first_b)
    return state | steps(plan)


def accepted(plan: Plan, state: State, token_b: tf.Tensor) -> State:
    """The state with one more token of each row that has not ended."""
    parameters, i = plan.parameters, state["written"]
    token_b = tf.where(state["ended"], plan.config.pad_id, token_b)
    there_bh = tf.range(tf.shape(state["ids"])[1]) == tf.reshape(
        parameters["prompt_lengths"] + i, [-1, 1]
    )
    following = {
        **state,
        "written": i + 1,
        "last": token_b,
        "lengths": state["lengths"] + tf.cast(~state["ended"], tf.int32),
        "ids": tf.where(there_bh, token_b[:, None], state["ids"]),
    }
    ends_b = ends(plan, token_b) | (i + 1 >= parameters["max_new_tokens"])
    if plan.stops is not None:
        following["stop"], stopped_b = stops.after(plan.stops, state["stop"], token_b)
        ends_b |= stopped_b
    following["ended"] = state["ended"] | ends_b
    return following


def results(plan: Plan, state: State, count: int) -> dict[str, tf.Tensor]:
    """What was written, of `count` texts of each row."""
    everything = {"token_ids": found(plan, state["ids"], state["lengths"])}
    everything |= {"lengths": state["lengths"], **stacked(state, plan.width)}
    return {
        name: tf.reshape(value, [-1, count, *_sizes(value)[1:]])
        for name, value in everything.items()
    }


def found(plan: Plan, ids_bh: tf.Tensor, lengths_b: tf.Tensor) -> tf.Tensor:
    """Of a history what was written, `(b, t)`, with padding behind each row's length."""
    columns_t = tf.range(plan.width)
    starts_b1 = tf.reshape(plan.parameters["prompt_lengths"], [-1, 1])
    places_bt = tf.zeros_like(lengths_b)[:, None] + starts_b1 + columns_t
    tokens_bt = tf.gather(ids_bh, places_bt, batch_dims=1)
    return tf.where(columns_t < lengths_b[:, None], tokens_bt, plan.config.pad_id)


def steps(plan: Plan) -> State:
    """Where the outputs that have scores of each token are kept."""
    config = plan.config
    wanted = {"step_scores": config.output_scores, "logits": config.output_logits}
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    return {n: tf.TensorArray(tf.float32, plan.width, element_shape=[None, None]) for n in names}


def recorded(state: State, **scores: tf.Tensor) -> State:
    """Those outputs, with the scores of the token that `state` does not have yet."""
    i = state["written"]
    return {name: state[name].write(i, value) for name, value in scores.items() if name in state}


def stacked(state: State, width: Any) -> dict[str, tf.Tensor]:
    """Those outputs, each `(b, t, v)`, with zeros behind the last step."""
    everything, count = {}, state["written"]
    for name in ("step_scores", "logits"):
        if name in state:
            found_btv = tf.transpose(state[name].gather(tf.range(count)), [1, 0, 2])
            everything[name] = tf.pad(found_btv, [[0, 0], [0, width - count], [0, 0]])
    return everything


def ends(plan: Plan, token_b: tf.Tensor) -> tf.Tensor:
    """Whether a token ends its text."""
    ids = plan.config.eos_ids
    if not ids:
        return tf.zeros_like(token_b, tf.bool)
    return tf.reduce_any(token_b[..., None] == tf.constant([*ids]), -1)


def _sizes(x: tf.Tensor) -> list[Any]:
    """A tensor's sizes, ints where they are known."""
    return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]


def _shape(value: Any) -> tf.TensorShape:
    return value.shape if tf.is_tensor(value) else tf.TensorShape(None)


def reordered(caches: Any, from_n: tf.Tensor) -> Any:
    """The caches with their rows taken from others of one prompt; what the encoder gave is its."""

    def moved(cache_nhke: tf.Tensor) -> tf.Tensor:
        return tf.gather(cache_nhke, from_n)

    return tuple({**entry, "cache": tuple(map(moved, entry["cache"]))} for entry in caches)


def _grown(caches: Any, room: int | tf.Tensor) -> Any:
    """The caches with room for more tokens."""

    def wider(cache_bhke: tf.Tensor) -> tf.Tensor:
        return tf.pad(cache_bhke, [[0, 0], [0, 0], [0, room], [0, 0]])

    return tuple({**entry, "cache": tuple(map(wider, entry["cache"]))} for entry in caches)


def _any_length(caches: Any) -> Any:
    """The caches' shapes, whatever there is room for."""

    def shape(cache_bhke: tf.Tensor) -> tf.TensorShape:
        rows, heads, _, width = cache_bhke.shape
        return tf.TensorShape([rows, heads, None, width])

    shapes = tf.nest.map_structure(lambda x: x.shape, caches)
    return tuple(
        {**fixed, "cache": tuple(map(shape, entry["cache"]))}
        for fixed, entry in zip(shapes, caches, strict=True)
    )
