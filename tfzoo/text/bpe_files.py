"""Reads and writes the files in which a byte pair encoding is kept.

`tokenizer.json` decides where it exists; else `vocab.json` and `merges.txt`, or the same two files
under OpenAI's names. Easy to get wrong: transformers' GPT2Tokenizer and RobertaTokenizer take
`add_prefix_space` from tokenizer_config.json and not from tokenizer.json. A folder whose two files
disagree has therefore no one meaning, and is refused.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside
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
    named_tokens,
    part,
    plain_special,
    read_frame,
    read_json,
    require,
    tokens_in_order,
    unsupported,
    write_json,
)
from tfzoo.text.vocabulary_file import read_text

if TYPE_CHECKING:
    from tfzoo.text.byte_level_bpe import ByteLevelBPE
    from tfzoo.text.gpt_bpe import GptBPE

VOCABULARY, MERGES = "vocab.json", "merges.txt"
BLOOM_PATTERN = " ?[^(\\s|[.,!?…。，、।۔،])]+"

_PAIRS = (
    (VOCABULARY, MERGES),
    ("encoder.json", "vocab.bpe"),
    ("encoder_bpe_40000.json", "vocab_40000.bpe"),
)
_FRAMED = ("RobertaTokenizer", "BartTokenizer")
_BYTE_LEVEL = ("GPT2Tokenizer", *_FRAMED, "BloomTokenizer")
_EXTRA = ("additional_special_tokens", "extra_special_tokens")
_SUFFIX = "</w>"
_PLAIN = (None, "")


def read_byte_level(folder: str | os.PathLike[str], given: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the `ByteLevelBPE` in a folder.

    Args:
        folder: The folder.
        given: Arguments the caller decided; the files may disagree about these.

    Raises:
        UserError: naming the file, for what is missing, broken or not supported.
    """
    folder = pathlib.Path(folder)
    config, names = _read_config(folder, _BYTE_LEVEL)
    require(folder / CONFIG, config, add_bos_token=False, add_eos_token=False, errors="replace")
    path = folder / TOKENIZER
    if path.exists():
        content = read_json(path)
        found = _byte_level_json(path, content)
        _check_agreement(folder, config, found, given)
        names = _padding_names(content) | names
        if not is_bare(config) and found["words"] == "gpt2":
            names = _default_names(config, found["vocabulary"])[0] | names
    else:
        found, names = _byte_level_files(folder, config, names)
    frame = found.pop("frame")
    default = 512 if frame.before else 1024 if found["words"] == "gpt2" else 2048
    found |= dict(zip(("before", "between", "after"), frame, strict=True))
    found["added_tokens"] = _mark_special(folder, found["vocabulary"], found["added_tokens"], names)
    return found | _common(config, names, default) | given


def read_gpt(folder: str | os.PathLike[str], given: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the `GptBPE` in a folder; see `read_byte_level`."""
    folder = pathlib.Path(folder)
    config, names = _read_config(folder, ("OpenAIGPTTokenizer",))
    path = folder / TOKENIZER
    if path.exists():
        content = read_json(path)
        found = _gpt_json(path, content)
        names = _padding_names(content) | names
    else:
        path, found = _vocabulary_files(folder)
        found["unknown"] = content_of(names.get("unk_token")) or "<unk>"
        found["added_tokens"] = _legacy_tokens(folder, found["vocabulary"], config, names)
    names = {"unk_token": found["unknown"]} | names
    if content_of(names["unk_token"]) != found["unknown"]:
        raise unsupported(folder / CONFIG, "unk_token", names["unk_token"], found["unknown"])
    added = _mark_special(folder, found["vocabulary"], found["added_tokens"], names)
    found["added_tokens"] = plain_special(path, added)
    return found | _common(config, names, 512) | given


def _read_config(
    folder: pathlib.Path, classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """tokenizer_config.json, and it with special_tokens_map.json, for names of tokens."""
    path = folder / CONFIG
    config = read_json(path, missing={})
    check_class(path, config, classes)
    require(path, config, padding_side=("right", "left"), truncation_side="right")
    return config, read_json(folder / SPECIAL_MAP, missing={}) | config


def _common(config: dict[str, Any], names: dict[str, Any], length: int) -> dict[str, Any]:
    return {
        "named_tokens": named_tokens(names),
        "padding_side": names.get("padding_side", "right"),
        "max_length": max_length(config, length),
        "special_literals": not config.get("split_special_tokens", False),
    }


def _padding_names(content: dict[str, Any]) -> dict[str, Any]:
    """What tokenizer.json says about padding, in the words of tokenizer_config.json."""
    padding = content.get("padding")
    if not isinstance(padding, dict):
        return {}
    return {"pad_token": padding["pad_token"], "padding_side": padding["direction"].lower()}


def _model(path: pathlib.Path, content: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Vocabulary, merges and added tokens of a tokenizer.json with these options of its model."""
    model = content.get("model")
    if kind(model) == "none" and isinstance(model, dict) and "merges" in model:
        model["type"] = "BPE"  # The first versions of tokenizers did not write it.
    model = part(path, content, "model", "BPE")
    require(path, model, dropout=None, byte_fallback=False, ignore_merges=False)
    require(path, model, continuing_subword_prefix=_PLAIN, **options)
    if model.get("unk_token") is not None:
        require(path, model, fuse_unk=False)
    truncation = content.get("truncation") or {}
    require(path, truncation, direction="Right", strategy="LongestFirst", stride=0)
    vocabulary = tokens_in_order(path, model.get("vocab", {}))
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    found = {
        "vocabulary": vocabulary,
        "added_tokens": add_tokens(path, vocabulary, content.get("added_tokens", [])),
        "merges": merges,
        "unknown": model.get("unk_token"),
    }
    _check_merges(path, found)
    return found


def _byte_level_json(path: pathlib.Path, content: dict[str, Any]) -> dict[str, Any]:
    found = _model(path, content, end_of_word_suffix=_PLAIN)
    if kind(content.get("normalizer")) != "none":
        raise unsupported(path, "normalizer type", kind(content["normalizer"]), "none")
    part(path, content, "decoder", "ByteLevel")
    words, add_prefix_space = _byte_level_words(path, content.get("pre_tokenizer"))
    frame = read_frame(path, content.get("post_processor"), segments=False)
    return found | {"words": words, "add_prefix_space": add_prefix_space, "frame": frame}


def _byte_level_words(path: pathlib.Path, pre: Any) -> tuple[str, bool]:
    if kind(pre) == "ByteLevel" and pre.get("use_regex", True):
        return "gpt2", pre.get("add_prefix_space", True)
    steps = pre["pretokenizers"] if kind(pre) == "Sequence" else [pre]
    kinds = [kind(step) for step in steps]
    if kinds != ["Split", "ByteLevel"]:
        name = " + ".join(kinds)
        raise unsupported(path, "pre_tokenizer type", name, "ByteLevel, or BLOOM's Split before it")
    split, level = steps
    require(path, split, pattern={"Regex": BLOOM_PATTERN}, behavior="Isolated", invert=False)
    require(path, {"add_prefix_space": True, "use_regex": True} | level,
            add_prefix_space=False, use_regex=False)  # fmt: skip
    return "bloom", False


def _gpt_json(path: pathlib.Path, content: dict[str, Any]) -> dict[str, Any]:
    found = _model(path, content, end_of_word_suffix=_SUFFIX)
    if found["unknown"] is None:
        raise unsupported(path, "unk_token", None, "<unk>")
    rules = part(path, content, "normalizer", "BertNormalizer")
    require(path, rules, clean_text=True, handle_chinese_chars=True, lowercase=True,
            strip_accents=(None, True))  # fmt: skip
    part(path, content, "pre_tokenizer", "BertPreTokenizer")
    decoder = part(path, content, "decoder", "BPEDecoder")
    require(path, decoder, suffix=_SUFFIX)
    frame = read_frame(path, content.get("post_processor"), segments=False)
    if frame != FrameTokens():
        raise unsupported(path, "post_processor template", frame, "none")
    return found


def _check_agreement(
    folder: pathlib.Path, config: dict[str, Any], found: dict[str, Any], given: dict[str, Any]
) -> None:
    """Refuses a folder that transformers would not read as tokenizers does."""
    name = config.get("tokenizer_class", "").removesuffix("Fast")
    if is_bare(config) or name == "BloomTokenizer":
        return
    key = "add_prefix_space"
    said = config.get(key, False)
    if found[key] != said and key not in given:
        raise UserError(
            f"{folder}: {TOKENIZER} and {CONFIG} disagree about {key}. Received: {found[key]} and "
            f"{said}{'' if key in config else ' by default'}. Correct one of them, or give {key}=."
        )
    if name and found["words"] != "gpt2":
        raise unsupported(folder / CONFIG, "tokenizer_class", name, "BloomTokenizer")


def _byte_level_files(
    folder: pathlib.Path, config: dict[str, Any], names: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A folder without tokenizer.json: what is missing is as transformers' classes have it."""
    path, found = _vocabulary_files(folder)
    if (folder / "dict.txt").exists():
        raise unsupported(
            folder / "dict.txt", "fairseq's numbering of tokens", "dict.txt", TOKENIZER
        )
    name = config.get("tokenizer_class", "").removesuffix("Fast")
    if name == "BloomTokenizer" or is_bare(config):
        raise UserError(f"{folder}: {name} needs a {TOKENIZER}. Received: none.")
    defaults, is_framed = _default_names(config, found["vocabulary"])
    names = defaults | names
    if is_framed:
        cls, sep = content_of(names.get("cls_token")), content_of(names.get("sep_token"))
        if cls is None or sep is None:
            raise UserError(f"{path}: expected the tokens <s> and </s>. Received: neither.")
        frame = FrameTokens((cls,), (sep, sep), (sep,))
    else:
        frame = FrameTokens()
    added = _legacy_tokens(folder, found["vocabulary"], config, names)
    found |= {"added_tokens": added, "words": "gpt2", "frame": frame}
    return found | {"add_prefix_space": config.get("add_prefix_space", False)}, names


def _default_names(
    config: dict[str, Any], vocabulary: Sequence[str]
) -> tuple[dict[str, Any], bool]:
    """What transformers calls the special tokens where no file does; whether they are RoBERTa's."""
    name, held = config.get("tokenizer_class", "").removesuffix("Fast"), set(vocabulary)
    # RoBERTa's vocabulary holds GPT-2's <|endoftext|> too, but not the other way round.
    is_framed = name in _FRAMED or (not name and {"<s>", "</s>", "<pad>"} <= held)
    if is_framed:
        names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
        names |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    else:
        names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    return {key: token for key, token in names.items() if token in held}, is_framed


def _vocabulary_files(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    for names in _PAIRS:
        vocabulary, merges = (folder / name for name in names)
        if vocabulary.exists() and merges.exists():
            found = {
                "vocabulary": tokens_in_order(vocabulary, read_json(vocabulary)),
                "merges": read_merges(merges),
            }
            _check_merges(merges, found)
            return vocabulary, found
    raise UserError(
        f"{folder}: expected {TOKENIZER}, or {VOCABULARY} and {MERGES}. Received: neither."
    )


def read_merges(path: pathlib.Path) -> list[tuple[str, str]]:
    """The pairs of a merges.txt, one a line, under a first line that may say `#version`.

    Raises:
        UserError: naming file and line, for a file that cannot be read and a line without a pair.
    """
    lines = read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    merges = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or (not line and len(lines) == 1):
            continue
        pair = tuple(line.split(" "))
        if len(pair) != 2 or not all(pair):
            raise UserError(f"{path}:{number}: expected two tokens. Received: {line[:40]!r}.")
        merges.append(pair)
    return merges


def _check_merges(path: pathlib.Path, found: dict[str, Any]) -> None:
    held = set(found["vocabulary"])
    for number, pair in enumerate(found["merges"]):
        for token in (*pair, "".join(pair)):
            if token not in held or len(pair) != 2:
                raise UserError(
                    f"{path}: a merge must be of two tokens, to a token of the vocabulary. "
                    f"Received: merge {number}={' '.join(pair)!r}, without {token!r}."
                )


def _legacy_tokens(
    folder: pathlib.Path, vocabulary: list[str], config: dict[str, Any], names: dict[str, Any]
) -> list[AddedToken]:
    """Added tokens as transformers 4 wrote them, beside vocab.json."""
    entries = decoder_entries(folder / CONFIG, config)
    if entries:
        return add_tokens(folder / CONFIG, vocabulary, entries)
    special = {content_of(token) for token in _special_names(names)}
    added = read_json(folder / ADDED, missing={})
    return add_tokens(
        folder / ADDED,
        vocabulary,
        [
            {"id": i, "content": t, "special": t in special, "normalized": t not in special}
            for t, i in added.items()
        ],
    )


def _special_names(names: dict[str, Any]) -> list[Any]:
    """Everything that files name as a special token: strings, and objects with flags."""
    extra = [token for key in _EXTRA for token in names.get(key) or []]
    return [token for key in named_tokens(names) for token in [names[key]]] + extra


def _mark_special(
    folder: pathlib.Path,
    vocabulary: list[str],
    added: Sequence[AddedToken],
    names: dict[str, Any],
) -> tuple[AddedToken, ...]:
    """Added tokens with those that have a name, which transformers makes special ones."""
    tokens = {token.content: token for token in added}
    places = {token: number for number, token in enumerate(vocabulary)}
    for token in _special_names(names):
        content = content_of(token)
        if content not in places:
            raise UserError(
                f"{folder}: the vocabulary must hold its special tokens. "
                f"Received: {len(places)} tokens without {content}."
            )
        flags = token if isinstance(token, dict) else {}
        flags = {flag: flags.get(flag, False) for flag in ("lstrip", "rstrip", "normalized")}
        tokens[content] = tokens.get(content, AddedToken(content, **flags))._replace(special=True)
    return tuple(sorted(tokens.values(), key=lambda token: places[token.content]))


def write_byte_level(tokenizer: "ByteLevelBPE", folder: str | os.PathLike[str]) -> None:
    """Writes tokenizer.json, tokenizer_config.json, vocab.json and merges.txt."""
    level = {"type": "ByteLevel", "trim_offsets": True}
    if tokenizer.words == "bloom":
        split = {"type": "Split", "pattern": {"Regex": BLOOM_PATTERN}, "behavior": "Isolated",
                 "invert": False}  # fmt: skip
        plain = {**level, "add_prefix_space": False, "use_regex": False}
        pre: dict[str, Any] = {"type": "Sequence", "pretokenizers": [split, plain]}
    else:
        pre = {**level, "add_prefix_space": tokenizer.add_prefix_space, "use_regex": True}
    tokens = tokenizer.vocabulary
    frame = tokenizer.frame
    sides = (frame.before, frame.between, frame.after)
    names = FrameTokens(*(tuple(tokens[i] for i in side) for side in sides))
    ids = {token: tokenizer.id_of(token) for side in names for token in side}
    parts = {
        "normalizer": None,
        "pre_tokenizer": pre,
        "post_processor": frame_json(names, ids, segments=False),
        "decoder": {**level, "add_prefix_space": True, "use_regex": True},
    }
    config = {"add_prefix_space": tokenizer.add_prefix_space}
    _write(tokenizer, tokenizer.added_tokens, parts, None, config, pathlib.Path(folder))


def write_gpt(tokenizer: "GptBPE", folder: str | os.PathLike[str]) -> None:
    """Writes tokenizer.json, tokenizer_config.json, vocab.json and merges.txt."""
    parts = {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": frame_json(FrameTokens(), {}, segments=False),
        "decoder": {"type": "BPEDecoder", "suffix": _SUFFIX},
    }
    added = [AddedToken(token) for token in tokenizer.special_tokens]
    _write(tokenizer, added, parts, _SUFFIX, {}, pathlib.Path(folder))


def _write(
    tokenizer: "ByteLevelBPE | GptBPE",
    added: Sequence[AddedToken],
    parts: dict[str, Any],
    suffix: str | None,
    config: dict[str, Any],
    folder: pathlib.Path,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: number for number, token in enumerate(tokenizer.vocabulary)}
    merges = [" ".join(pair) for pair in tokenizer.merges]
    _write_merges(folder / MERGES, merges)
    flags = {token.content: token for token in added}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_json((token, ids[token.content]) for token in added),
        **parts,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": tokenizer.unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": suffix,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": ids,
            "merges": merges,
        },
    }
    # This class follows tokenizer.json alone, in transformers 4 and 5.
    config |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.max_length,
        "padding_side": tokenizer.frame.padding_side,
        "split_special_tokens": not tokenizer.special_literals,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    for name, token in tokenizer.named_tokens.items():
        entry = flags.get(token, AddedToken(token))._asdict()
        config[name] = {"__type": "AddedToken", "single_word": False, **entry}
    write_json(folder / VOCABULARY, ids)
    write_json(folder / TOKENIZER, content)
    write_json(folder / CONFIG, config)


def _write_merges(path: pathlib.Path, merges: list[str]) -> None:
    wrong = next((m for m in merges if m.count(" ") != 1 or "\n" in m), None)
    if wrong is not None:
        raise UserError(f"{path}: a token cannot hold white space. Received: {wrong!r}.")
    with write_aside(path) as aside:
        aside.write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
