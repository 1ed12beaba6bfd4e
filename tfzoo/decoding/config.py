"""How text is written: the names and defaults of transformers' GenerationConfig.

Checked against transformers 5.23 (generation/configuration_utils.py). A folder keeps them in
generation_config.json.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf

from tfzoo.core import checks
from tfzoo.core import config as core_config
from tfzoo.core.errors import UserError

# Where neither max_new_tokens nor max_length is given, as in transformers.
NEW_TOKENS = 20
# What a request may set, and the value at which it does nothing (None: it has none).
NEUTRAL: dict[str, Any] = {
    "max_new_tokens": None,
    "min_new_tokens": 0,
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "seed": None,
}
# Of generation_config.json: what does not change which tokens are written, ...
_IGNORED = frozenset(
    "_from_model_config _commit_hash transformers_version bos_token_id use_cache "
    "cache_implementation cache_config max_cache_len low_memory prefill_chunk_size "
    "return_dict_in_generate output_attentions output_hidden_states remove_invalid_values "
    "compile_config disable_compile is_assistant num_assistant_tokens "
    "num_assistant_tokens_schedule assistant_confidence_threshold assistant_early_exit "
    "assistant_lookbehind target_lookbehind continuous_batching_config".split()
)
# ... and what would if it had another value than one of these. None never does.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "guidance_scale": (1.0,),
    "token_healing": (False,),
}


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """How text is written.

    What a request may set for its row (the keys of `NEUTRAL`) is a default here.

    Attributes:
        max_new_tokens: How many tokens are written at most, the end's included.
        max_length: The same with those of the prompt, or of a decoder behind an encoder its start;
            only where `max_new_tokens` is None. Both None: 20 new tokens.
        min_new_tokens: How many tokens come before one of `eos_token_id` may.
        min_length: The same with those of the prompt; only where `min_new_tokens` is None.
        do_sample: Whether tokens are drawn; otherwise the most likely are taken.
        temperature: What scores are divided by before a draw. A row of 0 takes the most likely.
        top_k: Of how many of the most likely tokens one is drawn; 0: of all. In contrastive search,
            how many are compared.
        top_p: The share of the probability that the most likely tokens must have to be drawn from.
        min_p: The least probability of a token that may be drawn, as a share of the largest.
        typical_p: As `top_p`, of the tokens whose surprise is nearest to the expected one
            (Meister et al. 2022, https://arxiv.org/abs/2202.00666).
        num_beams: How many texts of a row are followed at once; 1: no beam search.
        num_beam_groups: Into how many groups they fall that avoid each other's tokens
            (Vijayakumar et al. 2016, https://arxiv.org/abs/1610.02424).
        diversity_penalty: What a token's score loses for each beam of an earlier group that takes
            it at the same step.
        length_penalty: Exponent of the length that a beam's score is divided by.
        early_stopping: Whether a row ends as soon as it has `num_beams` ended texts. False: when a
            better one is unlikely. "never": when a better one is impossible.
        num_return_sequences: How many texts are returned for each row.
        penalty_alpha: Above 0: contrastive search (Su et al. 2022,
            https://arxiv.org/abs/2202.06417), and how much likeness to what was written costs.
        repetition_penalty: What scores of tokens that occur already are divided by; negative ones
            are multiplied (Keskar et al. 2019, https://arxiv.org/abs/1909.05858).
        no_repeat_ngram_size: No sequence of so many tokens comes twice; 0: any may.
        bad_words_ids: Sequences of tokens that never come.
        suppress_tokens: Tokens that never come.
        begin_suppress_tokens: Tokens that never come first.
        forced_bos_token_id: The token after a decoder's start.
        forced_eos_token_id: The last token where a text does not end before its limit.
        renormalize_logits: Whether scores are made logarithms of probabilities again at the end.
        eos_token_id: The token, or tokens, after which a text has ended. None: none.
        pad_token_id: What stands after the end. None: the first of `eos_token_id`, or 0.
        decoder_start_token_id: What a decoder behind an encoder starts with. None: the model's.
        stop_strings: Texts at which a text ends.
        seed: Of the draws. Rows of one seed and one prompt come out the same.
        output_scores: Whether the scores that each token was chosen by are returned.
        output_logits: Whether the model's logits are returned.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    num_beams: int = 1
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    penalty_alpha: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    renormalize_logits: bool = False
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    stop_strings: tuple[str, ...] = ()
    seed: int = 0
    output_scores: bool = False
    output_logits: bool = False

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "max_new_tokens", "max_length", "num_beams", "num_beam_groups")
        checks.at_least(self, 1, "num_return_sequences")
        checks.at_least(self, 0, "min_new_tokens", "min_length", "top_k", "no_repeat_ngram_size")
        checks.at_least(self, 0, "diversity_penalty", "penalty_alpha", "min_p")
        checks.at_least(self, 0, "pad_token_id", "decoder_start_token_id", "forced_bos_token_id")
        checks.above(self, 0, "temperature", "top_p", "typical_p", "repetition_penalty")
        for name in ("top_p", "typical_p", "min_p", "penalty_alpha"):
            if (getattr(self, name) or 0.0) > 1:
                raise UserError(f"{name} must be at most 1. {_received(self, name)}")
        for name in ("suppress_tokens", "begin_suppress_tokens", "stop_strings", "bad_words_ids"):
            object.__setattr__(self, name, _tuples(getattr(self, name)))
        for name in ("eos_token_id", "forced_eos_token_id"):
            object.__setattr__(self, name, _tuples(getattr(self, name)))
        if not all(self.bad_words_ids) or not all(self.stop_strings):
            raise UserError(
                f"bad_words_ids and stop_strings must not hold an empty one. Received: "
                f"bad_words_ids={self.bad_words_ids}, stop_strings={self.stop_strings}."
            )
        if self.early_stopping not in (True, False, "never"):
            raise UserError(
                f"early_stopping must be true, false or 'never'. "
                f"{_received(self, 'early_stopping')}"
            )
        _check_together(self)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return _ids(self.eos_token_id)

    @property
    def forced_eos_ids(self) -> tuple[int, ...]:
        """The tokens of which one is the last where a text does not end before its limit."""
        return _ids(self.forced_eos_token_id)

    @property
    def pad_id(self) -> int:
        """What stands after the end of a text."""
        return self.pad_token_id if self.pad_token_id is not None else (*self.eos_ids, 0)[0]


def of_generation_config(values: Mapping[str, Any]) -> DecodingConfig:
    """The config that a generation_config.json says. Its null values mean the defaults.

    Raises:
        UserError: for a key that is not known or would change what is written in a way that is not
            supported, and for a value that is none of its field's.
    """
    given = {key: value for key, value in values.items() if value is not None}
    for name in [name for name in given if name in _IGNORED]:
        del given[name]
    for name, allowed in _WITHOUT_EFFECT.items():
        if given.pop(name, allowed[0]) not in allowed:
            raise UserError(
                f"generation_config.json asks for {name}, which is not supported: remove it, or "
                f"set it to {allowed[0]}. Received: {name}={values[name]!r}."
            )
    return core_config.from_dict(DecodingConfig, given)


def to_generation_config(config: DecodingConfig) -> dict[str, Any]:
    """What generation_config.json holds for a config: the values that are no defaults."""
    plain = core_config.to_dict(config)
    defaults = core_config.to_dict(DecodingConfig())
    return {name: value for name, value in plain.items() if value != defaults[name]}


def completed(config: DecodingConfig, model_config: Any) -> DecodingConfig:
    """The config with the ids of end, padding and start that a model's config says, where it is
    silent itself.
    """
    names = {"eos_token_id": "eos_id", "pad_token_id": "pad_id"}
    names["decoder_start_token_id"] = "decoder_start_id"
    missing = {
        ours: getattr(model_config, theirs, None)
        for ours, theirs in names.items()
        if getattr(config, ours) is None
    }
    return dataclasses.replace(config, **missing)


def requests(config: DecodingConfig, rows: Any, **given: Any) -> dict[str, tf.Tensor]:
    """A vector for everything that a request may set, with the config's values where not given.

    `max_new_tokens` is left out where neither it nor the config's is given but `max_length` is:
    then it depends on each row's prompt.

    Args:
        config: The defaults.
        rows: Number of rows, b: an int or an int32 tensor.
        **given: Values for all rows, or `(b,)` vectors.

    Raises:
        UserError: for a name that no request may set.
    """
    check_names(given)
    found = {}
    for name in NEUTRAL:
        value = given.get(name, default(config, name))
        if value is not None:
            value = tf.cast(tf.convert_to_tensor(value), DTYPES[name])
            found[name] = tf.broadcast_to(value, tf.reshape(rows, [1]))
    return found


def default(config: DecodingConfig, name: str) -> Any:
    """What the config says for a parameter of requests; None where that depends on the prompt."""
    value = getattr(config, name)
    if name == "max_new_tokens" and value is None and config.max_length is None:
        return NEW_TOKENS
    if name == "min_new_tokens" and value is None and config.min_length > 0:
        return None
    return NEUTRAL[name] if value is None else value


def check_names(given: Mapping[str, Any]) -> None:
    """Refuses a name that no request may set.

    Raises:
        UserError: naming it and the nearest one that is.
    """
    for name in given:
        if name not in NEUTRAL:
            raise UserError(core_config.unknown_name("parameter of a request", name, NEUTRAL))


# Of the vectors of requests.
DTYPES = {
    name: {bool: tf.bool, float: tf.float32}.get(type(value), tf.int32)
    for name, value in NEUTRAL.items()
}


def _check_together(config: DecodingConfig) -> None:
    """Refuses what contradicts itself."""
    beams, groups, returned = config.num_beams, config.num_beam_groups, config.num_return_sequences
    contrastive = (config.penalty_alpha or 0.0) > 0
    forced = {config.forced_bos_token_id, *config.forced_eos_ids} - {None}
    for wrong, message, names in (
        (
            config.min_new_tokens and (config.max_new_tokens or 1e9) < config.min_new_tokens,
            "min_new_tokens must not be above max_new_tokens",
            ("min_new_tokens", "max_new_tokens"),
        ),
        (
            returned > max(beams, 1) and (beams > 1 or contrastive),
            "num_return_sequences must not be above num_beams",
            ("num_return_sequences", "num_beams"),
        ),
        (
            returned > 1 and beams == 1 and not config.do_sample and not contrastive,
            "Several sequences need do_sample or beams",
            ("num_return_sequences", "do_sample", "num_beams"),
        ),
        (
            beams % groups,
            "num_beam_groups must divide num_beams",
            ("num_beam_groups", "num_beams"),
        ),
        (
            (groups > 1) != (config.diversity_penalty > 0) or (groups > 1 and config.do_sample),
            "Groups of beams need a diversity_penalty above 0, it needs groups, and nothing is "
            "drawn in them",
            ("num_beam_groups", "diversity_penalty", "do_sample"),
        ),
        (
            contrastive and (beams > 1 or config.do_sample or config.top_k < 2),
            "Contrastive search (penalty_alpha) takes one beam, no do_sample and a top_k above 1",
            ("penalty_alpha", "num_beams", "do_sample", "top_k"),
        ),
        (
            forced & set(config.suppress_tokens),
            "A token must not be forced and suppressed",
            ("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens"),
        ),
    ):
        if wrong:
            raise UserError(f"{message}. {_received(config, *names)}")


def _received(config: DecodingConfig, *names: str) -> str:
    return f"Received: {', '.join(f'{name}={getattr(config, name)!r}' for name in names)}."


def _ids(value: Any) -> tuple[int, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
