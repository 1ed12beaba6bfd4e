"""Google's BERT checkpoints, made here in their layout."""

import json
import re

import numpy as np
import pytest

import tfzoo
from tests.models import parity
from tests.weights import tiny
from tests.weights.tensorflow_checkpoint_test import write as write_variables
from tfzoo.core.errors import UserError
from tfzoo.weights import google_bert

# As google-research/bert publishes it for uncased_L-2_H-128_A-2, with smaller numbers.
CONFIG = {
    "hidden_size": 8,
    "hidden_act": "gelu",
    "initializer_range": 0.02,
    "vocab_size": 11,
    "hidden_dropout_prob": 0.1,
    "num_attention_heads": 2,
    "type_vocab_size": 2,
    "max_position_embeddings": 12,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
    "attention_probs_dropout_prob": 0.1,
}
HEADS = {
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "classifier.weight": "output_weights",
    "classifier.bias": "output_bias",
    "qa_outputs.weight": "cls/squad/output_weights",
    "qa_outputs.bias": "cls/squad/output_bias",
}
UNTIED = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")


def variables(tensors):
    """Weights by Hugging Face's names as Google's variables."""
    found = {}
    for name, value in tensors.items():
        if name in HEADS:
            found[HEADS[name]] = value
        elif name not in (*UNTIED, "bert.embeddings.position_ids"):
            path = re.sub(r"layer\.(\d+)", r"layer_\1", name).replace(".", "/")
            if "LayerNorm" in path:
                path = path.replace("/weight", "/gamma").replace("LayerNorm/bias", "LayerNorm/beta")
            elif "_embeddings" in path:
                path = path.removesuffix("/weight")
            elif path.endswith("/weight"):
                path, value = path.replace("/weight", "/kernel"), value.T
            found[path] = value
    return found


def write(folder, tensors, *, optimizer=True, **config):
    found = variables(tensors)
    if optimizer:
        found |= {f"{n}/adam_{s}": v for n, v in variables(tensors).items() for s in "mv"}
        found["global_step"] = np.array(1000, np.int64)
    write_variables(folder / "bert_model.ckpt", found)
    (folder / "bert_config.json").write_text(json.dumps(CONFIG | config))
    return folder


CASES = {
    "pretraining": "BertForPreTraining",
    "encoder": "BertModel",
    "classification": "BertForSequenceClassification",
    "question_answering": "BertForQuestionAnswering",
}


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_computes_what_transformers_computes_with_gelu_new(case, tmp_path):
    given = CONFIG | {
        "hidden_act": "gelu_new",
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "max_position_embeddings": 30,
    }
    labels = {"num_labels": 5} if case == "classification" else {}
    theirs = parity.draw(parity.Case(CASES[case], given | labels), 3)
    tensors = {name: value.numpy() for name, value in theirs.state_dict().items()}
    if case == "encoder":
        tensors = {f"bert.{name}": value for name, value in tensors.items()}
    loaded = tfzoo.load(write(tmp_path / "google", tensors, **given | {"hidden_act": "gelu"}))
    inputs = parity.inputs({"token_ids", "padding_mask"}, CONFIG["vocab_size"], 0)
    inputs["segment_ids"] = inputs["token_ids"] % 2
    wanted = parity.outputs(theirs, inputs)
    assert parity.largest_difference(loaded.model.probe()(inputs), wanted) < parity.TOLERANCE


def all_weights(*prefixes):
    return tiny.weights("bert.", *prefixes)


def test_config_and_weights_are_in_the_words_of_hugging_face(tmp_path):
    expected = all_weights("cls.")
    values, tensors = google_bert.read(write(tmp_path, expected))
    assert values == CONFIG | {
        "model_type": "bert",
        "hidden_act": "gelu_new",
        "architectures": ["BertForPreTraining"],
    }
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        assert tensor.shape == expected[name].shape
        np.testing.assert_array_equal(tensor.read(), expected[name])


@pytest.mark.parametrize(
    ("prefixes", "head"),
    [
        ((), "none"),
        (("cls.predictions",), "masked_lm"),
        (("cls.seq_relationship",), "next_sentence"),
        (("cls.",), "pretraining"),
        (("classifier",), "classification"),
        (("qa_outputs",), "question_answering"),
    ],
)
def test_the_head_that_is_stored_is_the_one_that_comes(tmp_path, prefixes, head):
    config = tfzoo.load(write(tmp_path, all_weights(*prefixes))).config
    assert (config.head, config.activation) == (head, "gelu_tanh")


def test_the_number_of_classes_is_that_of_the_weights(tmp_path):
    loaded = tfzoo.load(write(tmp_path, tiny.weights("bert.", "classifier", classes=3)))
    assert loaded.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_another_activation_is_kept(tmp_path):
    assert google_bert.read(write(tmp_path, all_weights(), hidden_act="relu"))[0]["hidden_act"] == (
        "relu"
    )


def refused(folder, **arguments):
    with pytest.raises(UserError) as error:
        tfzoo.load(folder, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_variable_that_is_not_known_is_refused(tmp_path):
    write(tmp_path, {**all_weights(), "bert.embeddings.odd": np.zeros((2, 3), np.float32)})
    assert "unexpected in the checkpoint: bert/embeddings/odd" in refused(tmp_path)


def test_a_variable_that_is_missing_is_named(tmp_path):
    weights = all_weights()
    del weights["bert.encoder.layer.0.output.dense.bias"]
    assert "bert.encoder.layer.0.output.dense.bias (our block_0/" in refused(
        write(tmp_path, weights)
    )


def test_a_kernel_of_another_shape_shows_both(tmp_path):
    write(tmp_path, all_weights(), intermediate_size=17)
    message = refused(tmp_path)
    assert "bert/encoder/layer_0/intermediate/dense/kernel" in message
    assert "[16, 8], not [17, 8]" in message


def test_a_key_of_the_config_that_is_not_known_is_refused(tmp_path):
    assert "`embedding_size`" in refused(write(tmp_path, all_weights(), embedding_size=4))
    (tmp_path / "bert_config.json").write_text("{}")
    assert "does not say its `vocab_size`" in refused(tmp_path)


def test_a_new_head_can_be_asked_for(tmp_path):
    loaded = tfzoo.load(write(tmp_path, all_weights()), head="classification", labels=["a", "b"])
    assert loaded.labels == ("a", "b")
