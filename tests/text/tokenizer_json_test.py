"""What the files of tokenizers have in common."""

import pathlib

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text import tokenizer_json
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.tokenizer_json import FrameTokens, read_frame

PATH = pathlib.Path("tokenizer.json")
CLS, SEP = ("<s>", 0), ("</s>", 2)


@pytest.mark.parametrize(
    ("post", "expected"),
    [
        (None, FrameTokens()),
        ({"type": "ByteLevel"}, FrameTokens()),
        ({"type": "BertProcessing", "cls": CLS, "sep": SEP},
         FrameTokens(("<s>",), ("</s>",), ("</s>",))),
        ({"type": "RobertaProcessing", "cls": CLS, "sep": SEP},
         FrameTokens(("<s>",), ("</s>", "</s>"), ("</s>",))),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}]}, FrameTokens()),
        ({"type": "Sequence", "processors": [
            {"type": "ByteLevel"}, {"type": "BertProcessing", "cls": CLS, "sep": SEP}]},
         FrameTokens(("<s>",), ("</s>",), ("</s>",))),
    ],
)  # fmt: skip
def test_post_processors_are_frames(post, expected):
    assert read_frame(PATH, post, segments=False) == expected


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize(
    "frame",
    [
        FrameTokens(),
        FrameTokens(("[CLS]",), ("[SEP]",), ("[SEP]",)),
        FrameTokens((), ("</s>",), ("</s>",)),
        FrameTokens(("a", "b"), (), ("c",)),
    ],
)
def test_a_written_frame_is_read_again(frame, segments):
    ids = {token: number for number, token in enumerate(["[CLS]", "[SEP]", "</s>", "a", "b", "c"])}
    post = tokenizer_json.frame_json(frame, ids, segments)
    assert read_frame(PATH, post, segments) == frame
    if frame.after and segments:
        with pytest.raises(UserError, match="template"):
            read_frame(PATH, tokenizer_json.frame_json(frame, ids, False), segments=True)


@pytest.mark.parametrize(
    ("single", "pair"), [("A", "AA"), ("AX", "AB"), ("XA", "AXB"), ("A", "BA"), ("", "AB")]
)
def test_templates_that_are_no_frame_are_refused(single, pair):
    def steps(names):
        return [
            {"Sequence" if name in "AB" else "SpecialToken": {"id": name, "type_id": 0}}
            for name in names
        ]

    post = {"type": "TemplateProcessing", "single": steps(single), "pair": steps(pair)}
    with pytest.raises(UserError, match="template"):
        read_frame(PATH, post, segments=False)


def test_options_must_have_their_value():
    tokenizer_json.require(PATH, {"a": 1, "b": 2}, a=1, b=(2, 3), c=4)
    with pytest.raises(UserError, match=r"a is not supported\. Expected: 3\. Received: 1"):
        tokenizer_json.require(PATH, {"a": 1}, a=(3, 4))


def test_added_tokens_keep_their_flags():
    vocabulary = ["a", "b"]
    entries = [
        {"id": 2, "content": "<x>", "special": True, "lstrip": True},
        {"id": 1, "content": "b", "normalized": True},
    ]
    added = tokenizer_json.add_tokens(PATH, vocabulary, entries)
    assert vocabulary == ["a", "b", "<x>"]
    assert added == [
        AddedToken("b", special=False, normalized=True),
        AddedToken("<x>", lstrip=True),
    ]
    written = tokenizer_json.added_json(zip(added, (1, 2), strict=True))
    assert tokenizer_json.add_tokens(PATH, ["a", "b"], written) == added


def test_a_length_that_is_none_is_the_families_own():
    assert tokenizer_json.max_length({}, 7) == 7
    assert tokenizer_json.max_length({"model_max_length": int(1e30)}, 7) == 7
    assert tokenizer_json.max_length({"model_max_length": None}, 7) == 7
    assert tokenizer_json.max_length({"model_max_length": 9}, 7) == 9


def test_names_of_tokens_may_be_entries_with_flags():
    names = {"pad_token": {"content": "<p>", "lstrip": False}, "eos_token": "</s>", "x": 1}
    assert tokenizer_json.named_tokens(names) == {"eos_token": "</s>", "pad_token": "<p>"}
