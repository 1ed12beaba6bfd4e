"""Heads: vectors to scores."""

import types

import keras
import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.layers import heads
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.testing.conformance import fill, near

X = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]], "int32")


def drawn(head, x=X):
    """A filled model of what `head` draws on one input, `x` in shape."""
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, head(inputs))
    fill(model)
    return model


def test_scores_are_float32_under_any_policy():
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = drawn(lambda x: heads.classes(x, 3, 0.1, 0.02))
        hidden = heads.hidden(4, "relu", 0.02, "hidden")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(X).dtype == "float32"
    assert hidden(X).dtype == "bfloat16"


def test_scores_may_have_no_bias():
    layers = [heads.scores(3, 0.02, "s", bias) for bias in (True, False)]
    for layer in layers:
        layer.build(X.shape)
    assert [len(layer.weights) for layer in layers] == [2, 1]


def test_a_hidden_layer_applies_its_activation():
    layer = heads.hidden(4, "relu", 0.02, "hidden")
    layer.build(X.shape)
    fill(layer)
    linear = X @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    near(layer(X), np.maximum(linear, 0), 1e-5)


def test_classes_are_scored_after_a_dropout():
    model = drawn(lambda x: heads.classes(x, 3, 0.5, 0.02))
    near(model(X), model.get_layer("classifier")(X), 0)
    assert np.abs(model(X, training=True) - model(X)).max() > 1e-3
    assert drawn(lambda x: heads.classes(x, 3, 0.5, 0.02, "score")).get_layer("score").units == 3


def test_a_classifier_has_a_tanh_layer_between_two_dropouts():
    x = X[:, 0]
    model = drawn(lambda x: heads.classifier(x, 3, 0.5, 0.02), x)
    hidden = model.get_layer("classifier_hidden")
    near(hidden(x), np.tanh(x @ np.asarray(hidden.kernel) + np.asarray(hidden.bias)), 1e-6)
    near(model(x), model.get_layer("classifier")(hidden(x)), 1e-6)
    for name in ("hidden_dropout", "head_dropout"):  # each acts, also alone
        layers = {n: model.get_layer(n) for n in ("hidden_dropout", "head_dropout")}
        for other, layer in layers.items():
            layer.rate = 0.5 * (other == name)
        assert np.abs(model(x, training=True) - model(x)).max() > 1e-3


@pytest.mark.parametrize("tied_output", [True, False])
def test_a_masked_language_model_scores_a_normalized_hidden_layer(tied_output):
    embedding = TokenEmbedding(11, 8, 0.02, tied_output, name="token_embedding")
    embedding(np.array([[1]]))
    fill(embedding)
    model = drawn(heads.masked_lm(embedding, tied_output, "relu", 1e-5, 0.02))
    y = model.get_layer("mlm_norm")(model.get_layer("mlm_transform")(X))
    assert model.get_layer("mlm_norm").epsilon == 1e-5
    if tied_output:
        table, bias = np.asarray(embedding.embeddings_vd), np.asarray(embedding.bias_v)
        assert "mlm_output" not in {layer.name for layer in model.layers}
        near(model(X), np.asarray(y) @ table.T + bias, 1e-5)
    else:
        near(model(X), model.get_layer("mlm_output")(y), 1e-6)


def test_the_first_column_of_a_span_is_its_start():
    model = drawn(lambda x: heads.spans(x, 0.02))
    both = model.get_layer("span")(X)
    near(model(X)["start_logits"], both[:, :, 0], 0)
    near(model(X)["end_logits"], both[:, :, 1], 0)


def decoder_head(head):
    config = types.SimpleNamespace(
        head=head, num_labels=3, head_dropout=0.5, choice_dropout=0.5, initializer_range=0.02
    )
    inputs = keras.Input((5, 8)), keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, heads.of_decoder(config, *inputs, keras.layers.ReLU(name="lm")))
    fill(model)
    return model


LAST = np.stack([X[0, 4], X[1, 1], X[2, 3]])


def test_a_decoder_classifies_texts_by_their_last_real_token():
    model = decoder_head("classification")
    assert model.get_layer("score").bias is None
    near(model([X, MASK])["logits"], model.get_layer("score")(LAST), 1e-5)


def test_a_decoder_classifies_tokens():
    model = decoder_head("token_classification")
    near(model([X, MASK])["logits"], model.get_layer("classifier")(X), 1e-6)
    assert np.abs(model([X, MASK], training=True)["logits"] - model([X, MASK])["logits"]).max() > 0


def test_double_heads_are_the_language_model_and_a_score_at_the_last_real_token():
    near(decoder_head("causal_lm")([X, MASK])["logits"], np.maximum(X, 0), 0)
    model = decoder_head("double_heads")
    found = model([X, MASK])
    near(found["logits"], np.maximum(X, 0), 0)
    near(found["mc_logits"], model.get_layer("choice")(LAST)[:, 0], 1e-5)
    assert np.abs(model([X, MASK], training=True)["mc_logits"] - found["mc_logits"]).max() > 0


def test_a_decoder_finds_spans_and_without_a_head_nothing_is_drawn():
    assert set(decoder_head("question_answering")([X, MASK])) == {"start_logits", "end_logits"}
    config = types.SimpleNamespace(head="none", initializer_range=0.02)
    assert heads.of_decoder(config, X, MASK, None) == {}


def language_model(**fields):
    settings = {"vocab_size": 9, "initializer_range": 0.02, "head": "causal_lm", **fields}
    table = TokenEmbedding(9, 8)
    table.build(())
    return heads.language_model(types.SimpleNamespace(**settings), table), table


def test_a_language_model_scores_with_the_table_or_with_its_own():
    tied, table = language_model(tied_output=True, head="none")
    near(tied(X), X @ np.asarray(table.embeddings_vd).T, 1e-6)
    own, _ = language_model(tied_output=False, head="double_heads")
    assert own(X).shape == (3, 5, 9)
    assert [w.path.split("/")[-1] for w in own.weights] == ["kernel"]


def test_without_a_table_there_is_no_language_model():
    with pytest.raises(UserError, match=r"head='causal_lm'.*Received: head=none"):
        language_model(tied_output=False, head="none")[0](X)
