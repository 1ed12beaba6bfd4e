"""The base class of the zoo."""

import subprocess
import sys

import keras
import numpy as np

import tfzoo

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
