"""Verifies what an export writes: its texts are the live model's, and its draws are fair.

    prompts ─► live model, one at a time, without padding ───────────────────────────┐
           └─► the export, alone and in batches of mixed lengths and parameters ─────┴─► compare

Two runtimes round differently. Where the two best tokens of a step are as good as equal, or a draw
falls on the border between two tokens, either is right, and all that follows may differ. Such near
ties are told from the live model's scores, counted, and few; nothing else may differ.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.decoding import config as decoding_config
from tfzoo.decoding import sampling
from tfzoo.export import golden, trial, warm_up
from tfzoo.export.report import Check
from tfzoo.tasks import generation
from tfzoo.tasks.task import Task

SIGNATURES = ("serving_default", "generate", "generate_ids")
# Two logits nearer than this are a near tie, and so is a draw that is as near to the border of
# another token, as a share of all probability.
TIE, BORDER = 1e-4, 1e-5
MOST_TIES = 0.04
SCORE = 1e-4  # the largest difference of a beam's score, relative where that is above 1
_NEW_TOKENS = 12
_BATCH_SIZE = 8
_LENGTHS = (80, 24)  # characters of prompts
_NUM_PROMPTS = 50
_DRAWS, _DRAWN_AT_ONCE, _BIN = 2048, 64, 0.05
_LEAST_CHANCE = 1e-5  # how unlikely draws may be

# What requests ask for, beside their own seed.
_GREEDY: dict[str, Any] = {**decoding_config.NEUTRAL, "max_new_tokens": _NEW_TOKENS, "seed": 0}
_WISHES: tuple[dict[str, Any], ...] = (
    {**_GREEDY, "do_sample": True, "temperature": 0.9, "top_k": 20},
    {**_GREEDY, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 3},
    {**_GREEDY, "do_sample": True, "top_p": 0.8, "max_new_tokens": 5},
    {**_GREEDY, "do_sample": True, "temperature": 1.5, "min_p": 0.1, "typical_p": 0.9},
)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What is continued or answered.

    Attributes:
        text: In UTF-8; empty without a tokenizer.
        token_ids: `(t,)` int32.
    """

    text: bytes
    token_ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Written:
    """What the live model writes after a prompt that comes alone.

    Attributes:
        prompt: The prompt.
        wish: The parameters of the request; None for the defaults.
        text: `()` bytes, or `(r,)`.
        ids: Of each text its tokens.
        margins: Of each token how far the choice was from another one, in units of a near tie.
        scores: Of beams, `()` or `(r,)`.
        first: The probabilities of the first token.
    """

    prompt: Prompt
    wish: dict[str, Any] | None
    text: np.ndarray
    ids: list[list[int]]
    margins: np.ndarray
    scores: np.ndarray | None
    first: np.ndarray | None


class Writing:
    """All requests, and what comes of them.

    Args:
        task: The live model, a task that writes text.

    Attributes:
        requests: What the export is asked.
    """

    def __init__(self, task: Task):
        config = task.decoding
        self._draws = config.num_beams == 1 and not config.penalty_alpha
        live = _Live(task)
        found = prompts(task)
        wished = [(prompt, _GREEDY) for prompt in found]
        if self._draws:
            wished += [
                (prompt, {**_WISHES[i % len(_WISHES)], "seed": i}) for i, prompt in enumerate(found)
            ]
        asked = [live(prompt, wish) for prompt, wish in wished]
        self._cases: list[tuple[str, tuple[Written, ...]]] = []
        if task.tokenizer is not None:
            self._add("serving_default", [live(prompt, None) for prompt in found], alone=True)
            self._add("generate", asked, alone=True)
        self._add("generate_ids", asked, alone=task.tokenizer is None)
        self.requests = [_request(name, rows, task.max_length) for name, rows in self._cases]
        self._tallies: dict[str, Tally] = {}
        self._chances = None
        self._drawn: list[int] = []
        if self._draws:
            drawn = live(found[0], {**_GREEDY, "do_sample": True, "max_new_tokens": 1})
            self._chances = drawn.first
            self.requests += _draw_requests(drawn)

    def _add(self, name: str, rows: Sequence[Written], alone: bool) -> None:
        if alone:
            self._cases += [(name, (row,)) for row in rows]
        count = -(-len(rows) // _BATCH_SIZE)
        self._cases += [(name, tuple(rows[i::count])) for i in range(count)]

    def visit(self, number: int, answer: trial.Answer) -> None:
        """Takes the answer to one of `requests`."""
        if number < len(self._cases):
            name, rows = self._cases[number]
            where = "alone" if len(rows) == 1 else "in batches"
            self._tallies.setdefault(f"{name}, {where}", Tally()).add(rows, answer)
        elif isinstance(answer, str):
            self._drawn.append(-1)
        else:
            self._drawn += answer["token_ids"].reshape(-1).tolist()

    def checks(self) -> list[Check]:
        """What was found, when everything was visited."""
        found = [tally.check(name) for name, tally in self._tallies.items()]
        if self._chances is not None:
            found.append(fairness(np.array(self._drawn), self._chances))
        return found


@dataclasses.dataclass
class Tally:
    """Counts how many texts are the live model's.

    Attributes:
        equal: Those that are.
        ties: Those that differ from a near tie on.
        wrong: What was wrong with the others.
        worst: The largest difference of a beam's score.
    """

    equal: int = 0
    ties: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    worst: float = 0.0

    def add(self, rows: Sequence[Written], answer: trial.Answer) -> None:
        """Compares the rows of one answer."""
        if isinstance(answer, str):
            self.wrong += [answer] * len(rows)
            return
        sizes = {name: len(array) for name, array in answer.items()}
        if set(sizes.values()) != {len(rows)}:
            self.wrong += [f"{sizes} rows instead of {len(rows)}"] * len(rows)
            return
        for number, row in enumerate(rows):
            got = {name: array[number] for name, array in answer.items()}
            verdict = _verdict(row, got)
            self.equal += verdict == "equal"
            self.ties += verdict == "tie"
            if verdict not in ("equal", "tie"):
                self.wrong.append(
                    f"after {row.prompt.text.decode(errors='replace')!r:.40} {verdict}"
                )
            if row.scores is not None and "scores" in got:
                gap = np.abs(got["scores"] - row.scores) / np.maximum(1, np.abs(row.scores))
                self.worst = max(self.worst, float(np.max(gap)))

    def check(self, name: str) -> Check:
        """The check that they all are, but for a few near ties."""
        count = self.equal + self.ties + len(self.wrong)
        few = self.ties <= max(1, MOST_TIES * count)
        passed = count > 0 and not self.wrong and few and self.worst <= SCORE
        measured = f"{self.equal} of {count} equal, {self.ties} differ from a near tie on"
        limit = f"equal, but for near ties (two logits within {TIE:.0e}) in {MOST_TIES:.0%}"
        if self.worst:
            measured += f", scores by {self.worst:.1e}"
            limit += f", scores within {SCORE:.0e}"
        if self.wrong:
            measured += f"; {len(self.wrong)} wrong, such as {self.wrong[0]}"
        return Check(f"texts of {name}", passed, measured, limit)


def prompts(task: Task) -> list[Prompt]:
    """Fifty prompts in many languages, from one character to eighty; random ids without texts."""
    if task.tokenizer is None:
        random = np.random.default_rng(0)
        lengths = [1 + i % min(24, task.max_length - 1) for i in range(_NUM_PROMPTS)]
        size = task.model.config.vocab_size
        return [Prompt(b"", random.integers(0, size, n, np.int32)) for n in lengths]
    texts = [_beginning(text, length) for length in _LENGTHS for text in golden.TEXTS]
    texts = [*dict.fromkeys(texts)][:_NUM_PROMPTS]

    @tf.function(input_signature=[tf.TensorSpec([1], tf.string)], autograph=False)
    def ids(text: tf.Tensor) -> tf.Tensor:
        return generation.prompts(task, text).flat_values

    return [Prompt(text, ids(tf.constant([text])).numpy()) for text in texts]


def fairness(drawn: np.ndarray, chances: np.ndarray) -> Check:
    """Pearson's chi-square test of drawn tokens against their probabilities.

    Args:
        drawn: `(n,)` tokens; negative ones could not be drawn.
        chances: `(v,)` probabilities.
    """
    order = np.argsort(-chances, kind="stable")
    before = np.cumsum(chances[order]) - chances[order]
    bins = np.zeros(len(chances), np.int64)
    bins[order] = np.unique((before / _BIN).astype(np.int64), return_inverse=True)[1]
    expected = np.bincount(bins, chances) * len(drawn)
    impossible = int((drawn < 0).sum() + (chances[np.maximum(drawn, 0)] == 0).sum())
    got = np.bincount(bins[np.maximum(drawn, 0)], minlength=len(expected))
    statistic = float(((got - expected) ** 2 / np.maximum(expected, 1e-9)).sum())
    freedom = len(expected) - 1
    likely = float(tf.math.igammac(max(freedom, 1) / 2, statistic / 2))
    chance = likely if freedom else 1.0
    return Check(
        "draws",
        not impossible and chance >= _LEAST_CHANCE,
        f"chi-square {statistic:.1f} of {freedom} degrees of freedom (chance {chance:.2g}) in "
        f"{len(drawn)} draws, {impossible} impossible",
        f"as the live model's probabilities have them (chance at least {_LEAST_CHANCE:.0e})",
    )


class _Live:
    """The live model, asked for one prompt at a time, without padding."""

    def __init__(self, task: Task):
        self._task = task
        config = task.decoding
        self._single = config.num_beams == 1 and not config.penalty_alpha
        self._config = dataclasses.replace(config, output_scores=self._single)
        row = tf.TensorSpec([1, None], tf.int32)
        vectors = [tf.TensorSpec([1], dtype) for dtype in decoding_config.DTYPES.values()]
        self._default = tf.function(self._write, input_signature=[row], autograph=False)
        self._asked = tf.function(self._write, input_signature=[row, *vectors], autograph=False)

    def __call__(self, prompt: Prompt, wish: dict[str, Any] | None) -> Written:
        ids = prompt.token_ids[None]
        if wish is None:
            found = self._default(ids)
        else:
            found = self._asked(ids, *_vectors([wish]).values())
        arrays = {name: tensor.numpy()[0] for name, tensor in found.items()}
        lengths = arrays["lengths"]
        one = self._config.num_return_sequences == 1
        scores = arrays.get("scores")
        return Written(
            prompt,
            wish,
            arrays.get("text", np.array(b"")),
            [row[:n].tolist() for row, n in zip(arrays["token_ids"], lengths, strict=True)],
            arrays["margins"] if self._single else np.zeros([len(lengths), 0]),
            scores if scores is None or not one else scores[0],
            arrays.get("first"),
        )

    def _write(self, ids: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        task, config = self._task, self._config
        lengths = tf.shape(ids)[1:2]
        requests = dict(zip(decoding_config.DTYPES, values, strict=True)) if values else {}
        ids, lengths, requests = generation.fitted(task, ids, lengths, requests)
        found = generation.written(task, config, ids, None, requests)
        answer = {name: found[name] for name in ("token_ids", "lengths", "scores") if name in found}
        if task.tokenizer is not None:
            prompt = tf.RaggedTensor.from_tensor(ids, lengths)
            answer["text"] = generation.texts(task, config, prompt, found)
        if self._single:
            answer["margins"] = _margins(config, requests, found["step_scores"])
            answer["first"] = tf.nn.softmax(found["step_scores"][:, 0, 0])
        return answer


def _margins(config: Any, requests: dict[str, tf.Tensor], scores_bntv: tf.Tensor) -> tf.Tensor:
    """How far each choice was from another one, as a multiple of what is a near tie."""
    best_bnt2 = tf.math.top_k(scores_bntv, 2).values
    gaps_bnt = (best_bnt2[..., 0] - best_bnt2[..., 1]) / TIE
    draws = requests.get("do_sample", tf.constant([config.do_sample]))
    seeds = requests.get("seed", tf.constant([config.seed]))
    steps_t = tf.range(tf.shape(scores_bntv)[2])
    copies_n1 = tf.range(tf.shape(scores_bntv)[1])[:, None]
    uniform_bnt1 = sampling.uniform(seeds[:, None, None], steps_t, copies_n1)[..., None]
    sums_bntv = tf.cumsum(tf.nn.softmax(scores_bntv), -1)
    borders_bnt = tf.reduce_min(tf.abs(sums_bntv - uniform_bnt1), -1) / BORDER
    return tf.where(draws[:, None, None], borders_bnt, gaps_bnt)


def _verdict(row: Written, got: dict[str, np.ndarray]) -> str:
    """`equal`, `tie`, or what is wrong."""
    if "token_ids" in got:
        wanted: Any = row.ids
        ids, lengths = np.atleast_2d(got["token_ids"]), np.atleast_1d(got["lengths"])
        found: Any = [text[:n].tolist() for text, n in zip(ids, lengths, strict=True)]
    else:
        wanted, found = np.atleast_1d(row.text).tolist(), np.atleast_1d(got["text"]).tolist()
    if row.scores is not None:
        gap = np.abs(np.atleast_1d(got["scores"]) - np.atleast_1d(row.scores))
        if not (gap <= SCORE * np.maximum(1, np.abs(row.scores))).all():
            came, meant = np.round(got["scores"], 4), np.round(row.scores, 4)
            return f"the scores are {came!s} instead of {meant!s}"
        # Beams of one score are a near tie, whichever of them is returned.
        return "equal" if found == wanted else "tie"
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if one == other:
            continue
        margins = row.margins[number][: len(row.ids[number])]
        if isinstance(one, list):  # then the step is known at which they part
            pairs = zip(one, other, strict=False)
            parted = next((i for i, (a, b) in enumerate(pairs) if a != b), len(other))
            margins = margins[parted : parted + 1]
        if not (margins <= 1).any():
            return f"comes {one!r:.60} instead of {other!r:.60}"
    return "equal" if found == wanted else "tie"


def _request(name: str, rows: Sequence[Written], max_length: int) -> warm_up.Request:
    inputs = {} if rows[0].wish is None else _vectors([row.wish or {} for row in rows])
    if name == "generate_ids":
        found = [row.prompt for row in rows]
        inputs["token_ids"] = golden.padded_ids(found, max_length)
        inputs["lengths"] = np.array([len(prompt.token_ids) for prompt in found], np.int32)
    else:
        text = np.empty(len(rows), object)
        text[:] = [row.prompt.text for row in rows]
        inputs["text"] = text
    return warm_up.Request(name, inputs)


def _draw_requests(drawn: Written) -> list[warm_up.Request]:
    rows = [
        dataclasses.replace(drawn, wish={**(drawn.wish or {}), "seed": seed})
        for seed in range(_DRAWS)
    ]
    parts = (rows[i : i + _DRAWN_AT_ONCE] for i in range(0, _DRAWS, _DRAWN_AT_ONCE))
    return [_request("generate_ids", part, len(drawn.prompt.token_ids)) for part in parts]


def _vectors(wishes: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {
        name: np.array([wish[name] for wish in wishes], dtype.as_numpy_dtype)
        for name, dtype in decoding_config.DTYPES.items()
    }


def _beginning(text: str | bytes, length: int) -> bytes:
    return text[:length] if isinstance(text, bytes) else text[:length].encode()
