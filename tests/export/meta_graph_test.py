"""What is read from saved_model.pb equals what TensorFlow's own tools say."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.export import meta_graph


def test_ops_hold_those_of_functions_and_no_function_names(tiny_models):
    ops = meta_graph.read(tiny_models / "words" / "1").ops
    assert {"VarHandleOp", "StringLength", "ParseExampleV2", "StatefulPartitionedCall"} <= ops
    assert not [op for op in ops if op.startswith("__inference")]


def test_ops_of_tensorflow_text_are_seen(tiny_models):
    assert "CaseFoldUTF8" in meta_graph.read(tiny_models / "text" / "1").ops


def test_fixed_and_free_axes_and_scalars(tiny_models):
    signatures = meta_graph.read(tiny_models / "numbers" / "1").signatures
    assert signatures["echo"].inputs["f"].shape == (None, 2)
    assert signatures["scalar"].inputs["x"].shape == ()
    assert signatures["any_rank"].inputs["x"].shape is None
    assert list(signatures["echo"].inputs) == ["b", "d", "f", "i", "l"]


def test_the_writers_version_is_known(tiny_models):
    assert meta_graph.read(tiny_models / "words" / "1").tensorflow_version.startswith("2.")


def test_the_models_of_other_tags_are_not_read(tiny_models):
    with pytest.raises(UserError, match=r"no graph tagged 'train'.*\[\['serve'\]\]"):
        meta_graph.read(tiny_models / "words" / "1", tag="train")
