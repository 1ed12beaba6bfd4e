"""Published heads without a task of their own."""

import numpy as np
import pytest

from tests.tasks import tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks.head import HeadOutputs
from tfzoo.testing.conformance import near


def test_outputs_of_the_head_stand_beside_the_ids():
    model, tokenizer = tiny.model(head="question_answering"), tiny.tokenizer()
    answer = HeadOutputs(model, tokenizer).predict(["a b", "c"])
    assert set(answer) == {"token_ids", "start_logits", "end_logits"}
    assert answer["token_ids"].tolist() == [[2, 5, 6, 3], [2, 7, 3, 0]]
    near(answer["start_logits"], model(tokenizer(["a b", "c"]))["start_logits"], 1e-6)


def test_token_labels_are_the_best_of_each_token_and_empty_on_padding():
    model = tiny.model(head="token_classification", num_labels=2)
    answer = HeadOutputs(model, tiny.tokenizer(), labels=("O", "X")).predict(["a b", "c"])
    best = np.array([b"O", b"X"], object)[answer["logits"].argmax(-1)]
    assert answer["labels"][0].tolist() == best[0].tolist()
    assert answer["labels"][1].tolist() == [*best[1][:3].tolist(), b""]


def test_labels_of_another_number_are_refused():
    model = tiny.model(head="token_classification", num_labels=2)
    with pytest.raises(UserError, match=r"2 classes\. Received: 3 labels"):
        HeadOutputs(model, tiny.tokenizer(), labels=("a", "b", "c"))
