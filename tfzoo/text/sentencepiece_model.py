"""Models of SentencePiece: the file `spiece.model`, read and written without that library.

Source: sentencepiece, src/sentencepiece_model.proto. What has no field here stays in the message
and is written back as it was.
"""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from tfzoo.core.errors import UserError

UNIGRAM, BPE = 1, 2
_KINDS = {UNIGRAM: "unigram", BPE: "bpe", 3: "word", 4: "char"}
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3

_Field = descriptor_pb2.FieldDescriptorProto
# Message -> field -> number and type; a type that is the name of a message is that message.
_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "Piece": {
        "piece": (1, _Field.TYPE_BYTES),
        "score": (2, _Field.TYPE_FLOAT),
        "type": (3, _Field.TYPE_INT32),
    },
    "Trainer": {
        "model_type": (3, _Field.TYPE_INT32),
        "treat_whitespace_as_suffix": (24, _Field.TYPE_BOOL),
        "byte_fallback": (35, _Field.TYPE_BOOL),
        "unk_id": (40, _Field.TYPE_INT32),
    },
    "Normalizer": {
        "precompiled_charsmap": (2, _Field.TYPE_BYTES),
        "add_dummy_prefix": (3, _Field.TYPE_BOOL),
        "remove_extra_whitespaces": (4, _Field.TYPE_BOOL),
        "escape_whitespaces": (5, _Field.TYPE_BOOL),
    },
    "Model": {
        "pieces": (1, "Piece"),
        "trainer_spec": (2, "Trainer"),
        "normalizer_spec": (3, "Normalizer"),
        "denormalizer_spec": (5, "Normalizer"),
    },
}


class Unigram(NamedTuple):
    """A unigram model.

    Attributes:
        pieces: Its tokens, in the order of their ids.
        scores: Their logarithms of probability, as many.
        charsmap: How it replaces characters; see `tfzoo.text.charsmap`.
        unk_id: Id of the unknown token.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    charsmap: bytes
    unk_id: int


def read_unigram(path: str | os.PathLike[str]) -> Unigram:
    """Reads a unigram model.

    Raises:
        UserError: naming the file, for what is no such model or has options that T5's has not.
    """
    model = parse(pathlib.Path(path).read_bytes(), path)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    kind = trainer.model_type or UNIGRAM
    if kind != UNIGRAM:
        raise _unsupported(path, "model_type", _KINDS.get(kind, kind), "unigram")
    for spec, name, expected in (
        (trainer, "treat_whitespace_as_suffix", False),
        (normalizer, "add_dummy_prefix", True),
        (normalizer, "remove_extra_whitespaces", True),
        (normalizer, "escape_whitespaces", True),
    ):
        if spec.HasField(name) and getattr(spec, name) != expected:
            raise _unsupported(path, name, not expected, expected)
    if model.denormalizer_spec.precompiled_charsmap:
        raise _unsupported(path, "denormalizer_spec", "a character map", "none")
    unk_id = trainer.unk_id
    if not 0 <= unk_id < len(model.pieces):
        raise _unsupported(path, "unk_id", unk_id, f"one of the {len(model.pieces)} pieces")
    return Unigram(
        tuple(entry.piece.decode() for entry in model.pieces),
        tuple(entry.score for entry in model.pieces),
        normalizer.precompiled_charsmap,
        unk_id,
    )


def parse(content: bytes, name: str | os.PathLike[str]) -> Any:
    """The message in the bytes of a model.

    Raises:
        UserError: beginning with `name`, when they are none.
    """
    model = _classes()["Model"]()
    try:
        model.ParseFromString(content)
    except message.DecodeError:
        pass  # What was read until then does not count: the last lines say what is wrong.
    else:
        if model.pieces and all(entry.piece for entry in model.pieces):
            return model
    raise UserError(
        f"{name}: expected a SentencePiece model. Received: "
        f"{len(content)} bytes that are none, or that end too early."
    )


def pieces_of(content: bytes) -> tuple[set[str], set[str]]:
    """The pieces of a model, and those among them that are no text: its control symbols."""
    entries = parse(content, "model").pieces
    hidden = {entry.piece.decode() for entry in entries if entry.type == _CONTROL}
    return {entry.piece.decode() for entry in entries}, hidden


def write_unigram(pieces: Sequence[tuple[bytes, float]], charsmap: bytes, unknown_id: int) -> bytes:
    """The bytes of a unigram model whose pieces are all text, but for the unknown one."""
    model = _classes()["Model"]()
    for number, (piece, score) in enumerate(pieces):
        kind = _UNKNOWN if number == unknown_id else _NORMAL
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.model_type = UNIGRAM
    model.trainer_spec.unk_id = unknown_id
    model.normalizer_spec.precompiled_charsmap = charsmap
    for name in ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"):
        setattr(model.normalizer_spec, name, True)
    return model.SerializeToString()


@functools.cache
def _classes() -> dict[str, Any]:
    """Message classes, in a pool of their own: sentencepiece may have registered its own names."""
    file = descriptor_pb2.FileDescriptorProto(name="model.proto", package="m", syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        described.extension_range.add(start=200, end=1 << 29)
        for field, (number, kind) in fields.items():
            many = name == "Model" and field == "pieces"
            label = _Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL
            entry = described.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                entry.type, entry.type_name = _Field.TYPE_MESSAGE, f".m.{kind}"
            else:
                entry.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"m.{name}"))
        for name in _MESSAGES
    }


def _unsupported(path: Any, key: str, value: Any, expected: Any) -> UserError:
    return UserError(f"{path}: {key} is not supported. Expected: {expected}. Received: {value}.")
