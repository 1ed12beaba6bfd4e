"""What `tfzoo prepare` is told: from which texts, how cleaned, into which shards."""

import dataclasses
import re
from typing import Literal

from tfzoo.core import checks
from tfzoo.core.errors import UserError

TRAIN, EVALUATION = "train", "evaluation"


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How raw texts become shards of tokenized documents.

    Attributes:
        inputs: Files, folders, patterns such as texts/*.txt, or data sets as tfds:NAME#SPLIT. Files
            that end in .jsonl or .ndjson hold one object a line, others plain text; both may end in
            .gz after that.
        tokenizer: The folder of a tokenizer of any kind.
        documents: What a document of plain text is: what stands between blank lines, a line, a
            file, or what begins with a heading.
        heading: A regular expression; a line that it matches from its start begins a document.
        text_key: Where the text stands in an object of JSON lines or an example of TFDS.
        normalization: A Unicode normalization form, or none.
        whitespace: collapse makes every run of it one space; keep leaves it as it is.
        sentences: rules cuts at full stops and their like; lines takes every line for a sentence;
            none makes every document one.
        min_characters: Documents with fewer, after cleaning, are dropped.
        evaluation_share: The share of documents that is held out; each one's hash decides.
        train_shards: Number of files of training documents.
        evaluation_shards: Number of files of documents held out.
        seed: Decides the order of the documents.

    Raises:
        UserError: for a value out of its range, or a heading that is missing or not needed.
    """

    inputs: tuple[str, ...]
    tokenizer: str
    documents: Literal["blank_lines", "line", "file", "heading"] = "blank_lines"
    heading: str | None = None
    text_key: str = "text"
    normalization: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "NFC"
    whitespace: Literal["collapse", "keep"] = "collapse"
    sentences: Literal["rules", "lines", "none"] = "rules"
    min_characters: int = 1
    evaluation_share: float = 0.01
    train_shards: int = 8
    evaluation_shards: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "min_characters", "train_shards", "evaluation_shards")
        if not 0 <= self.evaluation_share < 1:
            raise UserError(
                "evaluation_share must be from 0 to 1, 1 excluded. "
                f"Received: evaluation_share={self.evaluation_share}."
            )
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed must be from 0 to 2**63 - 1. Received: seed={self.seed}.")
        if (self.documents == "heading") != (self.heading is not None):
            raise UserError(
                "documents=heading goes with a regular expression, as in heading='= .* =$', and "
                f"heading with nothing else. Received: documents={self.documents!r}, "
                f"heading={self.heading!r}."
            )
        try:
            re.compile(self.heading or "")
        except re.error as error:
            raise UserError(
                f"heading must be a regular expression: {error}. Received: {self.heading!r}."
            ) from None

    def shards(self) -> dict[str, int]:
        """How many shards each split has."""
        counts = {TRAIN: self.train_shards}
        return counts | ({EVALUATION: self.evaluation_shards} if self.evaluation_share else {})
