"""The base class of the zoo."""

import subprocess
import sys

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
