"""The registry of tasks, and of what can be trained."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.tasks import classification, denoising, distillation, names, task_class, trainable
from tfzoo.tasks.embedding import Embedding
from tfzoo.tasks.language_model import LanguageModel
from tfzoo.tasks.masked_language_model import MaskedLanguageModel
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence


def test_the_folder_is_the_registry():
    assert names() == [
        "classification",
        "embedding",
        "head",
        "language_model",
        "masked_language_model",
        "sequence_to_sequence",
    ]
    assert task_class("embedding") is Embedding
    for found in (LanguageModel, MaskedLanguageModel, SequenceToSequence):
        assert task_class(found.name) is found
    with pytest.raises(UserError, match="Did you mean `embedding`"):
        task_class("embeding")


def test_what_can_be_trained_has_data():
    assert trainable("classification") is classification
    for module in (denoising, distillation):  # which train a task of another module
        name = module.__name__.rpartition(".")[2]
        assert trainable(name) is module
        with pytest.raises(UserError, match=f"`{name}` is not a task"):
            task_class(name)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(UserError, match="Did you mean `language_model`"):
        trainable("language_mode")
    with pytest.raises(UserError, match=r"embedding cannot be trained\. Expected one of classif"):
        trainable("embedding")
    with pytest.raises(UserError, match="is not a task"):
        trainable("folder")
