"""Sentence embeddings."""

import numpy as np
import pytest

from tests.tasks import tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks.embedding import Embedding
from tfzoo.testing.conformance import near


def test_the_answer_has_length_one_unless_told_otherwise():
    model, tokenizer = tiny.model(), tiny.tokenizer()
    unit = Embedding(model, tokenizer).predict(["a b c"])["embedding"]
    raw = Embedding(model, tokenizer, normalize=False).predict(["a b c"])["embedding"]
    near(np.linalg.norm(unit, axis=1), 1.0, 1e-6)
    near(raw / np.linalg.norm(raw), unit, 1e-6)
    assert abs(np.linalg.norm(raw) - 1) > 1e-3


def test_cls_pooling_is_the_first_vector():
    model, tokenizer = tiny.model(), tiny.tokenizer()
    task = Embedding(model, tokenizer, pooling="cls", normalize=False)
    first = model(tokenizer(["a b"], max_length=12))["sequence"][:, 0]
    near(task.predict(["a b"])["embedding"], first, 1e-6)


def test_options_rebuild_the_task():
    model, tokenizer = tiny.model(), tiny.tokenizer()
    task = Embedding(model, tokenizer, pooling="cls", max_length=7)
    assert Embedding(model, tokenizer, **task.options()).options() == task.options()


def test_an_unknown_pooling_is_refused():
    with pytest.raises(UserError, match="mean or cls"):
        Embedding(tiny.model(), tiny.tokenizer(), pooling="max")
