"""What is known of a published checkpoint, each fact with its source."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Card:
    """One published checkpoint.

    Attributes:
        source: Where it is published, for instance `hf:google-bert/bert-base-uncased`.
        licence: SPDX name of its licence, as its publisher states it.
        variant: Name of the variant of the architecture whose sizes it has.
        parameters: Number of parameters without a task head.
        tokenizer: What its tokenizer does to case: `uncased` or `cased`.
        score: A published result, with the table or page it is printed in.
    """

    source: str
    licence: str
    variant: str
    parameters: int
    tokenizer: str
    score: str = ""
