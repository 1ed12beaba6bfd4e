"""The tokenizer inside a TFLite file."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.text.wordpiece import WordPiece

LENGTH = 24
TEXTS = [
    "",
    " \t",
    "The cat sat on the mat.",
    "the [SEP] cat[MASK]sat [sep] [SE P] [[CLS]] []",
    "[MASK]",
    "[",
    "a [S\x00EP] \ue001SEP\ue002 [SEP\u200b]",
    "x" * 100 + " " + "x" * 101 + " é" + "e\u0301" * 101 + " " + "é" * 100,
    "中国 “ unaffable ” naïve ½ \U0002b821 \u2e52",
    "the " * 200,
    b"the\xff cat \xe4\xb8 sat",
]


@pytest.fixture(scope="module", params=[True, False], ids=["literals", "plain"])
def tokenizer(request, vocabulary):
    return WordPiece(vocabulary, special_literals=request.param)


@pytest.fixture(scope="module")
def runners(tokenizer, tmp_path_factory):
    from ai_edge_litert import interpreter
    from tensorflow_text import tflite_registrar

    one = tf.TensorSpec([1], tf.string)
    module = tf.Module()
    module.tokenizer = tokenizer
    module.single = tf.function(
        lambda text: tokenizer.lite_inputs(text, LENGTH), input_signature=[one], autograph=False
    )
    module.pair = tf.function(
        lambda text, pair: tokenizer.lite_inputs(text, LENGTH, pair),
        input_signature=[one, one],
        autograph=False,
    )
    folder = str(tmp_path_factory.mktemp("model"))
    tf.saved_model.save(module, folder, {"single": module.single, "pair": module.pair})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = True
    interpreter = interpreter.InterpreterWithCustomOps(
        tflite_registrar.SELECT_TFTEXT_OPS, model_content=converter.convert()
    )
    ops = {op["op_name"] for op in interpreter._get_ops_details()}
    return interpreter.get_signature_runner("single"), interpreter.get_signature_runner("pair"), ops


def raw(text):
    return np.array([text if isinstance(text, bytes) else text.encode()], dtype=object)


def same(ours, theirs):
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_only_the_two_ops_of_tensorflow_text_are_custom(runners):
    custom = {op for op in runners[2] if not op.isupper()}
    assert custom == {"FastBertNormalize", "FastWordpieceTokenizeWithOffsets"}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_converted_row_is_the_row_of_the_graph(tokenizer, runners, text):
    assert same(tokenizer([text], pad_to=LENGTH), runners[0](text=raw(text)))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_converted_pair_is_the_pair_of_the_graph(tokenizer, runners, text):
    pair = "a cat [SEP] sat, the end"
    expected = tokenizer([text], [pair], pad_to=LENGTH)
    assert same(expected, runners[1](text=raw(text), pair=raw(pair)))


def test_fuzzed_texts_are_the_same(tokenizer, runners, vocabulary, fuzz):
    texts = fuzz(7, 400, vocabulary)
    expected = tokenizer(texts, pad_to=LENGTH)["token_ids"].numpy()
    found = [runners[0](text=raw(text))["token_ids"][0] for text in texts]
    assert np.array_equal(expected, found)


def test_special_tokens_without_brackets_are_refused(vocabulary):
    tokenizer = WordPiece(("<s>", *vocabulary), classifier="<s>")
    with pytest.raises(UserError, match=r"square brackets\. Received: <s>"):
        tokenizer.lite_inputs(["a"], 8)


def test_a_row_must_have_a_length_of_the_tokenizer(vocabulary):
    with pytest.raises(UserError, match="max_length=600"):
        WordPiece(vocabulary).lite_inputs(["a"], 600)
