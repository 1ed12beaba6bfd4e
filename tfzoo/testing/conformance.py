"""The conformance suite: what every encoder of the zoo must do, for the price of its sizes.

    class TestBert(EncoderConformance):
        name = "bert"
        fields = {"vocab_size": 50, "num_layers": 2, ...}
        counts = {"base": 109_482_240}

The suite is pytest's: a subclass whose name starts with `Test` runs every method below.
"""

import abc
import pathlib
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

import tfzoo
from tfzoo import models
from tfzoo.models.model import Model

Inputs = dict[str, np.ndarray]


class EncoderConformance(abc.ABC):
    """The suite for models of `token_ids`, `segment_ids`, `padding_mask` that give `sequence`.

    Attributes:
        name: Name of the architecture.
        fields: Fields of a tiny one: a few layers, a small vocabulary, at least 16 positions.
        counts: Published number of parameters of each variant.
    """

    name: ClassVar[str]
    fields: ClassVar[dict[str, Any]]
    counts: ClassVar[dict[str, int]]

    def build(self, **fields: Any) -> Model:
        """A tiny model whose weights come from a closed formula, never from a random generator."""
        model: Model = tfzoo.build(self.name, **{**self.fields, **fields})
        fill(model)
        return model

    def inputs(self, batch: int = 2, length: int = 9) -> Inputs:
        """Ids without repetition pattern, all of them real tokens."""
        ids = np.arange(batch * length).reshape(batch, length) * 7 % self.fields["vocab_size"]
        ones = np.ones((batch, length), "int32")
        return {"token_ids": ids.astype("int32"), "segment_ids": 0 * ones, "padding_mask": ones}

    def test_every_variant_has_the_published_number_of_parameters(self) -> None:
        for variant, expected in self.counts.items():
            count = models.count_parameters(self.name, variant)
            check(count == expected, f"{variant}: {count:,} parameters, published {expected:,}")

    def test_outputs_have_the_documented_shape_and_dtype(self) -> None:
        model = self.build()
        sequence = model(self.inputs())["sequence"]
        check(tuple(sequence.shape) == (2, 9, self.fields["width"]), f"shape {sequence.shape}")
        check(sequence.dtype == "float32", f"dtype {sequence.dtype}")

    def test_padding_does_not_change_real_tokens(self) -> None:
        model, short = self.build(), self.inputs()
        long = {k: np.pad(v, [(0, 0), (0, 5)]) for k, v in short.items()}
        long["token_ids"][:, 9:] = 3  # whatever stands on padding must not matter
        near(model(long)["sequence"][:, :9], model(short)["sequence"], 1e-5)

    def test_a_row_does_not_depend_on_its_neighbours(self) -> None:
        model, inputs = self.build(), self.inputs(batch=3)
        alone = model({k: v[1:2] for k, v in inputs.items()})["sequence"]
        near(model(inputs)["sequence"][1:2], alone, 1e-5)

    def test_saved_and_reloaded_model_gives_equal_outputs(self, tmp_path: pathlib.Path) -> None:
        model, path = self.build(), tmp_path / "model.keras"
        model.save(path)
        again = keras.models.load_model(path)
        near(again(self.inputs())["sequence"], model(self.inputs())["sequence"], 0)

    def test_weight_paths_are_unique_and_free_of_counters(self) -> None:
        first = [w.path for w in self.build().weights]
        check(len(set(first)) == len(first), "a weight path occurs twice")
        check(first == [w.path for w in self.build().weights], "a path changes with each model")

    def test_probe_agrees_with_the_model(self) -> None:
        model, inputs = self.build(), self.inputs()
        seen, outputs = model.probe()(inputs), model(inputs)
        last = self.fields["num_layers"]
        near(seen["sequence"], outputs["sequence"], 0)
        near(seen[f"hidden_states_{last}"], outputs["sequence"], 1e-6)
        near(np.sum(seen["attentions_0"], -1), 1.0, 1e-5)

    def test_mixed_precision_stays_near_float32_and_gives_float32_masks(self) -> None:
        inputs, exact = self.inputs(), self.build()(self.inputs())["sequence"]
        try:
            keras.mixed_precision.set_global_policy("mixed_bfloat16")
            rough = self.build()(inputs)["sequence"]
        finally:
            keras.mixed_precision.set_global_policy("float32")
        check(rough.dtype == tf.bfloat16, f"dtype {rough.dtype}")
        near(tf.cast(rough, "float32"), exact, 0.15)

    def test_xla_gives_equal_outputs(self) -> None:
        model, inputs = self.build(), self.inputs()
        compiled = tf.function(lambda x: model(x)["sequence"], jit_compile=True)
        near(compiled(inputs), model(inputs)["sequence"], 1e-5)

    def test_a_gradient_reaches_every_weight_and_one_step_lowers_the_loss(self) -> None:
        model, inputs = self.build(), self.inputs()
        weights = model.trainable_variables

        def loss() -> Any:
            outputs = model(inputs)
            return sum(tf.reduce_mean((v - 0.5) ** 2) for v in outputs.values())

        with tf.GradientTape() as tape:
            before = loss()
        gradients = tape.gradient(before, [w.value for w in weights])
        for weight, gradient in zip(weights, gradients, strict=True):
            check(gradient is not None, f"no gradient reaches {weight.path}")
            check(isinstance(gradient, tf.Tensor), f"the gradient of {weight.path} is sparse")
            check(bool(np.any(gradient.numpy())), f"the gradient of {weight.path} is zero")
            weight.assign_sub(1e-3 * gradient)
        check(float(loss()) < float(before), "one step of gradient descent raised the loss")


def fill(model: keras.Model) -> None:
    """Sets each weight by a formula of its path and indices: the same on every machine."""
    for weight in model.weights:
        if "seed_generator" in weight.path:
            continue
        phase = sum(weight.path.encode()) % 97
        values = np.sin(np.arange(int(np.prod(weight.shape))) * 0.37 + phase)
        base = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign(np.reshape(base + 0.5 * values, weight.shape))


def near(found: Any, expected: Any, tolerance: float) -> None:
    """Fails when two arrays differ anywhere by more than `tolerance`, or hold a NaN.

    Raises:
        AssertionError: saying by how much.
    """
    difference = np.abs(np.asarray(found, "float64") - np.asarray(expected, "float64"))
    worst = float(np.max(difference))
    check(worst <= tolerance, f"largest difference {worst:.3g}, tolerance {tolerance:.3g}")


def check(fact: bool, message: str) -> None:
    """Fails a test with `message` unless `fact` holds.

    Raises:
        AssertionError: with the message.
    """
    if not fact:
        raise AssertionError(message)
