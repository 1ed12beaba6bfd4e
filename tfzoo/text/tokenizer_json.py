"""What the files of every Hugging Face tokenizer have in common, read strictly.

`tokenizer.json` is what the library tokenizers loads; `tokenizer_config.json` beside it is
transformers' and holds lengths, sides and the names of special tokens. A part of a kind that is not
known is refused by its name, never skipped.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.vocabulary_file import read_text

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
SPECIAL_MAP, ADDED = "special_tokens_map.json", "added_tokens.json"
BARE_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # Follow tokenizer.json alone.
LARGEST_LENGTH = 1 << 20  # transformers writes 1e30 for "no limit".

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class FrameTokens(NamedTuple):
    """The tokens of a `tfzoo.text.packing.Frame`."""

    before: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def read_json(path: pathlib.Path, missing: Any = None) -> Any:
    """The object in a JSON file; `missing`, where given, for a file that is not there.

    Raises:
        UserError: naming file and line.
    """
    if not path.exists() and missing is not None:
        return missing
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: expected JSON. Received: {error.msg}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object. Received: {type(content).__name__}.")
    return content


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    with write_aside(path) as aside:
        text = json.dumps(content, ensure_ascii=False, indent=2)
        aside.write_text(text + "\n", encoding="utf-8")


def unsupported(path: pathlib.Path, key: str, value: Any, expected: Any) -> UserError:
    """The error that refuses a part by its name."""
    return UserError(f"{path}: {key} is not supported. Expected: {expected}. Received: {value}.")


def kind(part: Any) -> str:
    """The type of a part of tokenizer.json; "none" where there is none."""
    return str(part.get("type", "none")) if isinstance(part, dict) else "none"


def part(path: pathlib.Path, content: dict[str, Any], key: str, expected: str) -> dict[str, Any]:
    """A part of tokenizer.json that must have a certain type."""
    found = content.get(key)
    if kind(found) != expected:
        raise unsupported(path, f"{key} type", kind(found), expected)
    return found  # type: ignore[return-value]


def require(path: pathlib.Path, found: Mapping[str, Any], **expected: Any) -> None:
    """Refuses options with other values than these; a missing one has the expected value.

    Args:
        path: The file, for the error.
        found: The part or object with the options.
        **expected: The one value that an option may have, or a tuple of them.
    """
    for key, allowed in expected.items():
        values = allowed if isinstance(allowed, tuple) else (allowed,)
        if key in found and found[key] not in values:
            raise unsupported(path, key, found[key], values[0])


def check_class(path: pathlib.Path, config: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Refuses the tokenizer_config.json of another kind of tokenizer."""
    name = config.get("tokenizer_class")
    if name is None:  # where transformers looks next
        name = read_json(path.parent / "config.json", missing={}).get("tokenizer_class")
    if name is not None and not isinstance(name, str):
        raise unsupported(path, "tokenizer_class", name, " or ".join(classes))
    if name is not None and name.removesuffix("Fast") not in classes and name not in BARE_CLASSES:
        raise unsupported(path, "tokenizer_class", name, " or ".join(classes))


def is_bare(config: Mapping[str, Any]) -> bool:
    """Whether transformers follows tokenizer.json alone, not options beside it."""
    return config.get("tokenizer_class") in BARE_CLASSES


def max_length(config: Mapping[str, Any], default: int) -> int:
    """The longest row, or `default` where the files say none."""
    length = config.get("model_max_length") or LARGEST_LENGTH + 1
    return int(length) if length <= LARGEST_LENGTH else default


def content_of(token: Any) -> str | None:
    """A token that files write as a string or as an object with flags."""
    return token["content"] if isinstance(token, dict) else token


def named_tokens(names: Mapping[str, Any]) -> dict[str, str]:
    """What files call some tokens: {"pad_token": "<pad>"} and so on, as far as they do."""
    found = {name: content_of(names.get(name)) for name in NAMES}
    return {name: token for name, token in found.items() if token is not None}


def tokens_in_order(path: pathlib.Path, vocabulary: dict[str, int]) -> list[str]:
    """The tokens of a mapping to ids, which must count 0, 1, 2 ..."""
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    ids = [vocabulary[token] for token in tokens]
    if ids != list(range(len(tokens))):
        wrong = next(n for n, i in enumerate(ids) if n != i)
        raise UserError(
            f"{path}: ids of the vocabulary must count 0, 1, 2 ... "
            f"Received: id {ids[wrong]} where {wrong} was expected."
        )
    return tokens


def decoder_entries(path: pathlib.Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Added tokens as transformers 4 wrote them into tokenizer_config.json."""
    entries = config.get("added_tokens_decoder", {})
    if not all(str(number).isdigit() for number in entries):
        raise unsupported(path, "added_tokens_decoder", sorted(entries)[:5], "ids as keys")
    return [{"id": int(number), **entry} for number, entry in entries.items()]


def add_tokens(
    path: pathlib.Path, vocabulary: list[str], entries: Iterable[dict[str, Any]]
) -> list[AddedToken]:
    """The added tokens, in the order of their ids; those the vocabulary lacks are appended to it.

    Raises:
        UserError: for one with an id that is another token's or leaves a gap, or with single_word.
    """
    added = []
    for entry in sorted(entries, key=lambda entry: entry["id"]):
        number, token = entry["id"], entry["content"]
        if entry.get("single_word", False):
            raise unsupported(path, f"added token {token!r} with single_word", True, False)
        if number == len(vocabulary):
            vocabulary.append(token)
        elif number > len(vocabulary) or vocabulary[number] != token:
            other = vocabulary[number] if number < len(vocabulary) else None
            raise UserError(
                f"{path}: an added token must have its own id in the vocabulary, or the next one. "
                f"Received: {token!r} with id {number}, where the vocabulary has {other!r}."
            )
        flags = {
            flag: bool(entry.get(flag, False))
            for flag in ("special", "lstrip", "rstrip", "normalized")
        }
        added.append(AddedToken(token, **flags))
    return added


def plain_special(path: pathlib.Path, added: Sequence[AddedToken]) -> tuple[str, ...]:
    """The added tokens of a tokenizer that can only have special ones without further rules."""
    for token in added:
        for flag in ("lstrip", "rstrip", "normalized"):
            if getattr(token, flag):
                raise unsupported(path, f"added token {token.content!r} with {flag}", True, False)
        if not token.special:
            raise unsupported(path, f"added token {token.content!r} with special", False, True)
    return tuple(token.content for token in added)


def added_json(tokens: Iterable[tuple[AddedToken, int]]) -> list[dict[str, Any]]:
    """`added_tokens` of a tokenizer.json."""
    return [
        {
            "id": number,
            "content": token.content,
            "single_word": False,
            "lstrip": token.lstrip,
            "rstrip": token.rstrip,
            "normalized": token.normalized,
            "special": token.special,
        }
        for token, number in sorted(tokens, key=lambda pair: pair[1])
    ]


def read_frame(path: pathlib.Path, post: dict[str, Any] | None, segments: bool) -> FrameTokens:
    """What a post-processor writes around texts.

    Args:
        path: The file, for errors.
        post: The post-processor.
        segments: Whether the second text must be segment 1, or segments do not matter.

    Raises:
        UserError: for a post-processor or a template that is no `FrameTokens`.
    """
    name = kind(post)
    if name in ("none", "ByteLevel"):  # The latter changes offsets alone.
        return FrameTokens()
    if name in ("BertProcessing", "RobertaProcessing"):
        sep = post["sep"][0]
        between = (sep,) if name == "BertProcessing" else (sep, sep)
        return FrameTokens((post["cls"][0],), between, (sep,))
    if name == "Sequence":
        parts = [p for p in post["processors"] if kind(p) != "ByteLevel"]
        if len(parts) < 2:
            return read_frame(path, parts[0] if parts else None, segments)
    if name != "TemplateProcessing":
        raise unsupported(path, "post_processor type", name, "TemplateProcessing")
    single, pair = (
        [(part["id"], part["type_id"]) for step in post[key] for part in step.values()]
        for key in ("single", "pair")
    )
    frame = _template([token for token, _ in single], [token for token, _ in pair])
    if frame is None or (segments and pair != _with_segments(frame)):
        expected = "[CLS] A [SEP] B:1 [SEP]:1" if segments else "X A Y and X A Z B Y"
        raise unsupported(path, "post_processor template", pair, expected)
    return frame


def _template(single: list[str], pair: list[str]) -> FrameTokens | None:
    if single.count("A") != 1 or pair.count("A") != 1 or pair.count("B") != 1:
        return None
    place = single.index("A")
    before, after = single[:place], single[place + 1 :]
    between = pair[pair.index("A") + 1 : pair.index("B")]
    if pair != [*before, "A", *between, "B", *after]:
        return None
    return FrameTokens(tuple(before), tuple(between), tuple(after))


def _with_segments(frame: FrameTokens) -> list[tuple[str, int]]:
    first = [*frame.before, "A", *frame.between]
    return [(token, 0) for token in first] + [(token, 1) for token in ("B", *frame.after)]


def frame_json(frame: FrameTokens, ids: Mapping[str, int], segments: bool) -> dict[str, Any]:
    """The post-processor that `read_frame` reads.

    Args:
        frame: The tokens.
        ids: The id of each of them.
        segments: Whether the second text is segment 1.
    """

    def token(content: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": content, "type_id": segment}}

    def text(name: str, segment: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    def steps(*parts: Any) -> list[dict[str, Any]]:
        return [step for part in parts for step in (part if isinstance(part, list) else [part])]

    later = int(segments)
    before = [token(content, 0) for content in frame.before]
    between = [token(content, 0) for content in frame.between]
    after = [[token(content, n) for content in frame.after] for n in (0, later)]
    used = {*frame.before, *frame.between, *frame.after}
    return {
        "type": "TemplateProcessing",
        "single": steps(before, text("A", 0), after[0]),
        "pair": steps(before, text("A", 0), between, text("B", later), after[1]),
        "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in sorted(used)},
    }
