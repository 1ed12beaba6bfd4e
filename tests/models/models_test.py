"""The registry of architectures, and what it says to a wrong name or value."""

import keras
import pytest

import tfzoo
from tfzoo import models
from tfzoo.core.errors import UserError


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
        (("bert",), {"dropout": 1.0}, "dropout must be from 0 to 1"),
        (("bert",), {"head": "classification", "pooler": False}, "pooler"),
        (("bert",), {"norm_epsilon": 0.0}, "norm_epsilon must be above 0"),
        (("bert",), {"initializer_range": -1.0}, "initializer_range must be at least 0"),
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


@pytest.mark.parametrize("fields", [{}, {"head": "classification", "num_labels": 5}])
def test_counting_agrees_with_the_model_that_is_built(fields):
    sizes = {"num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16, "vocab_size": 9}
    built = tfzoo.build("bert", **sizes, **fields)
    assert models.count_parameters("bert", **sizes, **fields) == built.count_params()


def test_what_was_only_counted_is_never_given_values(monkeypatch):
    given = []
    initialize = keras.Variable._deferred_initialize
    monkeypatch.setattr(
        keras.Variable, "_deferred_initialize", lambda v: (given.append(v.path), initialize(v))
    )
    models.count_parameters("bert", "tiny")
    with keras.StatelessScope():
        keras.layers.Dense(2, name="other").build((None, 3))
    assert given == ["other/kernel", "other/bias"]
