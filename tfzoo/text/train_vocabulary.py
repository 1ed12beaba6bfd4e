"""Trains the vocabulary of any kind of tokenizer from text files, and writes its folder.

WordPiece is trained here (`tfzoo.text.vocabulary`), the byte pair encodings by tokenizers and
SentencePiece by sentencepiece, the two libraries whose ids ours are. They are an extra:
`pip install tfzoo[vocabulary]`.

Easy to get wrong: a vocabulary must be trained on words that are cut as the tokenizer will cut
them. So the tokenizer is made first, with no merges yet, and the library trains on its files.
"""

import dataclasses
import glob
import importlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from tfzoo.core.config import from_dict, unknown_name
from tfzoo.core.errors import UserError
from tfzoo.core.files import folder_aside
from tfzoo.text import kinds
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.byte_level_bpe import ByteLevelBPE, byte_alphabet
from tfzoo.text.gpt_bpe import SUFFIX, GptBPE
from tfzoo.text.tokenizer import Tokenizer
from tfzoo.text.tokenizer_json import CONFIG, write_json
from tfzoo.text.vocabulary import train_vocabulary
from tfzoo.text.wordpiece import WordPiece


@dataclasses.dataclass(frozen=True)
class WordPieceVocabulary:
    """What a WordPiece vocabulary is trained from and for.

    Attributes:
        kind: "wordpiece".
        files: Text files, one text a line: paths, or patterns such as texts/*.txt.
        size: Number of tokens, special ones included.
        min_frequency: How often a pair of pieces must occur to become a piece.
        max_characters: So many characters, the most frequent, become pieces.
        max_length: The longest row of the tokenizer.
        lowercase: Whether letters are lowered and accents dropped.
    """

    kind: str
    files: tuple[str, ...]
    size: int
    min_frequency: int = 2
    max_characters: int = 1000
    max_length: int = 512
    lowercase: bool = True


@dataclasses.dataclass(frozen=True)
class ByteLevelVocabulary:
    """What a byte-level BPE is trained from and for; the fields not here are as in WordPiece.

    Attributes:
        kind: "byte_level_bpe".
        style: "gpt2", "roberta" or "bloom": special tokens, and how words are cut.
        add_prefix_space: Whether a text that does not begin with a space gets one.
    """

    kind: str
    files: tuple[str, ...]
    size: int
    style: str = "gpt2"
    add_prefix_space: bool = False
    min_frequency: int = 2
    max_length: int = 1024


@dataclasses.dataclass(frozen=True)
class GptVocabulary:
    """What GPT-1's BPE is trained from and for; the fields are as in WordPiece."""

    kind: str
    files: tuple[str, ...]
    size: int
    min_frequency: int = 2
    max_characters: int = 1000
    max_length: int = 512


@dataclasses.dataclass(frozen=True)
class SentencePieceVocabulary:
    """What a SentencePiece unigram model is trained from and for, with T5's special tokens.

    Attributes:
        kind: "sentencepiece".
        files: Text files, one text a line: paths, or patterns such as texts/*.txt.
        size: Number of pieces, without the sentinels.
        character_coverage: The share of all characters that must be pieces.
        extra_ids: Number of sentinels `<extra_id_0>` and so on.
        max_length: The longest row of the tokenizer.
    """

    kind: str
    files: tuple[str, ...]
    size: int
    character_coverage: float = 0.9995
    extra_ids: int = 100
    max_length: int = 512


CONFIGS = {
    "wordpiece": WordPieceVocabulary,
    "byte_level_bpe": ByteLevelVocabulary,
    "gpt_bpe": GptVocabulary,
    "sentencepiece": SentencePieceVocabulary,
}

_FRAME = {"before": ["<s>"], "between": ["</s>", "</s>"], "after": ["</s>"]}
_STYLES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "added_tokens": [AddedToken("<|endoftext|>")],
        "named_tokens": dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    },
    "roberta": {
        "added_tokens": [
            *map(AddedToken, ("<s>", "<pad>", "</s>", "<unk>")),
            AddedToken("<mask>", lstrip=True),
        ],
        "named_tokens": {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "cls_token": "<s>",
            "mask_token": "<mask>",
        },
        **_FRAME,
    },
    "bloom": {
        "words": "bloom",
        "padding_side": "left",
        "added_tokens": [*map(AddedToken, ("<unk>", "<s>", "</s>", "<pad>"))],
        "named_tokens": {
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
        },
    },
}


def read_config(values: Mapping[str, Any]) -> Any:
    """The config of the kind that `values` name.

    Raises:
        UserError: for a kind, key, type or value that there is not.
    """
    name = str(values.get("kind"))
    if name not in CONFIGS:
        raise UserError(unknown_name("kind of vocabulary", name, CONFIGS))
    config: Any = from_dict(CONFIGS[name], values)
    if config.size < 1:
        raise UserError(f"size must be 1 or more. Received: size={config.size}.")
    if name == "byte_level_bpe" and config.style not in _STYLES:
        raise UserError(unknown_name("style", config.style, _STYLES))
    return config


def run(config: Any, output: str | os.PathLike[str]) -> Tokenizer:
    """Trains, and writes a whole tokenizer folder or nothing.

    Args:
        config: From `read_config`.
        output: The folder, which must not exist yet.

    Returns:
        The tokenizer, as read from the folder.

    Raises:
        UserError: for files that are not there or hold nothing, a missing library, a folder that
            is there already.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise UserError(f"{output}: expected a folder that does not exist yet.")
    texts = _Lines(config.files)
    train: Callable[[Any, _Lines, pathlib.Path], None] = _TRAINERS[config.kind]
    with folder_aside(output) as aside:
        train(config, texts, aside)
        logging.info("%d texts of %d files", texts.count, len(texts.paths))
        kinds.class_of(config.kind).from_folder(aside)  # What cannot be read is not left behind.
    return kinds.class_of(config.kind).from_folder(output)


class _Lines:
    """The lines of text files that are not blank."""

    def __init__(self, patterns: Sequence[str]):
        self.paths = [
            path for pattern in patterns for path in sorted(glob.glob(pattern, recursive=True))
        ]
        self.count = 0
        missing = [pattern for pattern in patterns if not glob.glob(pattern, recursive=True)]
        if missing or not patterns:
            raise UserError(f"files must name text files. Received: {missing or list(patterns)}.")

    def __iter__(self) -> Iterator[str]:
        self.count = 0
        for path in self.paths:
            with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
                for line in file:
                    if line.strip():
                        self.count += 1
                        yield line.rstrip("\r\n")
        if not self.count:
            raise UserError(f"A vocabulary needs texts. Received: none in {self.paths[:3]}.")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"This kind of vocabulary is trained by {name}. Received: no such package. "
            "Run `pip install tfzoo[vocabulary]`."
        ) from error


def _train_wordpiece(config: WordPieceVocabulary, texts: _Lines, folder: pathlib.Path) -> None:
    vocabulary = train_vocabulary(
        texts,
        config.size,
        lowercase=config.lowercase,
        min_frequency=config.min_frequency,
        max_characters=config.max_characters,
    )
    made = WordPiece(vocabulary, lowercase=config.lowercase, max_length=config.max_length)
    made.save(folder)


def _train_byte_level(config: ByteLevelVocabulary, texts: _Lines, folder: pathlib.Path) -> None:
    options = {**_STYLES[config.style], "max_length": config.max_length}
    options["add_prefix_space"] = config.add_prefix_space
    special = [token.content for token in options["added_tokens"]]
    least = len(special) + 256
    if config.size < least:
        raise UserError(f"size must be {least} or more here. Received: size={config.size}.")
    start = ByteLevelBPE([*special, *byte_alphabet()], [], **options)
    trainer = {"special_tokens": special, "initial_alphabet": byte_alphabet()}
    ByteLevelBPE(*_train_bpe(start, config, texts, trainer), **options).save(folder)


def _train_gpt(config: GptVocabulary, texts: _Lines, folder: pathlib.Path) -> None:
    start = GptBPE(["<unk>"], [], max_length=config.max_length)
    trainer = {
        "special_tokens": ["<unk>"],
        "end_of_word_suffix": SUFFIX,
        "limit_alphabet": config.max_characters,
    }
    made = _train_bpe(start, config, texts, trainer)
    GptBPE(*made, max_length=config.max_length).save(folder)


def _train_bpe(
    start: ByteLevelBPE | GptBPE,
    config: ByteLevelVocabulary | GptVocabulary,
    texts: _Lines,
    options: dict[str, Any],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Vocabulary and merges, learned on texts that are cut into words as `start` cuts them."""
    tokenizers = _library("tokenizers")
    with tempfile.TemporaryDirectory() as folder:
        start.save(folder)
        other = tokenizers.Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=config.size, min_frequency=config.min_frequency, **options
    )
    other.train_from_iterator(texts, trainer)
    model = json.loads(other.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if len(vocabulary) > config.size:
        raise UserError(
            f"size must hold every character, {len(vocabulary)} tokens here. "
            f"Received: size={config.size}. Raise it, or lower max_characters."
        )
    return vocabulary, [tuple(pair) for pair in model["merges"]]


def _train_sentencepiece(
    config: SentencePieceVocabulary, texts: _Lines, folder: pathlib.Path
) -> None:
    sentencepiece = _library("sentencepiece")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=config.size,
            character_coverage=config.character_coverage,
            model_type="unigram",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
            max_sentence_length=1 << 24,  # bytes; it passes over longer texts without a word
        )
    except RuntimeError as error:  # Such as: too few texts for so many pieces.
        reason = " ".join(str(error).split())
        raise UserError(f"sentencepiece cannot train this. Received: {reason}") from error
    (folder / "spiece.model").write_bytes(model.getvalue())
    write_json(
        folder / CONFIG,
        {
            "tokenizer_class": "T5Tokenizer",
            "extra_ids": config.extra_ids,
            "model_max_length": config.max_length,
        },
    )


_TRAINERS: dict[str, Callable[[Any, _Lines, pathlib.Path], None]] = {
    "wordpiece": _train_wordpiece,
    "byte_level_bpe": _train_byte_level,
    "gpt_bpe": _train_gpt,
    "sentencepiece": _train_sentencepiece,
}
