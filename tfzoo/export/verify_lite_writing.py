"""Verifies a TFLite file that writes: greedily, it writes what the live model does.

    prompts ─► live model, one at a time, without padding ─────────────────────────┐
           └─► the file in LiteRT, driven by `lite_writer` or with its own loop ───┴─► compare

In float32 the texts are the same, but for near ties as in `verify_generation`. In fewer bits texts
part sooner or later, and what follows is another text; so what counts is the share of tokens that
are the same, of each text up to the first that is not.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.export import lite_generation, trial, warm_up
from tfzoo.export.lite_interpreter import LiteModel
from tfzoo.export.report import Check
from tfzoo.export.verify import runtime_check
from tfzoo.export.verify_generation import TIE, Tally, Written, prompts
from tfzoo.tasks import generation

_NEW_TOKENS = 12
# A choice is clear when the best logit leads by this share of its distance to the mean one.
_CLEAR = 0.1


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the live model writes after a prompt.

    Attributes:
        written: Its tokens, and how far each is from a near tie.
        clear_t: Of each token whether the choice was clear.
    """

    written: Written
    clear_t: np.ndarray


def checks(
    file: pathlib.Path, precision: str, task: Any, least_clear: float
) -> tuple[list[Check], dict[str, Any]]:
    """Makes the checks of one file, and says what was measured.

    Args:
        file: The file.
        precision: Of its weights.
        task: The live model.
        least_clear: Share of the clear choices that must be the same where `precision` is not
            float32.
    """
    sizes = _sizes(file)
    truths = _live(task, sizes)
    tally, shares = Tally(), Shares()
    new_tokens = _new_tokens(task, sizes)
    requests = [_request(truth.written.prompt.token_ids, sizes, new_tokens) for truth in truths]

    def visit(number: int, answer: trial.Answer) -> None:
        tally.add([truths[number].written], answer)
        shares.add(truths[number], answer)

    try:
        facts = trial.run(file, requests, requests[0], visit)
    except trial.TrialError as error:
        return [Check("runs in LiteRT", False, str(error), "loaded and asked")], {}
    measured = {key: facts[key] for key in ("runtime", "milliseconds")}
    measured |= {"texts": len(truths), "prompt_length": sizes.prompt, "cache_length": sizes.cache}
    if facts["milliseconds"] is not None:
        steps = len(truths[0].written.ids[0])
        measured["milliseconds_per_token"] = facts["milliseconds"] / steps
    if precision == "float32":
        return [tally.check("generate, alone"), runtime_check(facts)], measured
    found = {"clear_token": shares.clear(), "token": shares.all()}
    return [shares.check(least_clear), runtime_check(facts)], {**measured, "agreement": found}


@dataclasses.dataclass
class Shares:
    """Counts tokens that are the live model's, of each text up to the first that is not.

    Attributes:
        same: Whether each was the same.
        is_clear: Whether the live model's choice was clear.
        wrong: What was wrong where there was no answer.
    """

    same: list[bool] = dataclasses.field(default_factory=list)
    is_clear: list[bool] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, truth: Truth, answer: trial.Answer) -> None:
        """Compares one answer."""
        if isinstance(answer, str):
            self.wrong.append(answer)
            return
        got = answer["token_ids"][0, : int(answer["lengths"][0])].tolist()
        (wanted,) = truth.written.ids
        for place, token in enumerate(wanted):
            self.same.append(got[place : place + 1] == [token])
            self.is_clear.append(bool(truth.clear_t[place]))
            if not self.same[-1]:
                return
        if len(got) > len(wanted):
            self.wrong.append(f"{len(got)} tokens instead of {len(wanted)}")

    def all(self) -> float:
        """The share of all tokens."""
        return float(np.mean(self.same)) if self.same else 0.0

    def clear(self) -> float:
        """The share of those that were clear; of all where none was."""
        chosen = [same for same, clear in zip(self.same, self.is_clear, strict=True) if clear]
        return float(np.mean(chosen)) if chosen else self.all()

    def check(self, least_clear: float) -> Check:
        """The check that enough of the clear ones are."""
        measured = f"the same for {self.clear():.1%} of {sum(self.is_clear)} clear choices (for "
        measured += f"{self.all():.1%} of all {len(self.same)})"
        measured = f"{len(self.wrong)} wrong, such as {self.wrong[0]}" if self.wrong else measured
        return Check(
            "tokens, up to where texts part",
            not self.wrong and self.clear() >= least_clear,
            measured,
            f"the same for at least {least_clear:.0%} of clear choices",
        )


def _sizes(file: pathlib.Path) -> lite_generation.Sizes:
    """The sizes of a file; one with the loop inside has a result as long as its caches, less 1."""
    model = LiteModel(file)
    if "generate" in model.inputs:
        prompt = model.shapes["generate"]["token_ids"][1]
        return lite_generation.Sizes(prompt, model.outputs["generate"]["token_ids"][1] + 1)
    first = next(name for name in model.inputs if name != "decode")
    prompt = model.shapes[first]["token_ids"][1]
    return lite_generation.Sizes(prompt, model.shapes["decode"]["key_0"][2])


def _live(task: Any, sizes: lite_generation.Sizes) -> list[Truth]:
    """Asks the live model for one prompt at a time."""
    config = dataclasses.replace(lite_generation.plain(task), output_scores=True)
    new_n = tf.constant([_new_tokens(task, sizes)])

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32)], autograph=False)
    def write(ids: tf.Tensor) -> Any:
        found = generation.written(task, config, ids, None, {"max_new_tokens": new_n})
        return {name: part[0, 0] for name, part in found.items()}

    truths = []
    for prompt in prompts(task):
        ids = prompt.token_ids[: sizes.prompt]
        if not len(ids):
            continue
        found = {name: part.numpy() for name, part in write(ids[None]).items()}
        count = int(found["lengths"])
        best_tv = np.sort(found["step_scores"][:count], 1)
        gap_t, mean_t = best_tv[:, -1] - best_tv[:, -2], _mean(best_tv)
        clear_t = gap_t > _CLEAR * (best_tv[:, -1] - mean_t)
        written = Written(
            dataclasses.replace(prompt, token_ids=ids),
            None,
            np.array(b""),
            [found["token_ids"][:count].tolist()],
            gap_t[None] / TIE,
            None,
            None,
        )
        truths.append(Truth(written, clear_t))
    return truths


def _mean(scores_tv: np.ndarray) -> np.ndarray:
    """The mean of what is finite."""
    is_finite_tv = np.isfinite(scores_tv)
    total_t = np.where(is_finite_tv, scores_tv, 0).sum(1)
    means_t: np.ndarray = total_t / np.maximum(is_finite_tv.sum(1), 1)
    return means_t


def _new_tokens(task: Any, sizes: lite_generation.Sizes) -> int:
    """As many as there is room for after every prompt."""
    before = sizes.prompt if generation.is_decoder(task) else 1
    return min(_NEW_TOKENS, sizes.cache - before)


def _request(ids: np.ndarray, sizes: lite_generation.Sizes, new_tokens: int) -> warm_up.Request:
    token_ids = np.zeros([1, sizes.prompt], np.int32)
    token_ids[0, : len(ids)] = ids
    lengths, new = np.array([len(ids)], np.int32), np.array([new_tokens], np.int32)
    inputs = {"token_ids": token_ids, "lengths": lengths, "max_new_tokens": new}
    return warm_up.Request("generate", inputs)
