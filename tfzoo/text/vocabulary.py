"""WordPiece vocabularies: what makes one valid, and how one is trained.

Training merges the most frequent pair of neighbouring pieces until the vocabulary is full, as
Hugging Face's WordPieceTrainer does (Google never published the trainer of BERT's vocabularies).
Easy to get wrong: the words to learn from must be cut exactly as the tokenizer will cut them, so
they go through the tokenizer's own normalizer.
"""

import collections
import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text import normalizer
from tfzoo.text.fast_ops import MAX_WORD_LENGTH, PREFIX, make_normalizer
from tfzoo.text.private_alphabet import WORD_ENDS, private_alphabet

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_Pair = tuple[int, int]
_BATCH = 1024


class Vocabulary:
    """A checked vocabulary.

    Args:
        tokens: The tokens in the order of their ids.
        special: The tokens that must be among them.

    Raises:
        UserError: for an empty, repeated or missing token.
    """

    def __init__(self, tokens: Sequence[str], special: Sequence[str]):
        self.tokens = tuple(tokens)
        self._ids: dict[str, int] = {}
        for number, token in enumerate(self.tokens):
            if not isinstance(token, str) or not token:
                raise UserError(
                    f"Tokens must be strings and not empty. Received: token {number}={token!r}."
                )
            if token in self._ids:
                raise UserError(
                    "Every token of a vocabulary must occur once. "
                    f"Received: {token!r} as tokens {self._ids[token]} and {number}."
                )
            self._ids[token] = number
        missing = [token for token in special if token not in self._ids]
        if missing:
            raise UserError(
                f"A vocabulary must hold its special tokens, {', '.join(special)}. "
                f"Received: {len(self.tokens)} tokens without {', '.join(missing)}."
            )

    def get(self, token: str, absent: int) -> int:
        """Id of a token, or `absent` when there is no such token."""
        return self._ids.get(token, absent)

    def id_of(self, token: str) -> int:
        """Id of a token.

        Raises:
            UserError: when there is no such token.
        """
        if token not in self._ids:
            raise UserError(f"The vocabulary has no such token. Received: {token!r}.")
        return self._ids[token]


def check_literals(special: Sequence[str]) -> None:
    """Checks that special tokens can be found in a text in one way only.

    Raises:
        UserError: for one without a symbol, or two that could overlap.
    """
    for token in special:
        if token.isalnum():
            raise UserError(
                "A special token that is looked for in texts must hold a symbol, like [SEP]. "
                f"Received: {token!r}. Or turn special_literals off."
            )
        for other in special:
            sizes = range(1, min(len(token), len(other)))
            if token != other and any(token[-n:] == other[:n] for n in sizes):
                raise UserError(
                    "Special tokens must not overlap in a text. "
                    f"Received: {token!r} and {other!r}. Or turn special_literals off."
                )


def train_vocabulary(
    texts: Iterable[str],
    size: int,
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    split_chinese: bool = True,
    min_frequency: int = 2,
    max_characters: int = 1000,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
) -> tuple[str, ...]:
    """Trains a WordPiece vocabulary; the same texts in any order give the same one.

    Args:
        texts: What to learn from.
        size: Number of tokens, special ones included. Fewer come out when texts are few.
        lowercase: As the tokenizer will have it; the next two likewise.
        strip_accents: None: when `lowercase`.
        split_chinese: Whether every ideograph is a word of its own.
        min_frequency: How often a pair of pieces must occur to become a piece.
        max_characters: At most so many characters, the most frequent, become pieces; words with
            another one are left out.
        special_tokens: The first tokens of the vocabulary.

    Returns:
        The special tokens, single characters in the order of their code points, then longer pieces
        as they were found.

    Raises:
        UserError: when there is nothing to learn from, or `size` leaves no room for it.
    """
    strip_accents = lowercase if strip_accents is None else strip_accents
    words = count_words(texts, lowercase, strip_accents, split_chinese)
    if not words:
        raise UserError("A vocabulary needs texts with words in them. Received: none.")
    if size <= len(special_tokens):
        raise UserError(
            f"size must leave room beside {len(special_tokens)} special tokens. Received: "
            f"size={size}. Give some thousands."
        )
    room = size - len(special_tokens)
    words, pieces = _alphabet(words, min(max_characters, room), room)
    merges = _merges(words, pieces, room, min_frequency)
    taken = frozenset(special_tokens)
    return (*special_tokens, *(piece for piece in merges if piece not in taken))


def count_words(
    texts: Iterable[str], lowercase: bool, strip_accents: bool, split_chinese: bool
) -> collections.Counter[str]:
    """How often each word occurs, words being what BERT cuts into pieces."""
    op = make_normalizer(normalizer.load(lowercase, strip_accents, split_chinese, markers=False))
    find_words = re.compile(f"[^{WORD_ENDS}]+|[^ ]").findall
    private = {own: chr(point) for point, own in private_alphabet(split_chinese).items()}
    words: collections.Counter[str] = collections.Counter()
    for batch in _batches(texts):
        for text in op.normalize(tf.constant(batch)).numpy():
            words.update(find_words(text.decode()))
    return collections.Counter(
        {w.translate(private): n for w, n in words.items() if len(w) <= MAX_WORD_LENGTH}
    )


def _batches(texts: Iterable[str]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"Texts must be strings. Received: {text!r}.")
        batch.append(text.encode("utf-8", "surrogatepass"))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _alphabet(
    words: collections.Counter[str], max_characters: int, room: int
) -> tuple[dict[str, int], list[str]]:
    """The words that frequent characters can spell, and the pieces of one character."""
    characters: collections.Counter[str] = collections.Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters, key=lambda c: (-characters[c], c))
    kept = set(ranked[:max_characters])
    spelled = {word: n for word, n in sorted(words.items()) if kept.issuperset(word)}
    first = {word[0] for word in spelled}
    later = {PREFIX + character for word in spelled for character in word[1:]}
    return spelled, [*sorted(first), *sorted(later)][:room]


def _merges(words: dict[str, int], pieces: list[str], size: int, min_frequency: int) -> list[str]:
    """Extends `pieces` up to `size` by merging the most frequent pair again and again."""
    pieces = list(pieces)
    ids = {piece: number for number, piece in enumerate(pieces)}
    spellings, counts = [], []
    for word, count in words.items():
        spelling = [word[0], *(PREFIX + character for character in word[1:])]
        if all(piece in ids for piece in spelling):
            spellings.append([ids[piece] for piece in spelling])
            counts.append(count)
    frequency: collections.Counter[_Pair] = collections.Counter()
    places: dict[_Pair, set[int]] = collections.defaultdict(set)
    for number, spelling in enumerate(spellings):
        for pair in itertools.pairwise(spelling):
            frequency[pair] += counts[number]
            places[pair].add(number)
    # Ties go to the pair that reads first, so that nothing depends on the order of a set.
    heap = [(-n, pieces[a], pieces[b], (a, b)) for (a, b), n in frequency.items()]
    heapq.heapify(heap)
    while heap and len(pieces) < size:
        negative, _, _, pair = heapq.heappop(heap)
        if -negative != frequency[pair]:  # An old entry: the count has changed since.
            if frequency[pair]:
                heapq.heappush(heap, (-frequency[pair], pieces[pair[0]], pieces[pair[1]], pair))
            continue
        if frequency[pair] < min_frequency:
            break
        piece = pieces[pair[0]] + pieces[pair[1]].removeprefix(PREFIX)
        new = ids.setdefault(piece, len(pieces))
        if new == len(pieces):
            pieces.append(piece)
        changed: set[_Pair] = set()
        for number in places.pop(pair):
            changed |= _merge(
                spellings[number], pair, new, counts[number], number, frequency, places
            )
        for a, b in changed:
            heapq.heappush(heap, (-frequency[a, b], pieces[a], pieces[b], (a, b)))
    return pieces


def _merge(
    spelling: list[int],
    pair: _Pair,
    new: int,
    count: int,
    number: int,
    frequency: collections.Counter[_Pair],
    places: dict[_Pair, set[int]],
) -> set[_Pair]:
    """Merges `pair` in one word, in place, and keeps the counts. Returns the new pairs."""
    before = list(itertools.pairwise(spelling))
    merged: list[int] = []
    position = 0
    while position < len(spelling):
        if tuple(spelling[position : position + 2]) == pair:
            merged.append(new)
            position += 2
        else:
            merged.append(spelling[position])
            position += 1
    spelling[:] = merged
    after = list(itertools.pairwise(spelling))
    for gone in before:
        frequency[gone] -= count
        places[gone].discard(number)
    for came in after:
        frequency[came] += count
        places[came].add(number)
    return set(after) - set(before)
