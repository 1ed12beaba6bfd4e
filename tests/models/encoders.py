"""What the tests of the encoders have in common, beside `parity`."""

import dataclasses
import typing
from typing import Any

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

import tfzoo
from tests.models import parity
from tfzoo import models
from tfzoo.testing.conformance import fill, near
from tfzoo.weights import hugging_face, hugging_face_config, strict


def check_names(name: str, fields: dict[str, Any], **more: Any) -> None:
    """Every weight of a model has one foreign name, under the encoder's prefix or the head's."""
    layout = models.module(name).HUGGING_FACE
    model = tfzoo.build(name, **fields, **more)
    found = [n for match in strict.matches(model, layout.renames) for n in match.names]
    assert len(found) == len(set(found))
    prefixes = layout.head_weights(more["head"])
    assert all(any(n.startswith(prefix) for n in found) for prefix in prefixes)
    assert all(n.startswith((layout.prefix, *prefixes)) for n in found)


def check_fields(name: str) -> None:
    """Every field of the config is read from a key, but those that the weights decide."""
    module = models.module(name)
    config_class = models.model_class(name).config_class
    ours = {field.name for field in dataclasses.fields(config_class)}
    decided_by_weights = {"pooler", "head", "num_labels"}
    assert set(module.HUGGING_FACE.fields.values()) == ours - decided_by_weights
    assert set(typing.get_args(module.Head)) == set(module.HUGGING_FACE.heads)


def check_defaults(name: str, defaults: dict[str, Any], others: dict[str, Any]) -> None:
    """Ours are transformers' `defaults`; where they are not, `others` are read for absent keys."""
    layout = models.module(name).HUGGING_FACE
    config_class = models.model_class(name).config_class
    written = hugging_face_config.values(config_class(), layout, None, 0)
    assert {key: written[key] for key in defaults} == defaults
    empty = {"model_type": layout.model_type}
    read = hugging_face_config.fields({**empty, **_accepted(layout)}, layout, "config.json")
    assert config_class(**read) == config_class(**others)


def _accepted(layout: Any) -> dict[str, Any]:
    return {key: only[0] for key, only in layout.fixed.items() if only}


def check_dropout(name: str, fields: dict[str, Any], rate: str, **more: Any) -> None:
    """A rate acts in training, and only there; every other one is zero."""
    config_class = models.model_class(name).config_class
    known = [f.name for f in dataclasses.fields(config_class) if f.name.endswith("dropout")]
    model = tfzoo.build(name, **{**fields, **dict.fromkeys(known, 0.0), rate: 0.5, **more})
    fill(model)
    ids = np.array([[2, 7, 9, 3]] * 64)  # one row alone may lose what would show
    given = {n: np.ones_like(ids) if n == "padding_mask" else ids % 2 for n in model.input}
    given["token_ids"] = ids
    output = next(iter(model.output))
    still = model(given)[output]
    near(model(given, training=False)[output], still, 0)
    assert np.abs(model(given, training=True)[output] - still).max() > 1e-3


def check_stored(path: Any) -> None:
    """Compares with what transformers gave for a checkpoint of ../shared/data."""
    given = dict(np.load(path / "inputs.npz"))
    wanted = dict(np.load(path / "outputs.npz"))
    model = tfzoo.load(f"hf:{path}").model
    names = {n: parity.ARGUMENTS[n] for n in model.input}
    found = model.probe()({n: given[theirs] for n, theirs in names.items()})
    ours = {theirs: ours for ours, theirs in parity.OUTPUTS.items()}
    wanted = {ours.get(key, key): value for key, value in wanted.items()}
    assert {"hidden_states_0", "hidden_states_2"} < set(wanted)
    assert parity.largest_difference(found, wanted) < parity.TOLERANCE


def check_twins(name: str, fields: dict[str, Any], path: Any, twins: dict[str, str]) -> None:
    """A masked language model is read from a file that also holds what it need not hold.

    Those are the second names of weights, `twins`, and a buffer that counts positions.
    """
    layout = models.module(name).HUGGING_FACE
    model = tfzoo.build(name, **fields, head="masked_lm")
    fill(model)
    hugging_face.write(path, model, layout, None, getattr(model.config, "pad_id", 0))
    stored = safetensors.numpy.load_file(path / "model.safetensors")
    assert not set(stored) & set(twins)
    stored |= {twin: stored[weight] for twin, weight in twins.items()}
    embeddings = f"{layout.prefix}embeddings"
    rows = stored[f"{embeddings}.position_embeddings.weight"].shape[0]
    stored[f"{embeddings}.position_ids"] = np.arange(rows)[None]
    safetensors.numpy.save_file(stored, path / "model.safetensors")
    given = {n: np.ones((1, 3), int) for n in model.input}
    near(tfzoo.load(path).model(given)["logits"], model(given)["logits"], 0)


def check_gathered(name: str, fields: dict[str, Any], head: str, tied_output: bool) -> None:
    """Scoring some tokens is scoring all and taking those; so are the gradients of their loss."""
    model = tfzoo.build(name, **fields, head=head, tied_output=tied_output)
    fill(model)
    paths, features = [w.path for w in model.weights], model.features()
    given = {n: np.array([[5, 7, 9, 3, 12], [4, 6, 6, 2, 8]]) % 19 for n in model.input}
    given["padding_mask"] = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    if "segment_ids" in given:
        given["segment_ids"] = np.array([[0, 0, 1, 1, 1]] * 2)
    places, labels = np.array([[1, 4, 4], [2, 0, 1]]), np.array([[3, 18, 18], [0, 7, 5]])
    output = "mlm_logits" if head == "pretraining" else "logits"

    def taken(x_btd: Any) -> Any:
        return tf.gather(x_btd, places, batch_dims=1)

    found = []
    for score in (
        lambda: model.logits(taken(features(given)["sequence"])),
        lambda: taken(model(given)[output]),
    ):
        with tf.GradientTape() as tape:
            logits = score()
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses)
        gradients = tape.gradient(loss, [w.value for w in model.trainable_variables])
        found.append((logits, gradients))
    (logits, gradients), (wanted, others) = found
    assert logits.shape == (2, 3, model.config.vocab_size)
    near(logits, wanted, 1e-5)
    reached = {}
    for weight, gradient, other in zip(model.trainable_variables, gradients, others, strict=True):
        if gradient is None:
            assert other is None and weight.path.startswith(("pooler/", "next_sentence/"))
            continue
        near(gradient, other, 1e-5 * max(1.0, float(np.max(np.abs(other)))))
        reached[weight.path] = bool(np.any(gradient))
    assert all(reached.values())
    ends = ("output_bias",) if tied_output else ("mlm_output/kernel", "mlm_output/bias")
    layers = ("mlm_transform/kernel", "mlm_norm/gamma", "token_embedding/embeddings")
    assert all(any(path.endswith(end) for path in reached) for end in (*ends, *layers))
    assert paths == [w.path for w in model.weights]


def check_gathered_precision(name: str, fields: dict[str, Any]) -> None:
    """Scores are float32 under mixed precision too, and where a layer's inputs are cast."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tfzoo.build(name, **fields, head="masked_lm")
    finally:
        keras.config.set_dtype_policy("float32")
    fill(model)
    given = {n: np.ones((2, 4), np.int32) for n in model.input}
    logits = model.logits(model.features()(given)["sequence"][:, 1:3])
    assert logits.dtype == "float32"
    near(logits, model(given)["logits"][:, 1:3], 0)
