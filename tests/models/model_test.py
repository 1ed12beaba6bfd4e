"""Registry, configs and the base class."""

import subprocess
import sys

import numpy as np
import pytest

import tfzoo
from tfzoo import models
from tfzoo.core.errors import UserError

TINY = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}


def test_the_folder_is_the_registry():
    assert "bert" in models.names()
    assert "model" not in models.names()


@pytest.mark.parametrize(
    ("arguments", "fields", "message"),
    [
        (("brt",), {}, "`brt` is not a model. Did you mean `bert`?"),
        (("bert", "smal"), {}, "Did you mean `small`?"),
        (("bert",), {"widht": 8}, "Did you mean `width`?"),
        (("bert",), {"width": "8"}, "must be int"),
        (("bert",), {"width": 7, "num_heads": 2}, "num_heads must divide width"),
        (("bert",), {"activation": "swishy"}, "activation must be one of"),
        (("bert",), {"head": "clasification"}, "classification"),
        (("bert",), {"dropout": 1.0}, "dropout must be in"),
        (("bert",), {"head": "classification", "pooler": False}, "pooler"),
        (("bert",), {"num_labels": 0}, "num_labels must be at least 1"),
    ],
)
def test_a_wrong_name_or_value_is_one_line_that_helps(arguments, fields, message):
    with pytest.raises(UserError) as error:
        tfzoo.build(*arguments, **fields)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_fields_override_a_variant():
    config = models.config("bert", "tiny", num_layers=1)
    assert (config.num_layers, config.width) == (1, 128)


def test_features_stop_below_the_head_and_share_the_weights():
    model = tfzoo.build("bert", **TINY, head="classification", num_labels=3)
    features = model.features()
    assert set(features.output) == {"sequence", "pooled"}
    assert {id(w) for w in features.weights} <= {id(w) for w in model.weights}


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
