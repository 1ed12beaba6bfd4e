"""Which kind of tokenizer a folder holds, told from its files.

A kind is a name: as config.json of a tfzoo folder has it under `tokenizer`. Its module is imported
only when it is needed.
"""

import importlib
import os
import pathlib
from typing import Any

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.text.tokenizer import Tokenizer
from tfzoo.text.tokenizer_json import TOKENIZER, kind, read_json

KINDS = {
    "wordpiece": ("tfzoo.text.wordpiece", "WordPiece"),
    "byte_level_bpe": ("tfzoo.text.byte_level_bpe", "ByteLevelBPE"),
    "gpt_bpe": ("tfzoo.text.gpt_bpe", "GptBPE"),
    "sentencepiece": ("tfzoo.text.sentencepiece", "SentencePiece"),
    "marian": ("tfzoo.text.marian", "Marian"),
}

# The first of these files that is there says the kind; tokenizer.json does it by what it holds.
_FILES = {
    "source.spm": "marian",
    "spiece.model": "sentencepiece",
    "vocab.txt": "wordpiece",
    "encoder_bpe_40000.json": "gpt_bpe",
    "encoder.json": "byte_level_bpe",
}


def find(folder: str | os.PathLike[str]) -> str:
    """The kind of tokenizer in a folder.

    Raises:
        UserError: when its files do not say.
    """
    folder = pathlib.Path(folder)
    config = read_json(folder / "config.json", missing={})
    if config.get("tokenizer") in KINDS:
        return str(config["tokenizer"])
    for name, found in _FILES.items():
        if (folder / name).exists():
            return found
    if (folder / TOKENIZER).exists():
        return _by_content(folder / TOKENIZER)
    if (folder / "vocab.json").exists():
        vocabulary = read_json(folder / "vocab.json")
        return "gpt_bpe" if any(t.endswith("</w>") for t in vocabulary) else "byte_level_bpe"
    raise UserError(f"{folder}: expected the files of a tokenizer. Received: none.")


def _by_content(path: pathlib.Path) -> str:
    content = read_json(path)
    model = content.get("model") or {}
    if kind(model) == "WordPiece":
        return "wordpiece"
    if kind(model) == "Unigram" or isinstance(model.get("vocab"), list):
        return "sentencepiece"
    if kind(model) == "BPE" or "merges" in model:
        return "gpt_bpe" if model.get("end_of_word_suffix") else "byte_level_bpe"
    raise UserError(
        f"{path}: expected a model of type WordPiece, BPE or Unigram. Received: {kind(model)}."
    )


def load(folder: str | os.PathLike[str], **options: Any) -> Tokenizer:
    """The tokenizer in a folder, whatever its kind.

    Args:
        folder: A folder with the files of a tokenizer.
        **options: Arguments of its class that override what the files say.

    Raises:
        UserError: naming the file, for what is missing, broken or not supported.
    """
    return read(find(folder), folder, **options)


def read(name: str, folder: str | os.PathLike[str], **options: Any) -> Tokenizer:
    """The tokenizer of a known kind in a folder; as `load` otherwise."""
    try:
        return class_of(name).from_folder(folder, **options)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # The files are other people's: what is a list in them may be anything.
        raise UserError(
            f"{folder}: the files of the tokenizer are not built as a {name} tokenizer's are. "
            f"Received: {type(error).__name__} ({error})."
        ) from error


def class_of(name: str) -> type[Tokenizer]:
    """The class of a kind.

    Raises:
        UserError: when there is no such kind.
    """
    if name not in KINDS:
        raise UserError(unknown_name("kind of tokenizer", name, KINDS))
    module, class_name = KINDS[name]
    found: type[Tokenizer] = getattr(importlib.import_module(module), class_name)
    return found
