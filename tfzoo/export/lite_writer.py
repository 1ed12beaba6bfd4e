"""Writes token after token with a TFLite file `decode.*.tflite`; TensorFlow is not imported.

    prompt ─► prefill | encode ─► caches ─► decode ─► logits ─► token ─┐
                                    ▲         └► caches ───────────────┤
                                    └─────────────────────────────────┘

What texts begin and end with stands in generation_config.json beside the file, in transformers'
names. `tfzoo.export.lite_generation` says what the signatures are.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.export.lite_interpreter import LiteModel

CONFIG = "generation_config.json"


class LiteWriter:
    """A loaded file that writes. Not for several threads at once.

    Args:
        file: The file.
        threads: Threads of one step.
        config: What generation_config.json holds; None reads the one beside the file.

    Attributes:
        model: The loaded file.
        prompt_length: How many tokens a prompt may have.
        cache_length: How many tokens there is room for; of a decoder, those of the prompt too.

    Raises:
        UserError: when the file is missing, damaged, or none that is driven from outside.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | LiteModel,
        threads: int = 1,
        config: Mapping[str, Any] | None = None,
    ):
        self.model = file if isinstance(file, LiteModel) else LiteModel(file, threads)
        found = self.model.inputs.keys() & {"prefill", "encode"}
        if len(found) != 1 or "decode" not in self.model.inputs:
            raise UserError(
                f"the file does not write token after token. Expected signatures decode, and "
                f"prefill or encode. Received: {sorted(self.model.inputs)}."
            )
        (self._first,) = found
        self._shapes = self.model.shapes["decode"]
        self.prompt_length = self.model.shapes[self._first]["token_ids"][1]
        self.cache_length = self._shapes["key_0"][2]
        if config is None:
            path = self.model.path.with_name(CONFIG)
            config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self._config = config

    def generate(self, token_ids: Sequence[int], **options: Any) -> list[int]:
        """What `stream` gives, all at once."""
        return [*self.stream(token_ids, **options)]

    def stream(
        self,
        token_ids: Sequence[int],
        max_new_tokens: int | None = None,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[int]:
        """Writes after a prompt.

        Args:
            token_ids: The prompt; with an encoder, what it reads.
            max_new_tokens: How many tokens are written at most. None: as many as there is room for.
            do_sample: Whether tokens are drawn; otherwise the most likely are taken.
            temperature: What logits are divided by before a draw, above 0.
            top_k: Of how many of the most likely tokens one is drawn; 0: of all.
            top_p: The share of the probability that the most likely tokens must have to be drawn
                from.
            seed: Of the draws.

        Yields:
            Token after token, the end's included.

        Raises:
            UserError: for a prompt that is empty or longer than `prompt_length`, and for values
                out of range.
        """
        prompt = np.asarray(token_ids, np.int32).reshape(-1)
        self._check(len(prompt), max_new_tokens, temperature, top_k, top_p)
        token, position, state = self._begin(prompt)
        room = self.cache_length - position - 1
        count = room if max_new_tokens is None else min(max_new_tokens, room)
        random = np.random.default_rng(seed)
        ends, forced = _ids(self._config.get("eos_token_id")), self._forced(position, count)
        for written in range(count):
            logits_v = self._step(token, position + written, state)
            if do_sample:
                token = drawn(logits_v, temperature, top_k, top_p, random)
            else:
                token = int(logits_v.argmax())
            token = forced.get(written, token)
            yield token
            if token in ends:
                return

    def run(self, signature: str, /, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """As `LiteModel.run`, and `generate` as of a file with the loop inside."""
        if signature != "generate":
            return self.model.run(signature, **inputs)
        prompt = inputs["token_ids"][0, : int(inputs["lengths"][0])]
        found = self.generate(prompt.tolist(), max_new_tokens=int(inputs["max_new_tokens"][0]))
        return {"token_ids": np.array([found], np.int32), "lengths": np.array([len(found)])}

    def _begin(self, prompt: np.ndarray) -> tuple[int, int, dict[str, np.ndarray]]:
        """The first token that `decode` reads, its position, and the caches before it."""
        ids = np.zeros([1, self.prompt_length], np.int32)
        ids[0, : len(prompt)] = prompt
        if self._first == "prefill":
            return int(prompt[-1]), len(prompt) - 1, self.model.run("prefill", token_ids=ids)
        lengths = np.array([len(prompt)], np.int32)
        state = self.model.run("encode", token_ids=ids, lengths=lengths)
        for name in self._shapes.keys() - state.keys() - {"token_id", "position"}:
            state[name] = np.zeros(self._shapes[name], np.float32)
        return int(self._config.get("decoder_start_token_id", 0)), 0, state

    def _step(self, token: int, position: int, state: dict[str, np.ndarray]) -> np.ndarray:
        """Reads a token: `(v,)` logits of the next one. The caches in `state` become the new."""
        first = {"token_id": np.array([token], np.int32)}
        first["position"] = np.array([position], np.int32)
        answer = self.model.run("decode", **first, **state)
        logits: np.ndarray = answer.pop("logits")[0]
        state.update(answer)
        return logits

    def _forced(self, position: int, count: int) -> dict[int, int]:
        """Which tokens are what whatever the logits are, by the number written before them."""
        found = {}
        begin, ends = (self._config.get(f"forced_{end}_token_id") for end in ("bos", "eos"))
        if begin is not None and not position:
            found[0] = begin
        if ends is not None:
            found[count - 1] = _ids(ends)[0]
        return found

    def _check(
        self, length: int, new: int | None, temperature: float, top_k: int, top_p: float
    ) -> None:
        if not 1 <= length <= self.prompt_length:
            raise UserError(
                f"a prompt has from 1 to {self.prompt_length} tokens; export with a larger "
                f"prompt_length for longer ones. Received: {length} tokens."
            )
        if (new is not None and new < 1) or temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
            raise UserError(
                "max_new_tokens is at least 1, temperature above 0, top_k not below 0, and top_p "
                f"above 0 and at most 1. Received: max_new_tokens={new}, "
                f"temperature={temperature}, top_k={top_k}, top_p={top_p}."
            )


def drawn(
    logits_v: np.ndarray, temperature: float, top_k: int, top_p: float, random: np.random.Generator
) -> int:
    """Draws a token: scores divided by the temperature, the best `top_k` of them, and of those the
    fewest that have `top_p` of the probability (Holtzman et al. 2019, section 3.1).
    """
    order_v = np.argsort(-logits_v, kind="stable")[: top_k or None]
    scores_n = logits_v[order_v].astype(np.float64) / temperature
    chances_n = np.exp(scores_n - scores_n[0])
    chances_n /= chances_n.sum()
    chances_n[np.cumsum(chances_n) - chances_n >= top_p] = 0
    return int(random.choice(order_v, p=chances_n / chances_n.sum()))


def opened(file: str | os.PathLike[str], threads: int = 1) -> Any:
    """The `run` of a file: of one that is driven from outside with `generate`, of others as is."""
    model = LiteModel(file, threads)
    return LiteWriter(model).run if "decode" in model.inputs else model.run


def _ids(value: Any) -> tuple[int, ...]:
    """A token, several, or none."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)
