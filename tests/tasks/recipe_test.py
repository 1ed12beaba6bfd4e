"""What a model folder says, before anything is built."""

import json

import numpy as np
import pytest

from tests.tasks import tiny
from tests.weights import tiny as hugging_face_tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks import folder, recipe
from tfzoo.tasks.classification import Classification
from tfzoo.tasks.embedding import Embedding


def stored(path, **fields):
    model = tiny.model(**fields)
    if fields.get("head") == "classification":
        task = Classification(model, None, ("x", "y"), max_length=7)
    else:
        task = Embedding(model, None, max_length=7)
    folder.save(task, path)
    return path, model


def change(path, **values):
    config = path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))


def refused(path):
    with pytest.raises(UserError) as error:
        recipe.read_tfzoo(path, None, False, None)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_both_kinds_of_folder_are_told_apart(tmp_path):
    assert recipe.is_tfzoo(stored(tmp_path / "ours")[0])
    assert not recipe.is_tfzoo(hugging_face_tiny.write(tmp_path / "theirs"))
    assert not recipe.is_tfzoo(tmp_path)


def test_a_tfzoo_folder_says_all_of_it(tmp_path):
    path, model = stored(tmp_path / "x", head="classification")
    found = recipe.read_tfzoo(path, None, False, None)
    assert (found.name, found.task, found.tokenizer) == ("bert", "classification", None)
    assert found.options == {"pairs": False, "max_length": 7, "labels": ["x", "y"]}
    assert found.fields["width"] == model.config.width
    for built, original in zip(found.build().weights, model.weights, strict=True):
        assert np.array_equal(built.numpy(), original.numpy())
    assert found.build(dropout=0.5).config.dropout == 0.5


@pytest.mark.parametrize(
    ("head", "new_head", "labels", "options"),
    [
        ("none", False, None, {"max_length": 7}),
        ("classification", True, ("a", "b", "c"), {"max_length": 7, "labels": ("a", "b", "c")}),
        ("token_classification", True, ("a", "b"), {"max_length": 7, "labels": ("a", "b")}),
        ("masked_lm", True, None, {"max_length": 7}),
    ],
)
def test_another_head_keeps_the_encoder(tmp_path, head, new_head, labels, options):
    path, model = stored(tmp_path / "x", head="classification")
    found = recipe.read_tfzoo(path, head, new_head, labels)
    assert found.options == options
    built = {weight.path: weight.numpy() for weight in found.build().weights}
    own = ("classifier", "mlm", "token_embedding/output_bias")
    for weight in model.weights:
        if weight.path in built and not weight.path.startswith(own):
            assert np.array_equal(built[weight.path], weight.numpy())
    if labels:
        assert built["classifier/kernel"].shape == (8, len(labels))
        assert np.abs(built["classifier/bias"]).max() == 0


@pytest.mark.parametrize(
    ("head", "new_head", "labels", "message"),
    [
        ("masked_lm", False, None, "holds no weights for head=masked_lm"),
        ("token_classification", False, None, "holds head classification"),
        ("classification", True, None, "needs the names of its classes"),
        ("masked_lm", True, ("a", "b"), "Only classification and token_classification"),
        ("clasification", False, None, "Did you mean `classification`?"),
    ],
)
def test_heads_that_cannot_be_had_are_refused(tmp_path, head, new_head, labels, message):
    theirs = hugging_face_tiny.write(tmp_path / "theirs", "BertForSequenceClassification")
    ours = tmp_path / "ours"
    folder.convert(f"hf:{theirs}", str(ours))
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        recipe.read_tfzoo(ours, head, new_head, labels)
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        recipe.read_hugging_face(theirs, head, new_head, labels)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 2}, "upgrade tfzoo. Received: format=2, written by tfzoo"),
        ({"format": None}, "does not read"),
        ({"format": True}, "does not read"),
        ({"model": None}, "does not say its `model`"),
        ({"model": {}}, "does not say its `model`"),
        ({"task": {"name": 3}}, "does not say its `task`"),
    ],
)
def test_a_config_that_this_version_cannot_read_is_refused(tmp_path, values, message):
    path, _ = stored(tmp_path / "x")
    change(path, **values)
    assert message in refused(path)


def test_weights_of_other_sizes_are_listed_on_both_sides(tmp_path):
    path, model = stored(tmp_path / "x")
    change(path, model={"name": "bert", **vars(model.config), "pooler": False, "num_segments": 1})
    with pytest.raises(UserError) as error:
        recipe.read_tfzoo(path, None, False, None).build()
    message = str(error.value)
    assert "2 unexpected in the checkpoint: pooler/kernel; pooler/bias" in message
    assert "1 of another shape: segment_embedding/embeddings [2, 8], not [1, 8]" in message
