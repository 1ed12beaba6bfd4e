r"""Classification without training: the label whose words a language model finds likeliest.

Source: Brown et al. 2020 (GPT-3), section 2.4, https://arxiv.org/abs/2005.14165: examples in the
prompt, and one answer of several by its likelihood, by the token or not. Zhao et al. 2021, section
5, https://arxiv.org/abs/2102.09690, and Holtzman et al. 2021, section 3,
https://arxiv.org/abs/2104.08315: what a label is worth before the text is read, taken off.

    template  Review: {text}\nSentiment: {label}
    prompt    Review: dull\nSentiment: bad\n\nReview: a film to remember\nSentiment: ─► good | bad
              └─── an example (a shot) ────┘  └─────────── the text ───────────────┘    the labels

Easy to get wrong: the words of a label begin with the space before them, for most tokenizers; that
is why prompt and label are tokenized as one.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.data.tables import Table
from tfzoo.metrics import classification as metrics
from tfzoo.tasks import scoring

Normalize = Literal["none", "tokens", "calibration", "pmi"]
NORMALIZE = ("none", "tokens", "calibration", "pmi")

_FIELD = re.compile(r"\{(\w+)\}")
_BETWEEN = "\n\n"  # examples
_NO_CONTENT = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5


class ZeroShot:
    """Answers as `tfzoo.tasks.classification.Classification` does.

    Args:
        task: A language model, or an encoder-decoder, which has the prompt as its source and the
            label as its target.
        template: What a text becomes, with the fields {text}, {pair} where there are two texts, and
            {label} behind them.
        labels: The classes, and the words that stand for each where those are not its name.
        examples: Labelled texts that may stand in the prompt, before the text.
        shots: How many of them do, as many of each class as there can be. None: all.
        seed: Decides which, and their order.
        normalize: What is compared: the log-likelihood of the label's tokens, `none`, which favours
            short ones; its mean by the token, `tokens`; or how much it gains by the text:
            `calibration` takes off what the label is worth when the text says nothing ("N/A",
            "[MASK]" and no text at all, on average), `pmi` what it is worth after the words before
            {label} alone.

    Attributes:
        labels: Names of the classes, in the order of the logits.
        pairs: Whether an input is two texts.
        examples: What stands in front of every prompt.

    Raises:
        UserError: for a task that scores no texts, a template without its fields, fewer than two
            labels, examples that are too few or too long for the model, or an unknown `normalize`.
    """

    name: ClassVar[str] = "zero_shot"

    def __init__(
        self,
        task: Any,
        template: str,
        labels: Sequence[str] | Mapping[str, str],
        examples: Table | None = None,
        shots: int | None = None,
        seed: int = 1,
        normalize: Normalize = "none",
    ):
        if not hasattr(task, "score"):
            raise UserError(
                "Labels are scored by a language model or an encoder-decoder. "
                f"Received: a model whose task is {task.name}."
            )
        if normalize not in NORMALIZE:
            raise UserError(unknown_name("way to normalize", str(normalize), NORMALIZE))
        self.task = task
        self.labels = tuple(labels)
        self._words = tuple(labels.values()) if isinstance(labels, Mapping) else self.labels
        _check_labels(labels, self.labels, self._words)
        self._before, self._after = _parsed(template)
        self.pairs = "pair" in self._before[1::2]
        self._normalize = normalize
        self.examples = self._shown(examples, shots, seed)
        self._prior_c = self._prior()

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        batch_size: int = 32,
        progress: bool = False,
    ) -> dict[str, np.ndarray]:
        """Answers texts of any number.

        Args:
            texts: The texts.
            pairs: The second text of each, where the template has {pair}.
            batch_size: How many prompts with a label go through the model at once.
            progress: Whether to show a progress bar.

        Returns:
            `label` `(n,)`, `score` `(n,)`, `labels` `(n, c)` and `scores` `(n, c)`, as of a
            classifier; `logits` `(n, c)`, what is compared; and `log_likelihood` `(n, c)`.

        Raises:
            UserError: when pairs are missing, superfluous, or fewer than texts; for a prompt that
                is blank, or too long for an encoder.
        """
        columns = scoring.checked(self.task, texts, pairs)
        if (pairs is not None) != self.pairs:
            wanted = "two texts" if self.pairs else "one text"
            raise UserError(f"This template takes {wanted} for each input.")
        prompts = [self.prompt(*row) for row in zip(*columns, strict=True)]
        log_nc, per_token_nc = self._likelihood(prompts, batch_size, progress)
        logits_nc = (per_token_nc if self._normalize == "tokens" else log_nc) - self._prior_c
        scores_nc = np.exp(_log_softmax(logits_nc))
        names_c = np.array([name.encode("utf-8", "surrogatepass") for name in self.labels], object)
        best_n = logits_nc.argmax(-1)
        return {
            "label": names_c[best_n],
            "score": scores_nc[np.arange(len(best_n)), best_n].astype("float32"),
            "labels": np.tile(names_c, (len(best_n), 1)),
            "scores": scores_nc.astype("float32"),
            "logits": logits_nc.astype("float32"),
            "log_likelihood": log_nc.astype("float32"),
        }

    def evaluate(
        self, table: Table, batch_size: int = 32, progress: bool = False
    ) -> metrics.Report:
        """Scores the model on a table.

        Raises:
            UserError: for a label that is not among those to choose from, with file and line.
        """
        true = table.label_ids(self.labels)
        answer = self.predict(table.texts, table.pairs, batch_size, progress)
        return metrics.report(np.asarray(true), answer["logits"].argmax(-1), self.labels)

    def prompt(self, text: str, pair: str | None = None) -> str:
        """What the model reads before a label."""
        return self.examples + self._filled(text, pair)

    def _filled(self, text: str, pair: str | None) -> str:
        fields = {"text": text, "pair": pair or ""}
        parts = enumerate(self._before)
        return "".join(fields[part] if i % 2 else part for i, part in parts)

    def _shown(self, examples: Table | None, shots: int | None, seed: int) -> str:
        """The examples of the prompt."""
        found = 0 if examples is None else len(examples)
        shots = found if shots is None else shots
        if not 0 <= shots <= found:
            raise UserError(
                f"shots must be from 0 to the number of examples. Received: shots={shots}, "
                f"{found} examples."
            )
        if examples is None or not shots:
            return ""
        if (examples.pairs is not None) != self.pairs:
            wanted = "two texts" if self.pairs else "one text"
            raise UserError(f"The examples must have {wanted} a row. Received: {examples.path}.")
        ids = examples.label_ids(self.labels)
        shown = []
        for row in _in_turns(ids, seed)[:shots]:
            pair = examples.pairs[row] if examples.pairs else None
            filled = self._filled(examples.texts[row], pair)
            shown.append(filled + self._words[ids[row]] + self._after + _BETWEEN)
        text = "".join(shown)
        self._check_length(text, f"shots={shots}")
        return text

    def _prior(self) -> np.ndarray:
        """The logarithm of what each label is worth without a text, `(c,)`, or zeros."""
        if self._normalize == "calibration":
            prompts = [self.prompt(text, text) for text in _NO_CONTENT]
            prompts = [prompt for prompt in prompts if prompt.strip()]
        elif self._normalize == "pmi":
            prompts = [self._before[-1]]
            if not prompts[0].strip():
                raise UserError(
                    "normalize=pmi needs words between the text and {label} in the template. "
                    f"Received: {prompts[0]!r}."
                )
        else:
            return np.zeros(len(self.labels))
        log_kc = _log_softmax(self._likelihood(prompts, 32, False)[0])
        return np.logaddexp.reduce(log_kc, 0) - np.log(len(prompts))

    def _likelihood(
        self, prompts: list[str], batch_size: int, progress: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The log-likelihood of every label after every prompt, `(n, c)`, and that by the token."""
        blank = [i for i, prompt in enumerate(prompts) if not prompt.strip()]
        if blank:
            raise UserError(f"Text {blank[0]} is blank. Expected something to choose a label by.")
        follows = [words + self._after for words in self._words]
        if self.task.name == "sequence_to_sequence":
            prompts, follows = [p.rstrip() for p in prompts], [f.strip() for f in follows]
            for i, prompt in enumerate(prompts):
                self._check_length(prompt, f"the prompt of text {i}")
        found = self.task.score(
            [prompt for prompt in prompts for _ in follows],
            follows * len(prompts),
            batch_size=batch_size,
            progress=progress,
        )
        log_nc = found["log_likelihood"].reshape(-1, len(follows))
        tokens_nc = found["num_tokens"].reshape(-1, len(follows))
        return log_nc, log_nc / np.maximum(tokens_nc, 1)

    def _check_length(self, text: str, what: str) -> None:
        tokenizer, most = self.task.tokenizer, self.task.max_length
        count = int(tokenizer.tokenize([text]).row_lengths()[0]) + tokenizer.frame.count(False)
        if count > most:
            raise UserError(
                f"The prompt is longer than the {most} tokens that the model reads at once. Show "
                f"fewer or shorter examples. Received: {count} tokens for {what}."
            )


def _parsed(template: str) -> tuple[list[str], str]:
    """What stands before {label}, literal words and names of fields in turns, and behind it.

    Raises:
        UserError: for an unknown field, no {text}, or no {label} behind everything else.
    """
    parts = _FIELD.split(template)
    names = parts[1::2]
    for name in names:
        if name not in ("text", "pair", "label"):
            raise UserError(unknown_name("field of a template", name, ("text", "pair", "label")))
    if "text" not in names or names.count("label") != 1 or names[-1] != "label":
        raise UserError(
            "A template needs {text}, and {label} once, behind it, such as "
            f"'Review: {{text}} Sentiment: {{label}}'. Received: {template!r}."
        )
    return parts[:-2], parts[-1]


def _check_labels(given: Any, labels: tuple[str, ...], words: tuple[str, ...]) -> None:
    wrong = isinstance(given, str) or any(
        not isinstance(text, str) or not text.strip() for text in labels + words
    )
    if wrong or len(labels) < 2 or len(set(labels)) < len(labels) or len(set(words)) < len(words):
        raise UserError(f"labels must be two or more different names. Received: {given!r}.")


def _in_turns(label_ids: Sequence[int], seed: int) -> list[int]:
    """All rows as if by chance, first one of each class, then a second of each, and so on."""

    def chance(row: int) -> bytes:
        return hashlib.blake2b(f"{seed} {row}".encode(), digest_size=8).digest()

    seen = dict.fromkeys(label_ids, 0)
    turns = []
    for row in sorted(range(len(label_ids)), key=chance):
        turns.append((seen[label_ids[row]], row))
        seen[label_ids[row]] += 1
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])]


def _log_softmax(x_nc: np.ndarray) -> np.ndarray:
    return x_nc - np.logaddexp.reduce(x_nc, -1, keepdims=True)
