"""Encoder-decoders as a task: source and target in one row, answers for each target token."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import pretraining, tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks import sequence_to_sequence, token_loss
from tfzoo.tasks.sequence_to_sequence import Data, SequenceToSequence, Training
from tfzoo.testing.values import fill, near

SIZES = {
    "vocab_size": 20,
    "width": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_encoder_heads": 2,
    "num_decoder_heads": 2,
    "encoder_feed_forward_dim": 16,
    "decoder_feed_forward_dim": 16,
    "max_length": 16,
    "head": "conditional_generation",
}


@pytest.fixture(scope="module")
def task():
    model = tfzoo.build("bart", **SIZES)
    fill(model)
    return SequenceToSequence(model, tiny.tokenizer())


def test_a_row_holds_the_source_and_then_the_target(task):
    inputs = task.inputs(tf.constant(["a b", "c"]), tf.constant(["c", "a b c"]))
    assert inputs["token_ids"].numpy().tolist() == [
        [2, 5, 6, 3, 2, 7, 3, 0],
        [2, 7, 3, 2, 5, 6, 7, 3],
    ]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 4 + [1] * 3 + [0], [0] * 3 + [1] * 5]
    assert inputs["padding_mask"].numpy().sum(1).tolist() == [7, 8]


def test_logits_are_those_of_the_target_moved_one_to_the_right(task):
    answer = task.predict(["a b"], ["c a"])
    assert answer["token_ids"].tolist() == [[2, 7, 5, 3]]
    wanted = task.model(
        {
            "encoder_token_ids": np.array([[2, 5, 6, 3]]),
            "encoder_padding_mask": np.ones((1, 4), "int32"),
            "decoder_token_ids": np.array([[task.model.config.decoder_start_id, 2, 7, 5]]),
            "decoder_padding_mask": np.ones((1, 4), "int32"),
        }
    )
    near(answer["logits"], wanted["logits"], 1e-6)


def test_an_answer_does_not_depend_on_the_texts_beside_it(task):
    texts, pairs = ["a b c a b c", "c", "b"], ["c", "a b c a", ""]
    together = task.predict(texts, pairs, batch_size=3)["logits"]
    for i in range(3):
        alone = task.predict(texts[i : i + 1], pairs[i : i + 1])["logits"][0]
        near(together[i, : len(alone)], alone, 1e-5)


def test_ids_and_lengths_answer_as_the_texts_do(task):
    inputs = task.inputs(tf.constant(["a b", "c"]), tf.constant(["c", "a b c"]))
    ids, lengths = inputs["token_ids"].numpy(), inputs["padding_mask"].numpy().sum(1)
    first = lengths - inputs["segment_ids"].numpy().sum(1)
    ids[0, 7] = 9  # what stands beyond the lengths must not matter
    served = task.signatures["token_ids"](ids, lengths, first)
    answer = task.predict(["a b", "c"], ["c", "a b c"])
    near(served["logits"], answer["logits"], 1e-6)
    assert np.array_equal(served["token_ids"], answer["token_ids"])


def test_the_embedding_is_that_of_the_encoder(task):
    found = task.predict(["a b", "c"], signature="embed")["embedding"]
    sequence = task.model.encode(np.array([[2, 7, 3]]))[0]
    mean = np.mean(sequence, 0)
    near(found[1], mean / np.linalg.norm(mean), 1e-6)


# Scoring.


def test_a_target_is_scored_given_its_source(task):
    texts, pairs = ["a b c", "c"], ["c a", ""]
    found = task.score(texts, pairs)
    for i in range(2):
        answer = task.predict(texts[i : i + 1], pairs[i : i + 1])
        log = tf.nn.log_softmax(answer["logits"])[0].numpy()
        ids = answer["token_ids"][0]
        near(found["log_likelihood"][i], sum(log[range(len(ids)), ids]), 1e-4)
        assert found["num_tokens"][i] == len(ids)
        assert found["num_right"][i] == (log.argmax(-1) == ids).sum()
    assert found["num_characters"].tolist() == [3, 0]
    assert found["perplexity"][0] == pytest.approx(np.exp(-found["log_likelihood"][0] / 4))


def test_a_score_does_not_depend_on_the_pairs_beside_it(task):
    texts, pairs = ["a b c a b c", "c", "b"], ["c", "a b c a", ""]
    together = task.score(texts, pairs, batch_size=2)
    in_graph = task.score_tensors(tf.constant(texts), tf.constant(pairs))
    for i in range(3):
        alone = task.score(texts[i : i + 1], pairs[i : i + 1])
        for name in ("log_likelihood", "num_tokens", "num_right"):
            near(together[name][i], alone[name][0], 1e-4)
            near(in_graph[name][i], together[name][i], 1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_scores_are_those_of_transformers(tmp_path, name):
    import torch

    from tests.models.parity import Case, draw

    ids = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 2, "vocab_size": 20}
    if name == "t5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
        case = Case("T5ForConditionalGeneration", {**ids, **sizes})
    else:
        sides = ("encoder", "decoder")
        sizes = {f"{side}_{key}": 2 for side in sides for key in ("layers", "attention_heads")}
        sizes |= {f"{side}_ffn_dim": 32 for side in sides}
        case = Case("BartForConditionalGeneration", {**ids, **sizes, "d_model": 16})
    theirs = draw(case, 1)
    theirs.save_pretrained(tmp_path / name)
    model = tfzoo.load(f"hf:{tmp_path / name}").model
    ours = SequenceToSequence(model, tiny.tokenizer(), max_length=16)
    texts, pairs = ["a b c", "c"], ["c a b a", "b"]
    found = ours.score(texts, pairs)
    source, target = (tiny.tokenizer()(given) for given in (texts, pairs))
    labels = torch.tensor(target["token_ids"].numpy()).long()
    real = torch.tensor(target["padding_mask"].numpy()).bool()
    arguments = {"input_ids": "token_ids", "attention_mask": "padding_mask"}
    given = {k: torch.tensor(source[v].numpy()).long() for k, v in arguments.items()}
    with torch.no_grad():
        log = theirs(**given, labels=labels.masked_fill(~real, -100)).logits.log_softmax(-1)
    wanted = (log.gather(2, labels[..., None])[..., 0] * real).sum(1).numpy()
    np.testing.assert_allclose(found["log_likelihood"], wanted, rtol=1e-5)
    assert found["num_tokens"].tolist() == real.sum(1).tolist() == [6, 3]


# Training.

PAIRS = [("a b", "c"), ("c", "a b c a b"), ("a", "b"), ("b c a b c a b", "a a")]
# The tokenizer ends texts in [SEP], 3.
TRAINED = {**SIZES, "eos_id": 3, "pad_id": 0, "decoder_start_id": 2}


def write(folder, pairs=PAIRS):
    path = folder / "pairs.tsv"
    path.write_text("text\tpair\n" + "".join(f"{one}\t{two}\n" for one, two in pairs))
    return str(path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("pairs"))
    return sequence_to_sequence.read(Data(path, path, max_length=16, label_smoothing=0.1))


@pytest.fixture(scope="module")
def trained(corpus):
    model = tfzoo.build("bart", **TRAINED)
    fill(model)
    return corpus.task(model, tiny.tokenizer(), Data("x", max_length=16, label_smoothing=0.1))


def batch(corpus, trained, fixed=False, real=(True, True, True, False)):
    source, _ = corpus.sources(trained, 0, fixed)
    numbers = tf.range(len(real), dtype=tf.int64)
    return source.examples(numbers, tf.constant(0, tf.int64), tf.constant(real))


def test_pairs_are_examples_of_teacher_forcing(corpus, trained):
    inputs, targets = batch(corpus, trained)
    assert corpus.texts() == [one for one, _ in PAIRS] + [two for _, two in PAIRS]
    assert targets["labels"].numpy()[0].tolist() == [2, 7, 3, 0, 0, 0, 0]
    assert inputs["decoder_token_ids"].numpy()[0].tolist() == [2, 2, 7, 3, 0, 0, 0]
    assert inputs["encoder_token_ids"].numpy()[1].tolist()[:4] == [2, 7, 3, 0]
    fixed, _ = batch(corpus, trained, fixed=True)
    assert {ids.shape for ids in fixed.values()} == {(4, 16)}


def test_loss_and_count_are_smoothed_and_of_real_tokens(corpus, trained):
    inputs, targets = batch(corpus, trained)
    logits = trained.forward(inputs, training=True)["logits"]
    near(trained.loss(targets, {"logits": logits}), token_loss.loss(targets, logits, 0.1), 0)
    plain = token_loss.loss(targets, logits)
    assert abs(float(trained.loss(targets, {"logits": logits}) - plain)) > 0.01
    assert float(trained.count(targets)) == 3 + 7 + 3


def test_the_figures_are_without_smoothing(corpus, trained):
    inputs, targets = batch(corpus, trained)
    outputs = trained.forward(inputs, training=False)
    kept = {name: part.numpy() for name, part in trained.kept(targets, outputs).items()}
    plain = float(token_loss.loss(targets, outputs["logits"])) / 13
    assert trained.scores(kept)["loss"] == pytest.approx(plain, rel=1e-5)
    assert list(trained.figures) == ["bleu", "loss", "accuracy"]


def test_translations_are_bounded_by_their_sources(corpus, trained):
    inputs, _ = batch(corpus, trained)
    found = trained.forward(inputs, training=False)["translated"].numpy()
    assert found.shape == (4, 16)
    sources = inputs["encoder_padding_mask"].numpy().sum(1)
    limits = np.minimum((sources * 1.5).astype(int) + 10, 16)
    for row, limit in zip(found, limits, strict=True):
        assert (row[limit:] == 3).all()
    assert "translated" not in trained.forward(inputs, training=True)


def test_bleu_is_of_the_decoded_translations_in_the_order_of_the_references(corpus, trained):
    references = ("a b c a b", "c c c c")
    other = SequenceToSequence(trained.model, trained.tokenizer)
    other.training = Training(0.0, references)
    ids = [[2, 5, 6, 7, 5, 6, 3, 3], [2, 7, 7, 7, 7, 3, 3, 3], [9] * 8]  # the last fills up
    kept = {name: np.ones(3) for name in ("nats", "tokens", "right")}
    kept["translated"] = np.array(ids, "int32")
    assert other.scores(kept)["bleu"] == pytest.approx(100)
    assert other.report(kept).values["bleu_signature"].startswith("nrefs:1")
    kept["translated"] = kept["translated"][[1, 0, 2]]
    assert other.scores(kept)["bleu"] < 50


def test_pairs_to_score_on_come_by_length(corpus):
    assert list(corpus.evaluate.texts) == ["c", "a", "a b", "b c a b c a b"]
    assert corpus.evaluate.pairs[0] == "a b c a b"


def test_without_bleu_nothing_is_translated(corpus, trained):
    data = Data("x", max_length=16, bleu=False)
    task = corpus.task(trained.model, trained.tokenizer, data)
    inputs, _ = batch(corpus, task)
    assert "translated" not in task.forward(inputs, training=False)
    assert list(task.figures) == ["loss", "accuracy"]


def test_a_part_of_the_pairs_is_kept_for_evaluation(tmp_path):
    pairs = [(f"a {i}", "b") for i in range(40)]
    corpus = sequence_to_sequence.read(Data(write(tmp_path, pairs), evaluate_share=0.3))
    assert len(corpus.train) + len(corpus.evaluate) == 40
    assert 4 < len(corpus.evaluate) < 20
    assert corpus.model_fields() == {"head": "conditional_generation"}
    fewer = Data(write(tmp_path, pairs), evaluate_share=0.3, max_rows=5)
    assert len(sequence_to_sequence.read(fewer).train) == 5


def test_a_model_that_ends_texts_otherwise_is_refused(corpus):
    model = tfzoo.build("bart", **{**TRAINED, "eos_id": 4})
    with pytest.raises(
        UserError, match=r"Set model\.fields\.eos_id.*eos_id=4, the tokenizer's is 3"
    ):
        corpus.task(model, tiny.tokenizer(), Data("x", max_length=16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"evaluate_share": 0}, "evaluate_share must be between"),
        ({"label_smoothing": 1}, "label_smoothing must be between"),
        ({"max_rows": 1}, "max_rows must be at least 2"),
    ],
)
def test_data_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Data("a.tsv", **fields)


@pytest.mark.slow
def test_a_run_learns_to_translate_and_its_model_answers(tmp_path):
    chance = random.Random(0)
    turned = {"cat": "dog", "dog": "cat", "bird": "fish", "fish": "bird"}
    words = (chance.choices(list(turned), k=chance.randint(1, 4)) for _ in range(60))
    write(tmp_path, [(" ".join(w), " ".join(turned[x] for x in w)) for w in words])
    data = {"train": str(tmp_path / "pairs.tsv"), "max_length": 16, "evaluate_share": 0.2}
    sizes = {k: v for k, v in TRAINED.items() if k not in ("vocab_size", "head")}
    fields = {**sizes, "eos_id": 4, "decoder_start_id": 3, **pretraining.NO_DROPOUT}
    model = {"name": "transformer", "fields": {**fields, "width": 16, "initializer_range": 0.1}}
    summary = pretraining.check_learns(tmp_path, "sequence_to_sequence", data, model)
    assert 0 <= summary["bleu"] <= 100
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["bleu"] == summary["bleu"]
    assert "bleu_signature" in found
    task = tfzoo.load(summary["model"]).task
    assert task.predict(["cat dog"], ["dog cat"])["logits"].shape[:2] == (1, 4)
