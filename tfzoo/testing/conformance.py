"""The conformance suite: what every architecture of the zoo must do, for the price of its sizes.

    class TestBert(EncoderConformance):
        name = "bert"
        fields = {"vocab_size": 50, "num_layers": 2, ...}
        counts = {"base": 109_482_240}

The suite is pytest's: a subclass whose name starts with `Test` runs every method below.
"""

import abc
import importlib.util
import pathlib
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo import models
from tfzoo.models.model import Model
from tfzoo.testing import backend, exports
from tfzoo.testing.exports import Exported
from tfzoo.testing.values import check as check
from tfzoo.testing.values import fill as fill
from tfzoo.testing.values import near as near

Inputs = dict[str, np.ndarray]


class Conformance(abc.ABC):
    """What holds for every architecture.

    Attributes:
        name: Name of the architecture.
        fields: Fields of a tiny one: a few layers, a small vocabulary, at least 16 positions.
        counts: Published number of parameters of each variant.
        output: The output that shows every token, `(b, t, ...)`.
    """

    name: ClassVar[str]
    fields: ClassVar[dict[str, Any]]
    counts: ClassVar[dict[str, int]]
    output: ClassVar[str]

    def build(self, **fields: Any) -> Model:
        """A tiny model whose weights come from a closed formula, never from a random generator."""
        model: Model = tfzoo.build(self.name, **{**self.fields, **fields})
        fill(model)
        return model

    def inputs(self, model: Model, batch: int = 2, length: int = 9) -> Inputs:
        """Ids without repetition pattern, all of them real tokens; a decoder gets two fewer."""
        found = {}
        for name in model.input:
            num_tokens = length - 2 * name.startswith("decoder_")
            ids = np.arange(batch * num_tokens).reshape(batch, num_tokens) * 7 + 3
            if name.endswith("padding_mask"):
                ids = np.ones_like(ids)
            elif name == "segment_ids":
                ids = np.zeros_like(ids)
            found[name] = (ids % self.fields["vocab_size"]).astype("int32")
        return found

    def run(self, model: Model, inputs: Inputs) -> Any:
        """The output that shows every token."""
        return model(inputs)[self.output]

    def test_every_variant_has_the_published_number_of_parameters(self) -> None:
        for variant, expected in self.counts.items():
            count = models.count_parameters(self.name, variant)
            check(count == expected, f"{variant}: {count:,} parameters, published {expected:,}")

    def test_padding_does_not_change_real_tokens(self) -> None:
        model = self.build()
        short = self.inputs(model)
        long = {k: np.pad(v, [(0, 0), (0, 5)]) for k, v in short.items()}
        for name in long:
            if name.endswith("token_ids"):
                long[name][:, -5:] = 3  # whatever stands on padding must not matter
        expected = self.run(model, short)
        near(self.run(model, long)[:, : expected.shape[1]], expected, 1e-5)

    def test_a_row_does_not_depend_on_its_neighbours(self) -> None:
        model = self.build()
        inputs = self.inputs(model, batch=3)
        alone = self.run(model, {k: v[1:2] for k, v in inputs.items()})
        near(self.run(model, inputs)[1:2], alone, 1e-5)

    def test_saved_and_reloaded_model_gives_equal_outputs(self, tmp_path: pathlib.Path) -> None:
        model, path = self.build(), tmp_path / "model.keras"
        model.save(path)
        again, inputs = keras.models.load_model(path), self.inputs(model)
        near(self.run(again, inputs), self.run(model, inputs), 0)

    def test_weight_paths_are_unique_and_free_of_counters(self) -> None:
        first = [w.path for w in self.build().weights]
        check(len(set(first)) == len(first), "a weight path occurs twice")
        check(first == [w.path for w in self.build().weights], "a path changes with each model")

    def test_probe_agrees_with_the_model(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        seen = model.probe()(inputs)
        near(seen[self.output], self.run(model, inputs), 0)
        for prefix, stack in model.drawing.stacks.items():
            feature = "encoder_sequence" if prefix == "encoder_" else "sequence"
            near(seen[f"{prefix}hidden_states_{len(stack.blocks)}"], seen[feature], 1e-6)
            near(np.sum(seen[f"{prefix}attentions_0"], -1), 1.0, 1e-5)

    @pytest.mark.parametrize(("dtype", "share"), [("bfloat16", 0.08), ("float16", 0.01)])
    def test_mixed_precision_stays_near_float32_with_logits_in_float32(
        self, dtype: str, share: float
    ) -> None:
        model = self.build()
        inputs = self.inputs(model)
        exact = np.asarray(self.run(model, inputs))
        try:
            keras.mixed_precision.set_global_policy(f"mixed_{dtype}")
            rough = self.run(self.build(), inputs)
        finally:
            keras.mixed_precision.set_global_policy("float32")
        expected = "float32" if self.output == "logits" else dtype
        check(rough.dtype == expected, f"{self.output} is {rough.dtype}, expected {expected}")
        near(tf.cast(rough, "float32"), exact, share * max(1.0, float(np.max(np.abs(exact)))))

    @pytest.mark.slow
    def test_xla_gives_equal_outputs(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        compiled = tf.function(lambda x: self.run(model, x), jit_compile=True)
        near(compiled(inputs), self.run(model, inputs), 1e-5)

    def test_a_gradient_reaches_every_weight_and_one_step_lowers_the_loss(self) -> None:
        model = self.build()
        inputs, weights = self.inputs(model), model.trainable_variables

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
        length = tf.linalg.global_norm(gradients)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(1e-3 * gradient / length)
        check(float(loss()) < float(before), "one step of gradient descent raised the loss")

    def exported(self, model: Model) -> dict[str, Exported]:
        """The functions that `test_exports...` write and run."""
        requests = [self.inputs(model), self.inputs(model, 3, 12)]
        return {"forward": Exported(lambda **inputs: model(inputs), requests)}

    @pytest.mark.slow
    def test_exports_to_a_saved_model_that_a_session_runs(self, tmp_path: pathlib.Path) -> None:
        model = self.build()
        exports.check_saved_model(model, self.exported(model), tmp_path)

    @pytest.mark.slow
    def test_exports_to_tflite(self, tmp_path: pathlib.Path) -> None:
        model = self.build()
        exports.check_tflite(model, self.exported(model), tmp_path)

    @pytest.mark.parity
    def test_jax_gives_equal_outputs(self, tmp_path: pathlib.Path) -> None:
        if importlib.util.find_spec("jax") is None:
            pytest.skip("needs jax, which is not installed")
        model = self.build()
        inputs = self.inputs(model)
        found = backend.outputs("jax", self.name, self.fields, inputs, tmp_path)
        for name, expected in model(inputs).items():
            near(found[name], expected, 1e-5 * max(1.0, float(np.max(np.abs(expected)))))


class EncoderConformance(Conformance):
    """The suite for models of `token_ids`, `padding_mask` (`segment_ids`) that give `sequence`."""

    output: ClassVar[str] = "sequence"

    def test_outputs_have_the_documented_shape_and_dtype(self) -> None:
        model = self.build()
        sequence = self.run(model, self.inputs(model))
        check(tuple(sequence.shape) == (2, 9, self.fields["width"]), f"shape {sequence.shape}")
        check(sequence.dtype == "float32", f"dtype {sequence.dtype}")


class _Decoding(Conformance):
    """What holds for everything that has a `step`."""

    output: ClassVar[str] = "logits"

    @abc.abstractmethod
    def start(self, model: Model, inputs: Inputs, length: int) -> tuple[Any, dict[str, Any]]:
        """Empty caches with room for `length`, and the other arguments of `step`."""

    @property
    @abc.abstractmethod
    def token_ids(self) -> str:
        """The input that `step` reads."""

    def test_outputs_have_the_documented_shape_and_dtype(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        logits = self.run(model, inputs)
        shape = (*inputs[self.token_ids].shape, self.fields["vocab_size"])
        check(tuple(logits.shape) == shape, f"shape {logits.shape}, expected {shape}")
        check(logits.dtype == "float32", f"dtype {logits.dtype}")

    def test_a_token_does_not_see_those_after_it(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        before = self.run(model, inputs)
        inputs[self.token_ids][:, 4] += 1
        after = self.run(model, inputs)
        near(after[:, :4], before[:, :4], 1e-6)
        check(np.max(np.abs(after[:, 5:] - before[:, 5:])) > 1e-3, "no token sees another")

    def test_decoding_step_by_step_gives_the_logits_of_one_pass(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        ids, expected = inputs[self.token_ids], self.run(model, inputs)
        caches, others = self.start(model, inputs, ids.shape[1] + 2)
        logits, caches = model.step(ids[:, :3], caches, 0, **others)
        near(logits, expected[:, :3], 1e-5)
        for place in range(3, ids.shape[1]):
            start = place if place % 2 else tf.constant(place)
            logits, caches = model.step(ids[:, place : place + 1], caches, start, **others)
            near(logits[:, 0], expected[:, place], 1e-5)

    def test_rows_of_different_lengths_go_on_where_each_ends(self) -> None:
        model = self.build()
        inputs = self.inputs(model)
        ids, expected = inputs[self.token_ids], self.run(model, inputs)
        lengths = np.array([2, 5], "int32")
        prompt = np.where(np.arange(5) < lengths[:, None], ids[:, :5], 3).astype("int32")
        caches, others = self.start(model, inputs, ids.shape[1])
        _, caches = model.step(prompt, caches, 0, **others)
        for place in range(2):
            next_ids = np.stack([ids[row, lengths[row] + place] for row in range(2)])[:, None]
            logits, caches = model.step(next_ids, caches, tf.constant(lengths + place), **others)
            wanted = np.stack([expected[row, lengths[row] + place] for row in range(2)])
            near(logits[:, 0], wanted, 1e-5)

    def exported(self, model: Model) -> dict[str, Exported]:
        inputs = self.inputs(model)
        caches, others = self.start(model, inputs, 8)
        ids = inputs[self.token_ids]
        _, later = model.step(ids[:, :3], caches, 0, **others)
        requests = [
            {"ids": ids[:, place : place + count], "start": start, **flat(state), **others}
            for place, count, start, state in (
                (3, 1, np.array([3, 3], "int32"), later),
                (0, 3, np.array([0, 0], "int32"), caches),
            )
        ]

        def step(ids: Any, start: Any, **tensors: Any) -> dict[str, Any]:
            given = {name: tensors[name] for name in others}
            stored = tf.nest.pack_sequence_as(caches, [tensors[name] for name in flat(caches)])
            logits, grown = model.step(ids, stored, start, **given)
            return {"logits": logits, **flat(grown)}

        arrays = [{k: np.asarray(v) for k, v in request.items()} for request in requests]
        return {**super().exported(model), "step": Exported(step, arrays, True)}


def flat(caches: Any) -> dict[str, Any]:
    """Caches as tensors by name."""
    return {f"cache_{i:02d}": tensor for i, tensor in enumerate(tf.nest.flatten(caches))}


class DecoderConformance(_Decoding):
    """The suite for models of `token_ids`, `padding_mask` that give `logits` of the next token."""

    @property
    def token_ids(self) -> str:
        return "token_ids"

    def start(self, model: Model, inputs: Inputs, length: int) -> tuple[Any, dict[str, Any]]:
        return model.empty_caches(len(inputs["token_ids"]), length), {}


class EncoderDecoderConformance(_Decoding):
    """The suite for encoder-decoders that give `logits` of the decoder's next token."""

    @property
    def token_ids(self) -> str:
        return "decoder_token_ids"

    def start(self, model: Model, inputs: Inputs, length: int) -> tuple[Any, dict[str, Any]]:
        mask = inputs["encoder_padding_mask"]
        sequence_bkd = model.encode(inputs["encoder_token_ids"], mask)
        return model.empty_caches(sequence_bkd, length), {"encoder_padding_mask": mask}

    def exported(self, model: Model) -> dict[str, Exported]:
        inputs = self.inputs(model)
        names = ("encoder_token_ids", "encoder_padding_mask")

        def encode(encoder_token_ids: Any, encoder_padding_mask: Any) -> dict[str, Any]:
            sequence_bkd = model.encode(encoder_token_ids, encoder_padding_mask)
            return flat(model.empty_caches(sequence_bkd, 8))

        request = {name: inputs[name] for name in names}
        return {**super().exported(model), "encode": Exported(encode, [request])}
