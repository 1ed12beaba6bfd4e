"""What every tokenizer has, on one that is made of nothing else."""

import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text.packing import Frame
from tfzoo.text.tokenizer import Tokenizer, as_texts, to_utf8
from tfzoo.text.vocabulary import Vocabulary


class Bytes(Tokenizer):
    """A byte is its own id."""

    def __init__(self, frame, max_length=8):
        tokens = [f"<{byte}>" for byte in range(256)]
        super().__init__(Vocabulary(tokens, []), ["<0>"], frame, max_length)

    @classmethod
    def from_folder(cls, folder, **options):
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError

    def tokenize(self, texts):
        pieces = tf.strings.bytes_split(as_texts(texts))
        values = tf.io.decode_raw(pieces.flat_values, tf.uint8)[:, 0]
        return pieces.with_flat_values(tf.cast(values, tf.int32))

    def decode(self, token_ids, skip_special_tokens=False, clean_up=False):
        raise NotImplementedError


def ids(tokenizer, *arguments, **options):
    return tokenizer(*arguments, **options)["token_ids"].numpy().tolist()


def test_a_tokenizer_must_say_how_texts_become_ids():
    with pytest.raises(TypeError, match="abstract"):
        Tokenizer(Vocabulary(["a"], []), [], Frame(), 8)


def test_vocabulary_and_lengths_are_known():
    tokenizer = Bytes(Frame(padding=7))
    assert tokenizer.vocab_size == 256 and tokenizer.vocabulary[65] == "<65>"
    assert tokenizer.id_of("<65>") == 65 and tokenizer.pad_id == 7
    assert tokenizer.max_length == 8 and tokenizer.special_tokens == ("<0>",)


def test_rows_are_framed():
    tokenizer = Bytes(Frame((1,), (2, 3), (4,), 9))
    assert ids(tokenizer, ["A", ""]) == [[1, 65, 4], [1, 4, 9]]
    assert ids(tokenizer, ["A"], ["BB"]) == [[1, 65, 2, 3, 66, 66, 4]]
    assert ids(tokenizer, ["AAAAAAAAA"]) == [[1, *[65] * 6, 4]]
    assert ids(tokenizer, ["A"], pad_to=4) == [[1, 65, 4, 9]]


def test_a_tokenizer_without_a_frame_needs_room_for_one_token():
    assert ids(Bytes(Frame()), ["AB"], max_length=1) == [[65]]
    with pytest.raises(UserError, match="at least 1"):
        Bytes(Frame())(["AB"], max_length=0)


@pytest.mark.parametrize(
    ("frame", "max_length", "match"),
    [
        (Frame((1,), (2, 2), (3,)), 3, "must be 4 or more. Received: max_length=3"),
        (Frame(), 0, "must be 1 or more"),
        (Frame(padding_side="middle"), 8, "padding_side='middle'"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frame, max_length, match):
    with pytest.raises(UserError, match=match):
        Bytes(frame, max_length)


def test_texts_may_be_lists_or_tensors():
    assert as_texts(["a", b"b"]).numpy().tolist() == [b"a", b"b"]
    assert as_texts(tf.constant(["a"])).numpy().tolist() == [b"a"]
    assert as_texts([]).shape == (0,)
    with pytest.raises(UserError, match="Put one text into a list"):
        as_texts("a")


def test_bytes_that_are_not_utf_8_are_replaced_as_python_does_it():
    raw = [
        b"\xff",
        b"\xe4\xb8a",
        b"\xf0\x9f\x98",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        "é\x00\ufeff".encode(),
    ]
    expected = [text.decode(errors="replace").encode() for text in raw]
    assert to_utf8(tf.constant(raw)).numpy().tolist() == expected
