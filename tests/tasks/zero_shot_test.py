"""A language model as a classifier: the label whose words are likeliest after the text."""

import numpy as np
import pytest

import tfzoo
from tests.tasks import pretraining, tiny
from tfzoo.core.errors import UserError
from tfzoo.data.tables import Table
from tfzoo.tasks.embedding import Embedding
from tfzoo.tasks.language_model import LanguageModel
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence
from tfzoo.tasks.zero_shot import ZeroShot
from tfzoo.testing.values import fill, near

TEMPLATE = "the {text} sees a {label}"
WORDS = {"c": "cat", "d": "dog bird", "f": "fish"}
ANSWERS = tuple(WORDS.values())
TEXTS = ["cat and dog", "bird"]


@pytest.fixture(scope="module")
def task():
    sizes = {"num_layers": 1, "num_heads": 2, "width": 16, "max_length": 48}
    model = tfzoo.build("gpt2", vocab_size=len(pretraining.VOCABULARY), **sizes)
    fill(model)
    return LanguageModel(model, pretraining.tokenizer())


def examples(labels="ccddff", pairs=None):
    texts = tuple(("cat", "dog", "bird", "fish", "a", "the")[: len(labels)])
    return Table("examples.tsv", tuple(range(2, len(labels) + 2)), texts, pairs, tuple(labels))


def likelihood(task, prompts, words=ANSWERS):
    """Of every label after every prompt, `(n, c)`, and how many tokens those are."""
    found = [task.score([prompt] * len(words), list(words)) for prompt in prompts]
    log = np.array([one["log_likelihood"] for one in found])
    return log, np.array([one["num_tokens"] for one in found])


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def test_the_answer_is_that_of_a_classifier(task):
    answer = ZeroShot(task, TEMPLATE, WORDS).predict(TEXTS)
    log, _ = likelihood(task, ["the cat and dog sees a ", "the bird sees a "])
    near(answer["log_likelihood"], log, 1e-4)
    near(answer["logits"], log, 1e-4)
    near(answer["scores"], softmax(log), 1e-5)
    assert answer["labels"].tolist() == [[b"c", b"d", b"f"]] * 2
    assert answer["label"].tolist() == [b"cdf"[i : i + 1] for i in log.argmax(-1)]
    near(answer["score"], softmax(log).max(-1), 1e-5)


def test_a_label_is_its_own_words_where_there_are_no_others(task):
    names = ZeroShot(task, TEMPLATE, ["cat", "fish"])
    words = ZeroShot(task, TEMPLATE, {"cat": "cat", "fish": "fish"})
    near(names.predict(TEXTS)["scores"], words.predict(TEXTS)["scores"], 0)


def test_what_stands_behind_the_label_is_scored_with_it(task):
    answer = ZeroShot(task, TEMPLATE + " .", WORDS).predict(["bird"])
    log, _ = likelihood(task, ["the bird sees a "], [f"{words} ." for words in ANSWERS])
    near(answer["log_likelihood"], log, 1e-4)


def test_scores_by_the_token_do_not_favour_short_labels(task):
    answer = ZeroShot(task, TEMPLATE, WORDS, normalize="tokens").predict(["bird"])
    log, tokens = likelihood(task, ["the bird sees a "])
    assert tokens.tolist() == [[1, 2, 1]]
    near(answer["logits"], log / tokens, 1e-4)


def test_calibration_takes_off_what_a_label_is_worth_without_a_text(task):
    found = ZeroShot(task, TEMPLATE, WORDS, normalize="calibration")
    log, _ = likelihood(task, [f"the {text} sees a " for text in ("N/A", "[MASK]", "")])
    wanted = np.log(softmax(log).mean(0))
    text, _ = likelihood(task, ["the bird sees a "])
    near(found.predict(["bird"])["logits"], text - wanted, 1e-4)
    unread = found.predict(["N/A"])["scores"]
    assert abs(unread - 1 / 3).max() < abs(softmax(log[:1]) - 1 / 3).max()


def test_pmi_takes_off_what_a_label_is_worth_after_the_words_before_it(task):
    found = ZeroShot(task, TEMPLATE, WORDS, normalize="pmi").predict(["bird"])
    log, _ = likelihood(task, [" sees a ", "the bird sees a "])
    near(found["scores"], softmax(log[1:] - log[:1]), 1e-5)
    with pytest.raises(UserError, match="needs words between the text and"):
        ZeroShot(task, "the {text} {label}", WORDS, normalize="pmi")


def test_examples_stand_before_the_text_with_their_labels(task):
    found = ZeroShot(task, TEMPLATE, WORDS, examples(), shots=3)
    shown = found.examples.split("\n\n")
    assert shown.pop() == ""
    possible = {"cat": "cat", "dog": "cat", "bird": "dog bird", "fish": "dog bird", "a": "fish",
                "the": "fish"}  # fmt: skip
    assert set(shown) <= {f"the {text} sees a {label}" for text, label in possible.items()}
    assert len(set(shown)) == 3
    prompt = f"{found.examples}the bird sees a "
    assert found.prompt("bird") == prompt
    near(found.predict(["bird"])["logits"], likelihood(task, [prompt])[0], 1e-4)


def test_examples_are_of_all_classes_and_their_order_is_that_of_the_seed(task):
    def labels(seed, shots):
        found = ZeroShot(task, "{text} and {label}", WORDS, examples("cccccf"), shots, seed)
        return [line.rpartition(" ")[2] for line in found.examples.strip().split("\n\n")]

    assert all(sorted(labels(seed, 2)) == ["cat", "fish"] for seed in range(1, 6))
    assert sorted(labels(1, None)) == ["cat"] * 5 + ["fish"]
    assert {tuple(labels(seed, 2)) for seed in range(1, 9)} == {("cat", "fish"), ("fish", "cat")}
    one, two = (ZeroShot(task, TEMPLATE, WORDS, examples(), 4, 3) for _ in range(2))
    assert one.examples == two.examples


def test_two_texts_go_into_one_prompt(task):
    found = ZeroShot(task, "{text} and {pair} sees a {label}", WORDS)
    assert found.pairs
    assert found.prompt("the cat {pair}", "a dog") == "the cat {pair} and a dog sees a "
    near(found.predict(["cat"], ["dog"])["logits"], likelihood(task, ["cat and dog sees a "])[0],
         1e-4)  # fmt: skip
    with pytest.raises(UserError, match="takes two texts"):
        found.predict(["cat"])
    with pytest.raises(UserError, match="takes one text"):
        ZeroShot(task, TEMPLATE, WORDS).predict(["cat"], ["dog"])
    with pytest.raises(UserError, match="must have two texts a row"):
        ZeroShot(task, "{text} and {pair} sees a {label}", WORDS, examples())


def test_an_encoder_decoder_reads_the_prompt_and_scores_the_label_as_its_target():
    sides = ("encoder", "decoder")
    sizes = {f"num_{side}_{what}": 1 for side in sides for what in ("layers", "heads")}
    sizes |= {f"{side}_feed_forward_dim": 8 for side in sides}
    model = tfzoo.build("bart", vocab_size=20, width=8, max_length=12, **sizes)
    fill(model)
    task = SequenceToSequence(model, tiny.tokenizer())
    found = ZeroShot(task, "a {text} b {label}", ["a", "c b"])
    wanted = task.score(["a c b"] * 2, ["a", "c b"])["log_likelihood"]
    near(found.predict(["c"])["logits"][0], wanted, 1e-4)
    with pytest.raises(UserError, match=r"longer than the 12 tokens.*the prompt of text 1"):
        found.predict(["c", "c " * 12])


def test_evaluation_is_that_of_a_classifier(task):
    found = ZeroShot(task, TEMPLATE, WORDS)
    table = examples()
    report = found.evaluate(table)
    answer = found.predict(table.texts)["logits"].argmax(-1)
    assert report.accuracy == pytest.approx(np.mean(answer == [0, 0, 1, 1, 2, 2]))
    assert list(report.classes) == ["c", "d", "f"]
    with pytest.raises(UserError, match=r"examples.tsv:2 has a label"):
        found.evaluate(examples("xc"))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"template": "the {text}"}, "A template needs {text}"),
        ({"template": "a {label}"}, "A template needs {text}"),
        ({"template": "{label} {text}"}, "A template needs {text}"),
        ({"template": "{text} {label} {label}"}, "A template needs {text}"),
        ({"template": "{txt} {label}"}, "Did you mean `text`"),
        ({"labels": ["cat"]}, "two or more different names"),
        ({"labels": "ab"}, "two or more different names"),
        ({"labels": ["cat", " "]}, "two or more different names"),
        ({"labels": {"a": "cat", "b": "cat"}}, "two or more different names"),
        ({"shots": 1}, "shots=1, 0 examples"),
        ({"examples": examples(), "shots": 7}, "shots=7, 6 examples"),
        ({"examples": examples("xc")}, "has a label"),
        ({"normalize": "token"}, "Did you mean `tokens`"),
        ({"template": "{text} and a " * 6 + "{label}", "examples": examples()}, "fewer or shorter"),
    ],
)
def test_what_makes_no_classifier_is_refused(task, changed, match):
    with pytest.raises(UserError, match=match):
        ZeroShot(**{"task": task, "template": TEMPLATE, "labels": WORDS, **changed})


def test_a_blank_prompt_and_a_task_that_scores_nothing_are_refused(task):
    with pytest.raises(UserError, match="Text 1 is blank"):
        ZeroShot(task, "{text} {label}", WORDS).predict(["a", " "])
    with pytest.raises(UserError, match="whose task is embedding"):
        ZeroShot(Embedding(tiny.model(), tiny.tokenizer()), TEMPLATE, WORDS)
