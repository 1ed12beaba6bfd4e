"""The registry of tasks."""

import pytest

from tfzoo.core.errors import UserError
from tfzoo.tasks import names, task_class
from tfzoo.tasks.embedding import Embedding


def test_the_folder_is_the_registry():
    assert {"classification", "embedding", "head"} <= set(names())
    assert task_class("embedding") is Embedding
    with pytest.raises(UserError, match="Did you mean `embedding`"):
        task_class("embeding")
