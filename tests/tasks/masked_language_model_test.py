"""Masked language models: what is hidden, scored and learned."""

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import pretraining
from tests.weights import tiny as hugging_face_tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks import masked_language_model
from tfzoo.tasks.masked_language_model import Data, MaskedLanguageModel, continues
from tfzoo.tasks.texts import TextChoice
from tfzoo.testing.values import fill, near
from tfzoo.text.wordpiece import WordPiece
from tfzoo.train.start import build_task

MODEL = {"name": "bert", "fields": {**pretraining.ENCODER, **pretraining.NO_DROPOUT}}
ZERO = tf.constant(0, tf.int64)


def model(head):
    vocab_size = len(pretraining.VOCABULARY)
    built = tfzoo.build("bert", vocab_size=vocab_size, head=head, **MODEL["fields"])
    fill(built)
    return built


@pytest.fixture(scope="module", params=["pretraining", "masked_lm"])
def task(request):
    return MaskedLanguageModel(model(request.param), pretraining.tokenizer())


@pytest.fixture(scope="module")
def batch(task, tmp_path_factory):
    """Inputs and targets of eight rows, of which the last is not real."""
    path = pretraining.write_texts(tmp_path_factory.mktemp("texts"))
    pairs = task.model.config.head == "pretraining"
    texts = TextChoice(str(path), evaluate_share=0.3)
    corpus = masked_language_model.read(Data(texts, next_sentence=pairs))
    assert corpus.model_fields() == {"head": task.model.config.head}
    corpus.task(task.model, task.tokenizer, None)
    source, evaluation = corpus.sources(task, 5, fixed=False)
    assert evaluation.num_rows > 1
    return source.examples(tf.range(8, dtype=tf.int64), ZERO, tf.range(8) < 7)


def nats_of(logits, labels):
    wide = np.asarray(logits, "float64")
    log = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return -np.take_along_axis(log, np.asarray(labels)[..., None], -1)[..., 0]


def test_only_hidden_tokens_are_scored_and_as_the_whole_model_would(task, batch):
    inputs, targets = batch
    names = ("token_ids", "segment_ids", "padding_mask")
    whole = task.model({name: inputs[name] for name in names})
    logits = whole.get("mlm_logits", whole.get("logits"))
    chosen = np.take_along_axis(logits.numpy(), inputs["masked_positions"].numpy()[..., None], 1)
    outputs = task.forward(inputs, training=False)
    near(outputs["logits"], chosen, 1e-5)
    weights = targets["label_weights"].numpy()
    assert weights.sum() > 10 and not weights[7].any()
    loss, count = task.loss(targets, outputs).numpy(), task.count(targets).numpy()
    expected = (nats_of(chosen, targets["labels"]) * weights).sum()
    near(np.ravel(loss)[0], expected, 2e-3)
    assert np.ravel(count)[0] == weights.sum()


def test_of_pairs_the_rows_are_scored_too(task, batch):
    inputs, targets = batch
    outputs = task.forward(inputs, training=False)
    loss, count = task.loss(targets, outputs).numpy(), task.count(targets).numpy()
    if task.model.config.head == "masked_lm":
        assert loss.shape == count.shape == ()
        assert "nsp_logits" not in outputs
        assert list(task.figures) == ["loss", "accuracy"]
        return
    names = ("token_ids", "segment_ids", "padding_mask")
    near(outputs["nsp_logits"], task.model({n: inputs[n] for n in names})["nsp_logits"], 1e-5)
    expected = nats_of(outputs["nsp_logits"], targets["next_sentence"])[:7].sum()
    near(loss[1], expected, 1e-4)
    assert count[1] == 7
    assert task.figures["next_sentence_accuracy"] == 1


def test_figures_are_of_real_rows_only(task, batch):
    inputs, targets = batch
    outputs = task.forward(inputs, training=False)
    kept = {name: part.numpy() for name, part in task.kept(targets, outputs).items()}
    scores = task.scores(kept)
    weights = targets["label_weights"].numpy()
    right = outputs["logits"].numpy().argmax(-1) == targets["labels"].numpy()
    assert scores["accuracy"] == pytest.approx((right * weights).sum() / weights.sum())
    if task.model.config.head == "pretraining":
        best = outputs["nsp_logits"].numpy().argmax(-1) == targets["next_sentence"].numpy()
        assert scores["next_sentence_accuracy"] == pytest.approx(best[:7].mean())
        nats = nats_of(outputs["nsp_logits"], targets["next_sentence"])[:7]
        assert scores["next_sentence_loss"] == pytest.approx(nats.mean(), rel=1e-4)
    assert task.report(kept).values == scores


def test_it_answers_with_what_the_head_computes(task):
    answer = task.predict(["the [MASK] sees", "a cat"])
    names = {"pretraining": {"mlm_logits", "nsp_logits"}, "masked_lm": {"logits"}}
    assert set(answer) == {"token_ids", *names[task.model.config.head]}


def test_tokens_say_whether_they_go_on_with_a_word():
    found = continues(pretraining.tokenizer())
    assert [
        token for token, goes_on in zip(pretraining.VOCABULARY, found, strict=True) if goes_on
    ] == ["##s"]

    class Bytes:
        vocabulary = ("<s>", "Ġthe", "cat", "Ġa")
        special_tokens = ("<s>",)

    assert continues(Bytes()).tolist() == [False, False, True, False]
    words = WordPiece(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"))
    with pytest.raises(UserError, match="whole_words needs"):
        continues(words)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask_share": 1.5}, "mask_share must be from 0 to 1"),
        ({"short_share": -1}, "short_share must be from 0 to 1"),
        ({"length": 3}, "length"),
        ({"most_masked": 0}, "most_masked"),
    ],
)
def test_data_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Data(TextChoice("a"), **fields)


def test_another_head_is_refused():
    with pytest.raises(UserError, match="head pretraining or masked_lm"):
        MaskedLanguageModel(model("none"), pretraining.tokenizer())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pairs"), [("bert", True), ("roberta", False)])
def test_a_run_learns_and_its_model_answers(tmp_path, name, pairs):
    data = {"next_sentence": pairs, "whole_words": pairs}
    made = {**MODEL, "name": name}
    if name == "roberta":
        fields = {k: v for k, v in made["fields"].items() if k != "max_length"}
        made = {**made, "fields": {**fields, "pad_id": 0, "num_positions": 25}}
    summary = pretraining.check_learns(
        tmp_path,
        "masked_language_model",
        data,
        made,
        duration="30 steps",
        evaluate_every="15 steps",
    )
    assert ("next_sentence_accuracy" in summary) == pairs
    task = tfzoo.load(summary["model"]).task
    assert task.name == "masked_language_model"
    answer = task.predict(["the cat [MASK] a dog"])
    logits = answer["mlm_logits" if pairs else "logits"]
    assert logits.shape[2] == len(pretraining.VOCABULARY)


@pytest.mark.data
def test_training_goes_on_from_a_checkpoint_and_its_heads(shared_data, tmp_path):
    place = f"hf:{shared_data('hf-random') / 'bert-for-pretraining'}"
    stored = {w.path: w.numpy() for w in tfzoo.load(place).model.weights}
    for pairs, left_out in ((True, ()), (False, ("pooler/", "next_sentence/"))):
        experiment = pretraining.make(
            tmp_path, "masked_language_model", {"next_sentence": pairs}, {"load": place}
        )
        corpus = masked_language_model.read(experiment.data)
        found = {
            w.path: w.numpy()
            for w in build_task(experiment, corpus, tmp_path / "none").model.weights
        }
        assert set(found) == {path for path in stored if not path.startswith(left_out)}
        for path, values in found.items():
            np.testing.assert_array_equal(values, stored[path], path)


def test_a_checkpoint_without_the_head_is_refused(tmp_path):
    hugging_face_tiny.write(tmp_path / "theirs")  # as all-MiniLM-L6-v2 is
    experiment = pretraining.make(
        tmp_path, "masked_language_model", {}, {"load": f"hf:{tmp_path / 'theirs'}"}
    )
    corpus = masked_language_model.read(experiment.data)
    with pytest.raises(UserError, match="holds no weights for head=pretraining") as error:
        build_task(experiment, corpus, tmp_path / "none")
    assert "\n" not in str(error.value)
