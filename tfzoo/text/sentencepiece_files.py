"""Reads and writes the files in which Hugging Face keeps a T5 tokenizer.

`tokenizer.json` decides where it exists; else `spiece.model`, to which the sentinels are added.
Where both stand beside each other they must say the same. Easy to get wrong: transformers' class
T5Tokenizer takes pieces, scores and character map from tokenizer.json, and nothing else: words are
cut as T5 cuts them whatever stands there. So other rules are refused, not followed.
"""

import base64
import binascii
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.core.errors import UserError
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.sentencepiece_model import Unigram, read_unigram
from tfzoo.text.tokenizer_json import (
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
    read_frame,
    read_json,
    require,
    unsupported,
    write_json,
)

if TYPE_CHECKING:
    from tfzoo.text.sentencepiece import SentencePiece

MODEL = "spiece.model"

_CLASSES = ("T5Tokenizer", "MT5Tokenizer")
_UNKNOWN_ID = 2  # T5Tokenizer knows no other.
_SPACE = "▁"
_EXTRA = ("additional_special_tokens", "extra_special_tokens")
_NAMES = {"padding": ("pad_token", "<pad>"), "end": ("eos_token", "</s>"),
          "unknown": ("unk_token", "<unk>")}  # fmt: skip


def read(folder: str | os.PathLike[str], given: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the `SentencePiece` in a folder.

    Args:
        folder: The folder.
        given: Arguments the caller decided, and `extra_ids`, the number of sentinels that a folder
            with spiece.model alone has.

    Raises:
        UserError: naming the file, for what is missing, broken or not supported.
    """
    folder = pathlib.Path(folder)
    given = dict(given)
    config = read_json(folder / CONFIG, missing={})
    check_class(folder / CONFIG, config, _CLASSES)
    require(folder / CONFIG, config, padding_side="right", truncation_side="right")
    if config.get("sp_model_kwargs"):
        raise unsupported(folder / CONFIG, "sp_model_kwargs", config["sp_model_kwargs"], "none")
    names = read_json(folder / SPECIAL_MAP, missing={}) | config
    extra_ids = given.pop("extra_ids", None)
    named = {n: content_of(names.get(key)) or absent for n, (key, absent) in _NAMES.items()}
    extra = [content_of(token) for key in _EXTRA for token in names.get(key) or []]
    if (folder / TOKENIZER).exists():
        model, added = _read_json(folder, config, named["end"])
        vocabulary = list(model.pieces)
        added = add_tokens(folder / TOKENIZER, vocabulary, added)
        _check_same(folder, model)
    elif (folder / MODEL).exists():
        model = read_unigram(folder / MODEL)
        extra_ids = config.get("extra_ids", 100) if extra_ids is None else extra_ids
        sentinels = [f"<extra_id_{number}>" for number in reversed(range(extra_ids))]
        scores = (*model.scores, *[0.0] * extra_ids)
        model = model._replace(pieces=(*model.pieces, *sentinels), scores=scores)
        vocabulary, added = list(model.pieces), []
        if not any(key in names for key in _EXTRA):
            extra = sentinels
    else:
        raise UserError(f"{folder}: expected {TOKENIZER} or {MODEL}. Received: neither.")
    if model.unk_id != _UNKNOWN_ID and not is_bare(config):
        raise unsupported(folder, "id of the unknown token", model.unk_id, _UNKNOWN_ID)
    entries = decoder_entries(folder / CONFIG, config)
    added += add_tokens(folder / CONFIG, vocabulary, entries)
    special = [*named.values(), *extra]
    vocabulary += [token for token in dict.fromkeys(special) if token not in set(vocabulary)]
    return {
        "vocabulary": vocabulary,
        "scores": model.scores,
        "charsmap": model.charsmap,
        "added_tokens": _mark_special(vocabulary, added, special),
        "max_length": max_length(config, 512),
        "special_literals": not config.get("split_special_tokens", False),
        **named,
    } | given


def write(tokenizer: "SentencePiece", folder: str | os.PathLike[str]) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    end = tokenizer.end
    charsmap = base64.b64encode(tokenizer.charsmap).decode()
    space = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": True}
    words = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]}
    frame = frame_json(FrameTokens((), (end,), (end,)), {end: tokenizer.end_id}, segments=False)
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_json((t, tokenizer.id_of(t.content)) for t in tokenizer.added_tokens),
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap}
        if charsmap
        else None,
        "pre_tokenizer": words,
        "post_processor": frame,
        "decoder": space,
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.unk_id,
            "vocab": list(zip(tokenizer.vocabulary, tokenizer.scores, strict=False)),
            "byte_fallback": False,
        },
    }
    own = tokenizer.unk_id == _UNKNOWN_ID
    named = set(_named(tokenizer).values())
    config = {
        "tokenizer_class": "T5Tokenizer" if own else "PreTrainedTokenizerFast",
        "extra_ids": 0,
        "additional_special_tokens": [t for t in tokenizer.special_tokens if t not in named],
        "model_max_length": tokenizer.max_length,
        "split_special_tokens": not tokenizer.special_literals,
        "clean_up_tokenization_spaces": False,
        **_named(tokenizer),
    }
    write_json(folder / TOKENIZER, content)
    write_json(folder / CONFIG, config)


def _named(tokenizer: "SentencePiece") -> dict[str, str]:
    return {key: getattr(tokenizer, name) for name, (key, _) in _NAMES.items()}


def _read_json(
    folder: pathlib.Path, config: dict[str, Any], end: str
) -> tuple[Unigram, list[dict[str, Any]]]:
    """The model in tokenizer.json, and the entries of its added tokens."""
    path = folder / TOKENIZER
    content = read_json(path)
    truncation = content.get("truncation") or {}
    require(path, truncation, direction="Right", strategy="LongestFirst", stride=0)
    require(path, content.get("padding") or {}, direction="Right")
    model = content.get("model")
    if isinstance(model, dict) and kind(model) == "none" and isinstance(model.get("vocab"), list):
        model["type"] = "Unigram"  # The first versions of tokenizers did not write it.
    model = part(path, content, "model", "Unigram")
    require(path, model, byte_fallback=False)
    _check_words(path, content.get("pre_tokenizer"), alone=not is_bare(config))
    decoder = content.get("decoder")
    if decoder is not None:
        _check_metaspace(path, "decoder", decoder)
    frame = read_frame(path, content.get("post_processor"), segments=False)
    if frame != FrameTokens((), (end,), (end,)):
        raise unsupported(path, "post_processor template", frame, f"A {end} B {end}")
    pieces, scores = zip(*model["vocab"], strict=True) if model["vocab"] else ((), ())
    unk_id = model.get("unk_id")
    if unk_id is None or not 0 <= unk_id < len(pieces):
        raise unsupported(path, "unk_id", unk_id, f"one of the {len(pieces)} pieces")
    charsmap = _read_charsmap(path, content.get("normalizer"), alone=is_bare(config))
    return Unigram(pieces, scores, charsmap, unk_id), content.get("added_tokens", [])


def _check_words(path: pathlib.Path, pre: Any, alone: bool) -> None:
    """Refuses words that are not cut as T5's; Metaspace without WhitespaceSplit only if `alone`."""
    steps = pre.get("pretokenizers", []) if kind(pre) == "Sequence" else [pre]
    kinds = [kind(step) for step in steps]
    if kinds != ["WhitespaceSplit", "Metaspace"] and not (alone and kinds == ["Metaspace"]):
        name = " + ".join(kinds)
        raise unsupported(path, "pre_tokenizer type", name, "WhitespaceSplit + Metaspace")
    _check_metaspace(path, "pre_tokenizer", steps[-1])


def _check_metaspace(path: pathlib.Path, key: str, step: Any) -> None:
    part(path, {key: step}, key, "Metaspace")
    require(path, step, replacement=_SPACE, str_rep=_SPACE, prepend_scheme="always", split=True,
            add_prefix_space=True)  # fmt: skip


def _read_charsmap(path: pathlib.Path, normalizer: Any, alone: bool) -> bytes:
    """The character map of a normalizer, which transformers takes out of a sequence too.

    `alone`: whether the rest of such a sequence counts, so that there may be none.
    """
    if kind(normalizer) == "none":
        return b""
    steps = normalizer.get("normalizers", []) if kind(normalizer) == "Sequence" else [normalizer]
    kinds = [kind(step) for step in steps]
    known = {"Strip", "Replace"} if not alone else set()
    if kinds[:1] != ["Precompiled"] or not known.issuperset(kinds[1:]):
        raise unsupported(path, "normalizer type", " + ".join(kinds), "Precompiled")
    text = steps[0].get("precompiled_charsmap") or ""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UserError(
            f"{path}: precompiled_charsmap must be in base64. Received: {text[:20]!r}..., {error}."
        ) from error


def _check_same(folder: pathlib.Path, model: Unigram) -> None:
    """Refuses a spiece.model that says something else than tokenizer.json."""
    path = folder / MODEL
    if not path.exists():
        return
    other = read_unigram(path)
    if other.charsmap != model.charsmap:
        raise _disagree(path, "their character maps", len(other.charsmap), len(model.charsmap))
    if other.unk_id != model.unk_id:
        raise _disagree(path, "the unknown token's id", other.unk_id, model.unk_id)
    if len(other.pieces) > len(model.pieces):
        raise _disagree(path, "the number of pieces", len(other.pieces), len(model.pieces))
    for number, piece in enumerate(other.pieces):
        ours = (piece, other.scores[number])
        theirs = (model.pieces[number], float(np.float32(model.scores[number])))
        if ours != theirs:
            raise _disagree(path, f"piece {number}", ours, theirs)


def _disagree(path: pathlib.Path, what: str, ours: Any, theirs: Any) -> UserError:
    return UserError(
        f"{path}: must agree with {TOKENIZER} about {what}. Received: {ours} and {theirs}. "
        "Remove the wrong one."
    )


def _mark_special(
    vocabulary: list[str], added: list[AddedToken], special: list[str]
) -> list[AddedToken]:
    """Added tokens in the order of ids; those that have a name are special ones, as in HF."""
    tokens = {token.content: token for token in added}
    for content in special:
        tokens[content] = tokens.get(content, AddedToken(content))._replace(special=True)
    places = {token: number for number, token in enumerate(vocabulary)}
    return sorted(tokens.values(), key=lambda token: places[token.content])
