"""Reads and writes the files in which Hugging Face keeps a BERT tokenizer.

`tokenizer.json` decides where it exists; `vocab.txt` and `tokenizer_config.json` beside it must
say the same. Easy to get wrong: transformers' BertTokenizer ignores the normalizer of
tokenizer.json and takes its options from tokenizer_config.json, where a missing `do_lower_case`
means True. A folder whose two files disagree has therefore no one meaning, and is refused.
"""

import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside
from tfzoo.text.vocabulary_file import read_text, read_vocabulary, write_vocabulary

if TYPE_CHECKING:
    from tfzoo.text.wordpiece import WordPiece

VOCABULARY, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
_SPECIAL_MAP, _ADDED = "special_tokens_map.json", "added_tokens.json"
_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_BARE_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # Follow tokenizer.json alone.

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
_LARGEST_LENGTH = 1 << 20  # transformers writes 1e30 for "no limit".


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
        bare = config.get("tokenizer_class") in _BARE_CLASSES
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
        _add_tokens(folder / CONFIG, arguments, _decoder_entries(folder / CONFIG, config))
        if _read_json(folder / _ADDED, missing={}).keys() - set(arguments["vocabulary"]):
            raise UserError(f"{folder / _ADDED}: added tokens need a {TOKENIZER}. Received: none.")
    else:
        raise UserError(f"{folder}: expected {TOKENIZER} or {VOCABULARY}. Received: neither.")
    _name_special_tokens(folder, arguments, _read_json(folder / _SPECIAL_MAP, missing={}) | config)
    length = config.get("model_max_length", _LARGEST_LENGTH + 1)
    arguments["max_length"] = int(length) if length <= _LARGEST_LENGTH else 512
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
        with write_aside(folder / name) as path:
            text = json.dumps(content, ensure_ascii=False, indent=2)
            path.write_text(text + "\n", encoding="utf-8")


def _read_json(path: pathlib.Path, missing: Any = None) -> Any:
    if not path.exists() and missing is not None:
        return missing
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: expected JSON. Received: {error.msg}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object. Received: {type(content).__name__}.")
    return content


def _read_config(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = _read_json(path, missing={})
    name = config.get("tokenizer_class")
    if name is not None and name.removesuffix("Fast") not in _CLASSES and name not in _BARE_CLASSES:
        raise _unsupported(path, "tokenizer_class", name, " or ".join(_CLASSES))
    for key, expected in (
        ("do_basic_tokenize", True),
        ("padding_side", "right"),
        ("truncation_side", "right"),
    ):
        if config.get(key, expected) != expected:
            raise _unsupported(path, key, config[key], expected)
    if config.get("never_split"):
        raise _unsupported(path, "never_split", config["never_split"], None)
    return config


def _read_tokenizer(path: pathlib.Path) -> dict[str, Any]:
    content = _read_json(path)
    model = _part(path, content, "model", "WordPiece")
    _part(path, content, "pre_tokenizer", "BertPreTokenizer")
    rules = _part(path, content, "normalizer", "BertNormalizer")
    for part, key, expected in (
        (model, "continuing_subword_prefix", "##"),
        (model, "max_input_chars_per_word", 100),
        (rules, "clean_text", True),
    ):
        if part.get(key, expected) != expected:
            raise _unsupported(path, key, part[key], expected)
    classifier, separator = _read_template(path, content.get("post_processor"))
    decoder = content.get("decoder") or {"type": "WordPiece"}
    if decoder["type"] != "WordPiece" or not decoder.get("cleanup", True):
        raise _unsupported(path, "decoder", decoder, {"type": "WordPiece", "cleanup": True})
    found: dict[str, Any] = {
        "vocabulary": _tokens_in_order(path, model.get("vocab", {})),
        "unknown": model.get("unk_token", "[UNK]"),
        "classifier": classifier,
        "separator": separator,
        "lowercase": rules.get("lowercase", True),
        "strip_accents": rules.get("strip_accents"),
        "split_chinese": rules.get("handle_chinese_chars", True),
    }
    _add_tokens(path, found, content.get("added_tokens", []))
    return found


def _name_special_tokens(
    folder: pathlib.Path, arguments: dict[str, Any], names: dict[str, Any]
) -> None:
    """Finds out which five tokens are special, and that the vocabulary has them."""
    for name, (key, absent) in _SPECIAL.items():
        token = names.get(key) or absent
        token = token["content"] if isinstance(token, dict) else token
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


def _part(path: pathlib.Path, content: dict[str, Any], key: str, expected: str) -> dict[str, Any]:
    part = content.get(key)
    kind = part.get("type", "none") if isinstance(part, dict) else "none"
    if kind != expected:
        raise _unsupported(path, f"{key} type", kind, expected)
    return part


def _read_template(path: pathlib.Path, post: dict[str, Any] | None) -> tuple[str, str]:
    """The classifier and the separator of [CLS] A [SEP] and [CLS] A [SEP] B [SEP]."""
    kind = (post or {}).get("type", "none")
    if kind == "BertProcessing":
        return post["cls"][0], post["sep"][0]
    if kind != "TemplateProcessing":
        raise _unsupported(path, "post_processor type", kind, "TemplateProcessing")
    single, pair = (
        [(part["id"], part["type_id"]) for step in post[key] for part in step.values()]
        for key in ("single", "pair")
    )
    if len(single) == 3:
        (classifier, _), _, (separator, _) = single
        expected = [(classifier, 0), ("A", 0), (separator, 0)]
        if single == expected and pair == [*expected, ("B", 1), (separator, 1)]:
            return classifier, separator
    raise _unsupported(path, "post_processor template", pair, "[CLS] A [SEP] B:1 [SEP]:1")


def _tokens_in_order(path: pathlib.Path, vocabulary: dict[str, int]) -> list[str]:
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    ids = [vocabulary[token] for token in tokens]
    if ids != list(range(len(tokens))):
        wrong = next(n for n, i in enumerate(ids) if n != i)
        raise UserError(
            f"{path}: ids of the vocabulary must count 0, 1, 2 ... "
            f"Received: id {ids[wrong]} where {wrong} was expected."
        )
    return tokens


def _decoder_entries(path: pathlib.Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Added tokens as transformers 4 wrote them into tokenizer_config.json."""
    entries = config.get("added_tokens_decoder", {})
    if not all(str(number).isdigit() for number in entries):
        raise _unsupported(path, "added_tokens_decoder", sorted(entries)[:5], "ids as keys")
    return [{"id": int(number), **entry} for number, entry in entries.items()]


def _add_tokens(path: pathlib.Path, found: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Appends added tokens that the vocabulary lacks, and lists all as special tokens."""
    vocabulary = found["vocabulary"]
    added = []
    for entry in sorted(entries, key=lambda entry: entry["id"]):
        number, token = entry["id"], entry["content"]
        for flag in ("lstrip", "rstrip", "single_word", "normalized"):
            if entry.get(flag, False):
                raise _unsupported(path, f"added token {token!r} with {flag}", True, False)
        if not entry.get("special", False):
            raise _unsupported(path, f"added token {token!r} with special", False, True)
        if number == len(vocabulary):
            vocabulary.append(token)
        elif number > len(vocabulary) or vocabulary[number] != token:
            other = vocabulary[number] if number < len(vocabulary) else None
            raise UserError(
                f"{path}: an added token must have its own id in the vocabulary, or the next one. "
                f"Received: {token!r} with id {number}, where the vocabulary has {other!r}."
            )
        added.append(token)
    found["added_tokens"] = tuple(added)


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


def _unsupported(path: pathlib.Path, key: str, value: Any, expected: Any) -> UserError:
    return UserError(f"{path}: {key} is not supported. Expected: {expected}. Received: {value}.")


def tokenizer_json(tokenizer: "WordPiece") -> dict[str, Any]:
    """The contents of the tokenizer.json that says the same to Hugging Face's tokenizers."""

    def token(content: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": content, "type_id": segment}}

    def text(name: str, segment: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    unknown, sep, _, cls, *_ = tokenizer.special_tokens
    single = [token(cls, 0), text("A", 0), token(sep, 0)]
    added = sorted((tokenizer.id_of(t), t) for t in set(tokenizer.special_tokens))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags, "special": True} for i, t in added],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": tokenizer.split_chinese,
            "strip_accents": tokenizer.strip_accents,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), token(sep, 1)],
            "special_tokens": {
                t: {"id": t, "ids": [tokenizer.id_of(t)], "tokens": [t]} for t in (cls, sep)
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {t: i for i, t in enumerate(tokenizer.vocabulary)},
        },
    }
