"""Reads and writes the files in which Hugging Face keeps a BERT tokenizer.

`tokenizer.json` decides where it exists; `vocab.txt` and `tokenizer_config.json` beside it must
say the same. Easy to get wrong: transformers' BertTokenizer ignores the normalizer of
tokenizer.json and takes its options from tokenizer_config.json, where a missing `do_lower_case`
means True. A folder whose two files disagree has therefore no one meaning, and is refused.
"""

import os
import pathlib
from typing import TYPE_CHECKING, Any

from tfzoo.core.errors import UserError
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.tokenizer_json import (
    ADDED,
    CONFIG,
    SPECIAL_MAP,
    TOKENIZER,
    FrameTokens,
    add_tokens,
    added_json,
    check_class,
    content_of,
    decoder_entries,
    frame_json,
    is_bare,
    kind,
    max_length,
    part,
    plain_special,
    read_frame,
    read_json,
    require,
    tokens_in_order,
    unsupported,
    write_json,
)
from tfzoo.text.vocabulary_file import read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    from tfzoo.text.wordpiece import WordPiece

VOCABULARY = "vocab.txt"
_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")

# Constructor argument -> the key of tokenizer_config.json, and what its absence means.
_SPECIAL = {
    "unknown": ("unk_token", "[UNK]"),
    "separator": ("sep_token", "[SEP]"),
    "padding": ("pad_token", "[PAD]"),
    "classifier": ("cls_token", "[CLS]"),
    "mask": ("mask_token", "[MASK]"),
}
_OPTIONS: dict[str, tuple[str, bool | None]] = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "split_chinese": ("tokenize_chinese_chars", True),
}


def read(folder: str | os.PathLike[str], given: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the `WordPiece` in a folder.

    Args:
        folder: The folder.
        given: Arguments the caller decided; the files may disagree about these.

    Raises:
        UserError: naming the file, for what is missing, broken or not supported.
    """
    folder = pathlib.Path(folder)
    config = _read_config(folder)
    arguments = {name: config.get(key, absent) for name, (key, absent) in _OPTIONS.items()}
    if (folder / TOKENIZER).exists():
        found = _read_tokenizer(folder / TOKENIZER)
        bare = is_bare(config)
        for name, (key, _) in _OPTIONS.items():
            agree = found[name] == arguments[name] or (bare and key not in config)
            if not agree and name not in given:
                raise UserError(
                    f"{folder}: {TOKENIZER} and {CONFIG} disagree about {key}. Received: "
                    f"{found[name]} and {arguments[name]}{'' if key in config else ' by default'}. "
                    f"Correct one of them, or give {name}=."
                )
        if (folder / VOCABULARY).exists():
            _check_same(folder, read_vocabulary(folder / VOCABULARY), found["vocabulary"])
        arguments |= found
    elif (folder / VOCABULARY).exists():
        arguments["vocabulary"] = read_vocabulary(folder / VOCABULARY)
        path = folder / CONFIG
        added = add_tokens(path, arguments["vocabulary"], decoder_entries(path, config))
        arguments["added_tokens"] = plain_special(path, added)
        if read_json(folder / ADDED, missing={}).keys() - set(arguments["vocabulary"]):
            raise UserError(f"{folder / ADDED}: added tokens need a {TOKENIZER}. Received: none.")
    else:
        raise UserError(f"{folder}: expected {TOKENIZER} or {VOCABULARY}. Received: neither.")
    _name_special_tokens(folder, arguments, read_json(folder / SPECIAL_MAP, missing={}) | config)
    arguments["max_length"] = max_length(config, 512)
    arguments["special_literals"] = not config.get("split_special_tokens", False)
    return arguments | given


def write(tokenizer: "WordPiece", folder: str | os.PathLike[str]) -> None:
    """Writes vocab.txt, tokenizer.json and tokenizer_config.json."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.lowercase,
        "strip_accents": tokenizer.strip_accents,
        "tokenize_chinese_chars": tokenizer.split_chinese,
        "model_max_length": tokenizer.max_length,
        "split_special_tokens": not tokenizer.special_literals,
        "clean_up_tokenization_spaces": False,
    }
    special = tokenizer.special_tokens
    config |= {key: token for (key, _), token in zip(_SPECIAL.values(), special, strict=False)}
    write_vocabulary(folder / VOCABULARY, tokenizer.vocabulary)
    for name, content in ((TOKENIZER, tokenizer_json(tokenizer)), (CONFIG, config)):
        write_json(folder / name, content)


def _read_config(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = read_json(path, missing={})
    check_class(path, config, _CLASSES)
    require(path, config, do_basic_tokenize=True, padding_side="right", truncation_side="right")
    require(path, config, word_tokenizer_type="basic", subword_tokenizer_type="wordpiece")
    if config.get("never_split"):
        raise unsupported(path, "never_split", config["never_split"], None)
    return config


def _read_tokenizer(path: pathlib.Path) -> dict[str, Any]:
    content = read_json(path)
    model = part(path, content, "model", "WordPiece")
    part(path, content, "pre_tokenizer", "BertPreTokenizer")
    rules = part(path, content, "normalizer", "BertNormalizer")
    require(path, model, continuing_subword_prefix="##", max_input_chars_per_word=100)
    require(path, rules, clean_text=True)
    classifier, separator = _read_marks(path, content.get("post_processor"))
    decoder = content.get("decoder") or {"type": "WordPiece"}
    if decoder["type"] != "WordPiece" or not decoder.get("cleanup", True):
        raise unsupported(path, "decoder", decoder, {"type": "WordPiece", "cleanup": True})
    found: dict[str, Any] = {
        "vocabulary": tokens_in_order(path, model.get("vocab", {})),
        "unknown": model.get("unk_token", "[UNK]"),
        "classifier": classifier,
        "separator": separator,
        "lowercase": rules.get("lowercase", True),
        "strip_accents": rules.get("strip_accents"),
        "split_chinese": rules.get("handle_chinese_chars", True),
    }
    added = add_tokens(path, found["vocabulary"], content.get("added_tokens", []))
    found["added_tokens"] = plain_special(path, added)
    return found


def _read_marks(path: pathlib.Path, post: dict[str, Any] | None) -> tuple[str, str]:
    """The classifier and the separator of [CLS] A [SEP] and [CLS] A [SEP] B [SEP]."""
    if kind(post) not in ("BertProcessing", "TemplateProcessing"):
        raise unsupported(path, "post_processor type", kind(post), "TemplateProcessing")
    frame = read_frame(path, post, segments=True)
    if len(frame.before) != 1 or len(frame.after) != 1 or frame.between != frame.after:
        raise unsupported(path, "post_processor template", frame, "[CLS] A [SEP] B:1 [SEP]:1")
    return frame.before[0], frame.after[0]


def _name_special_tokens(
    folder: pathlib.Path, arguments: dict[str, Any], names: dict[str, Any]
) -> None:
    """Finds out which five tokens are special, and that the vocabulary has them."""
    for name, (key, absent) in _SPECIAL.items():
        token = content_of(names.get(key)) or absent
        if arguments.setdefault(name, token) != token:
            raise UserError(
                f"{folder}: {TOKENIZER} and {CONFIG} disagree about {key}. "
                f"Received: {arguments[name]!r} and {token!r}. Correct one of them."
            )
    five = [arguments[name] for name in _SPECIAL]
    missing = set(five).difference(arguments["vocabulary"])
    if missing:
        path = folder / (TOKENIZER if (folder / TOKENIZER).exists() else VOCABULARY)
        raise UserError(
            f"{path}: the vocabulary must hold its special tokens, {', '.join(five)}. "
            f"Received: {len(arguments['vocabulary'])} tokens without {', '.join(sorted(missing))}."
        )
    arguments["added_tokens"] = tuple(t for t in arguments["added_tokens"] if t not in five)


def _check_same(folder: pathlib.Path, lines: list[str], tokens: list[str]) -> None:
    # Added tokens may stand in tokenizer.json alone, after those of vocab.txt.
    for number, (line, token) in enumerate(zip(lines, tokens, strict=False)):
        if line != token:
            raise UserError(
                f"{folder / VOCABULARY}:{number + 1}: must agree with {TOKENIZER}. "
                f"Received: {line!r} where that has {token!r}. Remove the wrong one."
            )
    if len(lines) > len(tokens):
        raise UserError(
            f"{folder / VOCABULARY}:{len(tokens) + 1}: must agree with {TOKENIZER}. "
            f"Received: {len(lines)} tokens where that has {len(tokens)}. Remove the wrong one."
        )


def tokenizer_json(tokenizer: "WordPiece") -> dict[str, Any]:
    """The contents of the tokenizer.json that says the same to Hugging Face's tokenizers."""
    unknown, sep, _, cls, *_ = tokenizer.special_tokens
    ids = {token: tokenizer.id_of(token) for token in tokenizer.special_tokens}
    frame = FrameTokens((cls,), (sep,), (sep,))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_json((AddedToken(token), i) for token, i in ids.items()),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": tokenizer.split_chinese,
            "strip_accents": tokenizer.strip_accents,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": frame_json(frame, ids, segments=True),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {t: i for i, t in enumerate(tokenizer.vocabulary)},
        },
    }
