"""Tokenized documents in memory: what the objectives of pretraining cut their examples from.

    token_ids        7 12 9 | 4 4 | 31 8 | 5 ...       one int32 a token
    sentence_starts  0        3     5      7 ...       where each sentence begins
    document_starts  0              2        ...       with which sentence each document begins

Everything is reached by number, so that an example is a function of its number and nothing else.
The arrays take 4 bytes a token and 8 a sentence: a billion tokens are 4 GB on each host.
"""

import dataclasses
import hashlib

import numpy as np

from tfzoo.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Documents:
    """Documents made of sentences made of tokens, without special tokens.

    Attributes:
        token_ids: `(n,)` int32, all tokens in order.
        sentence_starts: `(s + 1,)` int64, the first token of each sentence, and n.
        document_starts: `(d + 1,)` int64, the first sentence of each document, and s.
        characters: How many characters the texts had, for losses by the character.

    Raises:
        UserError: when there is no token, or the starts do not rise from 0 to their end.
    """

    token_ids: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray
    characters: int

    def __post_init__(self) -> None:
        if not len(self.token_ids):
            raise UserError("The documents hold no tokens. Expected texts to train on.")
        for starts, count in (
            (self.sentence_starts, len(self.token_ids)),
            (self.document_starts, len(self.sentence_starts) - 1),
        ):
            if starts[0] != 0 or starts[-1] != count or (np.diff(starts) <= 0).any():
                raise UserError(
                    f"The starts of sentences and documents must rise from 0 to their end. "
                    f"Received: {starts[0]} to {starts[-1]} of {count}."
                )

    def __len__(self) -> int:
        return len(self.document_starts) - 1

    @property
    def token_starts(self) -> np.ndarray:
        """`(d + 1,)` int64: the first token of each document, and n."""
        starts: np.ndarray = self.sentence_starts[self.document_starts]
        return starts

    def fingerprint(self) -> str:
        """A digest of everything in them."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.token_ids, self.sentence_starts, self.document_starts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
