"""The base class of the zoo."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.core.errors import UserError

TINY = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}


def test_features_stop_below_the_head_and_share_the_weights():
    model = tfzoo.build("bert", **TINY, head="classification", num_labels=3)
    features = model.features()
    assert set(features.output) == {"sequence", "pooled"}
    assert {id(w) for w in features.weights} <= {id(w) for w in model.weights}


def test_a_pooler_that_the_head_does_not_read_is_not_drawn():
    model = tfzoo.build("bert", **TINY, head="masked_lm")
    assert set(model.features().output) == {"sequence"}
    assert {w.path for w in model.features().weights} <= {w.path for w in model.weights}


@pytest.mark.slow
def test_a_model_file_loads_in_a_fresh_process(tmp_path):
    model = tfzoo.build("bert", **TINY, head="classification", num_labels=3)
    model.save(tmp_path / "x.keras")
    inputs = {k: np.ones((1, 4), "int32") for k in ("token_ids", "segment_ids", "padding_mask")}
    code = (
        "import sys, keras, numpy as np, tfzoo.models.bert\n"
        f"m = keras.models.load_model({str(tmp_path / 'x.keras')!r})\n"
        f"i = {{k: np.ones((1, 4), 'int32') for k in {list(inputs)!r}}}\n"
        "print(*np.asarray(m(i)['logits']).ravel().tolist())\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found = [float(x) for x in output.stdout.split()]
    np.testing.assert_allclose(found, np.ravel(model(inputs)["logits"]), atol=1e-6)


def test_a_model_is_reloaded_under_the_precision_it_was_drawn_with(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tfzoo.build("bert", **TINY).save(tmp_path / "x.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    again = keras.models.load_model(tmp_path / "x.keras")
    assert again.get_layer("block_0").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


DECODER = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "max_length": 6}
ENCODER_DECODER = {
    "vocab_size": 20,
    "width": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "head_dim": 4,
    "feed_forward_dim": 16,
}
IDS = np.array([[1, 2, 3], [4, 5, 6]], "int32")


def test_a_model_without_a_decoder_says_so():
    bert = tfzoo.build("bert", **TINY)
    for call in (
        lambda: bert.encode(IDS),
        lambda: bert.empty_caches(2, 4),
        lambda: bert.step(IDS, ()),
        lambda: tfzoo.build("gpt2", **DECODER).encode(IDS),
        lambda: tfzoo.build("t5", **ENCODER_DECODER, head="encoder").step(IDS, ()),
    ):
        with pytest.raises(UserError, match=r"has no .*decoder to go step by step"):
            call()


@pytest.mark.parametrize(
    ("name", "head"),
    [("bert", "none"), ("bert", "next_sentence"), ("distilbert", "none"), ("roberta", "none")],
)
def test_an_encoder_without_a_masked_language_model_says_so(name, head):
    model = tfzoo.build(name, **TINY, head=head)
    with pytest.raises(UserError, match=rf"{name} has no head that scores.*head='{head}'\.$"):
        model.logits(np.zeros((1, 2, 8), "float32"))


def test_caches_are_made_for_what_the_model_takes():
    with pytest.raises(UserError, match=r"takes what `encode` gave"):
        tfzoo.build("t5", **ENCODER_DECODER).empty_caches(2, 4)
    with pytest.raises(UserError, match="takes the number of rows"):
        tfzoo.build("gpt2", **DECODER).empty_caches(np.ones((2, 3, 8)), 4)


@pytest.mark.parametrize("start", [2, -1, np.int64(2)])
def test_a_step_beyond_the_caches_is_refused(start):
    model = tfzoo.build("gpt2", **DECODER)
    with pytest.raises(UserError, match=r"room for 4 tokens\. Received: 3 tokens"):
        model.step(IDS, model.empty_caches(2, 4), start)
    model.step(IDS, model.empty_caches(2, 4), 1)


def test_a_step_of_other_rows_than_the_caches_is_refused():
    model = tfzoo.build("gpt2", **DECODER)
    with pytest.raises(UserError, match=r"of 1 rows\. Received: token ids of 2 rows"):
        model.step(IDS, model.empty_caches(1, 4), 0)


def test_a_step_beyond_the_positions_is_never_answered():
    model = tfzoo.build("gpt2", **DECODER)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.step(IDS, model.empty_caches(2, 20), tf.constant(5))


def test_what_is_read_is_scored_by_the_head_alone():
    for name, sizes, rows in (("gpt2", DECODER, 2), ("t5", ENCODER_DECODER, np.ones((2, 3, 8)))):
        model = tfzoo.build(name, **sizes)
        x_btd, read = model.read(IDS, model.empty_caches(rows, 4), 1)
        logits, stepped = model.step(IDS, model.empty_caches(rows, 4), 1)
        assert x_btd.shape == (2, 3, 8)
        np.testing.assert_allclose(model.logits(x_btd[:, -1:])[:, 0], logits[:, -1], atol=1e-6)
        for one, other in zip(read, stepped, strict=True):
            np.testing.assert_array_equal(one["cache"][0], other["cache"][0])
