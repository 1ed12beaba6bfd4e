"""Knowledge distillation: a small masked language model learns from what a large one says.

Source: Sanh et al. 2019, "DistilBERT", sections 2 and 3, https://arxiv.org/abs/1910.01108; Hinton
et al. 2015, section 2, https://arxiv.org/abs/1503.02531. The losses are those of the authors' code,
distiller.py and extract_distilbert.py of transformers' research project `distillation`.

    tokens ─┬─► teacher ─► sequence ─► logits / T ─► softmax ──────────┐
            │   (frozen)        │ cosine                               │ divergence * T * T
            └─► student ─► sequence ─► logits / T ─► softmax ──────────┘
                                 └──► logits of hidden tokens ─► cross-entropy

Easy to get wrong: the divergence is times T squared, so that its gradient stays as large whatever T
is; it and the cosine are means over all real tokens, special ones too, and not only over hidden
ones. What is scored, and saved, is the student: a `masked_language_model`.
"""

import dataclasses
import hashlib
import re
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfzoo.core import checks
from tfzoo.core.errors import UserError
from tfzoo.data import batches
from tfzoo.data.documents import Documents
from tfzoo.tasks import folder, masked_language_model, samples, token_loss
from tfzoo.tasks.task import Task, Tensors, require_head
from tfzoo.tasks.texts import TextChoice, TextCorpus
from tfzoo.weights import hub

_BLOCK = re.compile(r"^block_(\d+)/")


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        texts: Where the texts are.
        teacher: The model to learn from, as `tfzoo.load` takes it. Its tokenizer is the student's.
        initialize: `every_second_layer` begins with the teacher's embeddings, head and as many of
            its layers as there are, evenly spread (of 12 the first, 3rd, 5th, 8th, 10th and 12th,
            as DistilBERT did).
        temperature: T, by which logits are divided.
        soft_targets: Where the student is to say what the teacher says: at `all` real tokens, or,
            several times cheaper, at the `masked` ones.
        soft_weight: Weight of the divergence from the teacher's probabilities.
        masked_weight: Weight of the cross-entropy of the hidden tokens.
        cosine_weight: Weight of one minus the cosine between the last vectors of both.
        length: As in `masked_language_model`, as the next three.
        mask_share: Which share of the tokens is to be predicted.
        most_masked: At most so many of a row.
        whole_words: Whether words are hidden and not tokens.
    """

    texts: TextChoice
    teacher: str
    initialize: Literal["none", "every_second_layer"] = "none"
    temperature: float = 2.0
    soft_targets: Literal["all", "masked"] = "all"
    soft_weight: float = 5.0
    masked_weight: float = 2.0
    cosine_weight: float = 1.0
    length: int | None = None
    mask_share: float = 0.15
    most_masked: int = 20
    whole_words: bool = False

    def __post_init__(self) -> None:
        checks.above(self, 0, "temperature")
        checks.at_least(self, 0, "soft_weight", "masked_weight", "cosine_weight")
        self.masking(self.length)  # complains about the others

    def masking(self, length: int | None) -> masked_language_model.Data:
        """What tokens are hidden, in rows of this length."""
        shares = (self.mask_share, self.most_masked, self.whole_words)
        return masked_language_model.Data(self.texts, length, False, *shares)


class Corpus(TextCorpus):
    """Everything that is read from disk to distil a masked language model."""

    def __init__(self, data: Data):
        super().__init__(data)
        remote = data.teacher.startswith(hub.PREFIX)
        self._teacher = str(hub.fetch(data.teacher)) if remote else data.teacher
        self.tokenizer = self.tokenizer or self._teacher

    def model_fields(self) -> dict[str, Any]:
        return {"head": "masked_lm"}

    def new_task(self, model: Any, tokenizer: Any) -> "Distillation":
        teacher = folder.load(self._teacher)
        digest = hashlib.blake2b(digest_size=16)
        for weight in teacher.model.weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
        self._digest = digest.hexdigest()
        _check_fit(model, tokenizer, teacher, self.data)
        if self.data.initialize != "none":
            initialize(model, teacher.model)
        return Distillation(model, tokenizer, teacher.model, self.data)

    def fingerprint(self) -> str:
        """A digest of the texts and of the teacher."""
        return super().fingerprint() + self._digest

    def source(
        self, documents: Documents, task: "Distillation", seed: int, fixed: bool
    ) -> batches.Source:
        masking = self.data.masking(self.data.length or task.most_tokens)
        source = masked_language_model.source(documents, task, masking, seed)

        def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> batches.Batch:
            inputs, targets = source.examples(rows, epoch, is_real)
            real_bt = tf.cast(inputs["padding_mask"], tf.float32)
            return inputs, {**targets, "token_weights": real_bt * targets["weight"][:, None]}

        return dataclasses.replace(source, examples=examples)

    def show(self, task: "Distillation", inputs: Tensors, targets: Tensors) -> str:
        return samples.fillings(task, inputs, targets)


def read(data: Data) -> Corpus:
    """Reads and checks the texts.

    Raises:
        UserError: as `tfzoo.tasks.texts.TextCorpus`.
    """
    return Corpus(data)


def layers(student: int, teacher: int) -> list[int]:
    """Which of the teacher's layers become the student's: evenly spread, first and last included.

    Of 12 the six are 0, 2, 4, 7, 9 and 11, as in extract_distilbert.py.
    """
    gaps = max(student - 1, 1)
    return [(2 * i * (teacher - 1) + gaps) // (2 * gaps) for i in range(student)]


def initialize(student: Any, teacher: Any) -> None:
    """Gives a student the teacher's weights: embeddings, head, and the blocks of `layers`.

    Raises:
        UserError: when they are not of one width, kind and number of heads, or the teacher has
            fewer layers.
    """
    fields = ("num_heads", "activation")
    one, two = ([getattr(m.config, name) for name in fields] for m in (student, teacher))
    sizes = student.config.num_layers, teacher.config.num_layers
    weights = {weight.path: weight for weight in teacher.weights}
    chosen = layers(*sizes)

    def path(weight: Any) -> str:
        return _BLOCK.sub(lambda found: f"block_{chosen[int(found[1])]}/", weight.path)

    for weight in student.weights:
        found = weights.get(path(weight))
        if one != two or sizes[0] > sizes[1] or found is None or found.shape != weight.shape:
            raise UserError(
                f"The student must be as the teacher, but for fewer layers, to begin with its "
                f"weights. Set model.fields accordingly, or data.initialize=none. Received: "
                f"{sizes[0]} of {sizes[1]} layers, {dict(zip(fields, one, strict=True))} of "
                f"{dict(zip(fields, two, strict=True))}, {weight.path} {tuple(weight.shape)} of "
                f"{tuple(found.shape) if found is not None else 'none'}."
            )
    for weight in student.weights:
        weight.assign(weights[path(weight)])


class Distillation(Task):
    """A masked language model that learns from another one.

    Args:
        model: The student, with a masked language model's head.
        tokenizer: That of both.
        teacher: The model to learn from; its weights stay as they are, and are not saved.
        data: Temperature and weights.

    Attributes:
        most_tokens: How many tokens a row can have for both.

    Raises:
        UserError: when the student has no such head.
    """

    # As this it is saved, and answers.
    name: ClassVar[str] = masked_language_model.MaskedLanguageModel.name
    figures: ClassVar[dict[str, int]] = {"loss": -1, "accuracy": 1}

    def __init__(self, model: Any, tokenizer: Any, teacher: Any, data: Data):
        require_head(model, "distillation", "masked_lm")
        super().__init__(model, tokenizer)
        teacher.trainable = False
        self._teacher, self._teacher_features = teacher, teacher.features()
        self._data = data
        self.most_tokens = min(self.max_length, teacher.config.max_length or self.max_length)

    def answer(self, inputs: Tensors) -> Tensors:
        return {"token_ids": inputs["token_ids"], **self.run(self.model, inputs)}

    def forward(self, inputs: Tensors, training: bool) -> Tensors:
        sequence_btd = self.run(self.features, inputs, training)["sequence"]

        def hidden(x_btd: tf.Tensor) -> tf.Tensor:
            return tf.gather(x_btd, inputs["masked_positions"], batch_dims=1)

        if not training:
            return {"logits": self.model.logits(hidden(sequence_btd))}
        teacher_btd = self.run(self._teacher_features, inputs)["sequence"]
        outputs = {"sequence": sequence_btd, "teacher_sequence": teacher_btd}
        if self._data.soft_targets == "masked":
            soft = self.model.logits(hidden(sequence_btd))
            outputs |= {"logits": soft, "soft_logits": soft}
            outputs["teacher_logits"] = self._teacher.logits(hidden(teacher_btd))
        else:
            soft = self.model.logits(sequence_btd)
            outputs |= {"logits": hidden(soft), "soft_logits": soft}
            outputs["teacher_logits"] = self._teacher.logits(teacher_btd)
        return {name: tf.cast(tensor, tf.float32) for name, tensor in outputs.items()}

    def count(self, targets: Tensors) -> tf.Tensor:
        """`(3,)`: how many tokens have soft targets, were hidden, and are real."""
        names = (self._soft_weights, "label_weights", "token_weights")
        return tf.stack([tf.reduce_sum(targets[name]) for name in names])

    def loss(self, targets: Tensors, outputs: Tensors) -> tf.Tensor:
        """`(3,)`: the sums of divergences, cross-entropies and cosine distances, weighted."""
        data = self._data
        divergence_bk = divergences(
            outputs["soft_logits"], outputs["teacher_logits"], data.temperature
        )
        vectors = (outputs["sequence"], outputs["teacher_sequence"])
        one_btd, two_btd = (tf.math.l2_normalize(x_btd, -1) for x_btd in vectors)
        distance_bt = 1.0 - tf.reduce_sum(one_btd * tf.stop_gradient(two_btd), -1)
        return tf.stack(
            [
                data.soft_weight * tf.reduce_sum(divergence_bk * targets[self._soft_weights]),
                data.masked_weight * token_loss.loss(targets, outputs["logits"]),
                data.cosine_weight * tf.reduce_sum(distance_bt * targets["token_weights"]),
            ]
        )

    def kept(self, targets: Tensors, outputs: Tensors) -> Tensors:
        """What of an evaluated batch is kept until all are there."""
        return token_loss.kept(targets, outputs["logits"])

    def scores(self, kept: dict[str, np.ndarray]) -> dict[str, float]:
        """`loss`, `perplexity` and `accuracy` of hidden tokens, the teacher aside."""
        return token_loss.scores(kept)

    def report(self, kept: dict[str, np.ndarray]) -> token_loss.Report:
        """All figures."""
        return token_loss.Report(self.scores(kept))

    @property
    def _soft_weights(self) -> str:
        return "token_weights" if self._data.soft_targets == "all" else "label_weights"


def divergences(
    student_btv: tf.Tensor, teacher_btv: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """`(b, t)`: the divergence (Kullback-Leibler) from the teacher's softened probabilities, in
    nats, times the temperature squared.
    """
    log_student_btv = tf.nn.log_softmax(student_btv / temperature)
    log_teacher_btv = tf.stop_gradient(tf.nn.log_softmax(teacher_btv / temperature))
    differences_btv = tf.exp(log_teacher_btv) * (log_teacher_btv - log_student_btv)
    return tf.reduce_sum(differences_btv, -1) * temperature**2


def _check_fit(model: Any, tokenizer: Any, teacher: Any, data: Data) -> None:
    """Refuses a teacher that this student cannot learn from."""
    theirs, ours = teacher.model.config, model.config
    if theirs.head not in ("pretraining", "masked_lm"):
        raise UserError(
            f"A teacher must have a masked language model's head. Received: "
            f"data.teacher={data.teacher}, head={theirs.head}."
        )
    if teacher.tokenizer is None or teacher.tokenizer.vocabulary != tokenizer.vocabulary:
        raise UserError(
            f"Teacher and student need the same tokenizer. Leave model.tokenizer out, or give the "
            f"teacher's. Received: another vocabulary than that of data.teacher={data.teacher}."
        )
    for name, needed in (("vocab_size", True), ("width", data.cosine_weight > 0)):
        if needed and getattr(ours, name) != getattr(theirs, name):
            raise UserError(
                f"Teacher and student must have the same {name}: set model.fields.{name}"
                f"{', or data.cosine_weight=0' if name == 'width' else ''}. Received: "
                f"{getattr(ours, name)}, the teacher's is {getattr(theirs, name)}."
            )
    if data.length is not None and data.length > (theirs.max_length or data.length):
        raise UserError(
            f"data.length exceeds the positions of the teacher, {theirs.max_length}. "
            f"Received: length={data.length}."
        )
