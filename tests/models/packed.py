"""What every decoder must do with several documents in one row, against each of them in its own.

    class TestPackedGpt2(Packed):
        name = "gpt2"
        fields = {"vocab_size": 20, ...}

The second model is one without `packed`, the usual graph, on the same weights.
"""

import pathlib
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.models.model import Model
from tfzoo.testing.conformance import check, fill, near

ROWS = (
    ((5, 9, 1, 7), (4, 4, 2, 7, 3, 3), (8,), (9, 2)),  # no padding
    ((6, 2, 2), (1, 13, 6, 12, 19, 3, 0)),
    ((11, 5, 3, 3, 8),),
    (),  # padding alone, as in the last batch of an epoch
)
LENGTH = 13
PADDING = 3  # as real a token as any


def laid_out(rows: Any) -> dict[str, np.ndarray]:
    """Ids and numbers of documents, the next token of each and where there is one."""
    shape = (len(rows), LENGTH)
    ids, labels = np.full(shape, PADDING, np.int32), np.zeros(shape, np.int32)
    mask, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for row, documents in enumerate(rows):
        start = 0
        for number, document in enumerate(documents, 1):
            end = start + len(document)
            ids[row, start:end], mask[row, start:end] = document, number
            labels[row, start : end - 1], weights[row, start : end - 1] = document[1:], 1
            start = end
    return {"token_ids": ids, "padding_mask": mask, "labels": labels, "weights": weights}


PACKED = laid_out(ROWS)
ALONE = laid_out([[document] for row in ROWS for document in row])


def by_document(values_btv: Any) -> np.ndarray:
    """What belongs to the tokens of a packed batch, as it stands where each document is alone."""
    mask, values = PACKED["padding_mask"], np.asarray(values_btv)
    found = np.zeros((*ALONE["token_ids"].shape, values.shape[-1]), values.dtype)
    places = [(row, n) for row, documents in enumerate(ROWS) for n in range(1, len(documents) + 1)]
    for alone, (row, number) in enumerate(places):
        own = values[row][mask[row] == number]
        found[alone, : len(own)] = own
    return found


def logits_of(model: Model, batch: dict[str, np.ndarray]) -> Any:
    return model({name: batch[name] for name in ("token_ids", "padding_mask")})["logits"]


def loss_and_gradients(model: Model, batch: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """The summed loss of the next tokens, and its gradient by each weight."""
    with tf.GradientTape() as tape:
        logits = logits_of(model, batch)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["labels"], logits)
        loss = tf.reduce_sum(losses * batch["weights"])
    return loss, tape.gradient(loss, [weight.value for weight in model.trainable_variables])


class Packed:
    """Attributes: the name of the architecture, and the fields of a small one."""

    name: ClassVar[str]
    fields: ClassVar[dict[str, Any]]

    def build(self, packed: bool) -> Model:
        model: Model = tfzoo.build(self.name, **self.fields, packed=packed)
        fill(model)
        return model

    def test_a_document_is_read_as_if_it_were_alone(self) -> None:
        real = ALONE["padding_mask"][:, :, None]
        wanted = np.asarray(logits_of(self.build(False), ALONE)) * real
        model = self.build(True)
        packed = logits_of(model, PACKED)
        near(by_document(packed), wanted, 1e-5)
        near(np.asarray(logits_of(model, ALONE)) * real, wanted, 1e-5)
        check(bool(np.all(np.isfinite(packed))), "padding gives no numbers")
        usual = by_document(logits_of(self.build(False), PACKED))
        check(np.max(np.abs(usual - wanted)) > 1e-2, "the usual graph would do as well")

    @pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_the_loss_and_its_gradients_are_those_of_the_documents(self, jit_compile: bool) -> None:
        model, usual = self.build(True), self.build(False)
        # Both compiled, or neither: XLA and TensorFlow round the usual graph 4e-5 apart.
        run = loss_and_gradients
        if jit_compile:
            run = tf.function(run, jit_compile=True)
        (loss, gradients), (wanted, others) = run(model, PACKED), run(usual, ALONE)
        near(loss, wanted, 1e-5 * float(wanted))
        check(len(gradients) == len(others) > 10, f"{len(gradients)} gradients")
        for weight, found, other in zip(model.trainable_variables, gradients, others, strict=True):
            check(bool(np.any(found)), f"no gradient reaches {weight.path}")
            near(found, other, 1e-5 * max(1.0, float(np.max(np.abs(other)))))

    def test_bfloat16_rounds_a_packed_document_as_it_does_one_alone(self) -> None:
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            packed, usual = self.build(True), self.build(False)
        finally:
            keras.config.set_dtype_policy("float32")
        wanted = np.asarray(logits_of(usual, ALONE)) * ALONE["padding_mask"][:, :, None]
        near(by_document(logits_of(packed, PACKED)), wanted, 0.01 * np.max(np.abs(wanted)))

    def test_it_goes_step_by_step_as_the_usual_model(self) -> None:
        model, ids = self.build(True), ALONE["token_ids"][:2]
        batch = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        wanted = logits_of(self.build(False), batch)
        near(logits_of(model, batch), wanted, 1e-5)
        logits, caches = model.step(ids[:, :4], model.empty_caches(2, LENGTH), 0)
        near(logits, wanted[:, :4], 1e-5)
        starts = tf.constant([4, 4])
        near(model.step(ids[:, 4:6], caches, starts)[0], wanted[:, 4:6], 1e-5)

    def test_it_is_saved_as_what_it_is(self, tmp_path: pathlib.Path) -> None:
        model = self.build(True)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        near(logits_of(again, PACKED), logits_of(model, PACKED), 0)
