"""Writes a task as TFLite files for phones and small devices.

    token_ids.<precision>.tflite   token_ids (n, t), lengths (n,) ─► answer      builtin operations
    text.<precision>.tflite        text (1,) ─► answer       and two of tensorflow-text, declared
    labels.txt                     names of the classes, in the order of scores and logits
    vocab.txt                      what token ids stand for

Of what writes text, besides (`tfzoo.export.lite_generation`):

    decode.<precision>.tflite      one token after another; the app drives the loop
    generate.<precision>.tflite    token_ids (1, p), lengths (1,) ─► token_ids, with the loop inside
    generation_config.json         where texts begin and end

Rows and tokens may be of any number: an app that calls `resizeInput` once gets fixed shapes, and on
CPUs both are equally fast (MiniLM, 1 x 128: 18.3 ms fixed, 19.1 ms free in float32, 7.7 and 7.8 ms
in int8). Only numbers come out; names of classes are in labels.txt.
"""

import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.decoding.config import to_generation_config
from tfzoo.export import golden, lite_generation
from tfzoo.export.converter import PRECISIONS, convert
from tfzoo.export.lite_generation import Sizes
from tfzoo.export.lite_writer import CONFIG
from tfzoo.export.saved_model import weights
from tfzoo.tasks.task import Task, Tensors

# Form of a file -> the signature that answers, named as that of the SavedModel where it has one.
FORMS = {"token_ids": "token_ids", "text": "serving_default", "decode": "decode"}
FORMS["generate"] = "generate"
ANSWERING, WRITING = ("token_ids", "text"), ("decode", "generate")


def write(
    task: Task,
    folder: str | os.PathLike[str],
    precisions: Sequence[str] = PRECISIONS,
    forms: Sequence[str] = ANSWERING,
    sizes: Sizes | None = None,
) -> list[pathlib.Path]:
    """Writes one file for each form and precision, and the names of labels and tokens.

    Args:
        task: Model, tokenizer and what an answer is.
        folder: Where to; it must exist.
        precisions: Of `float32`, `float16`, `int8` (weights in 8 bits, the rest as it comes).
        forms: Of `token_ids` and `text`, and of what writes text of `decode` and `generate`.
        sizes: Of the latter; None for the usual ones.

    Returns:
        The TFLite files.

    Raises:
        UserError: for a precision or form that there is not, `text` without a tokenizer or for
            pairs, and `decode` and `generate` of what does not write.
        ConversionError: when TensorFlow's converter fails.
    """
    check(task, precisions, forms)
    target = pathlib.Path(folder)
    files = []
    with tempfile.TemporaryDirectory(prefix="tfzoo-tflite-") as aside:
        for form in forms:
            saved = pathlib.Path(aside) / form
            functions = _functions(task, form, sizes)
            _save(task, form, saved, functions)
            for precision in precisions:
                file = target / f"{form}.{precision}.tflite"
                convert(saved, ",".join(functions), precision, file)
                files.append(file)
    if set(forms) & set(WRITING):
        (target / CONFIG).write_text(generation_config(task), encoding="utf-8")
    if task.labels:
        _write_lines(target / "labels.txt", task.labels)
    if task.tokenizer is not None:
        _write_lines(target / "vocab.txt", task.tokenizer.vocabulary)
    return files


def check(task: Task, precisions: Sequence[str], forms: Sequence[str]) -> None:
    """Refuses what cannot be written.

    Raises:
        UserError: as `write` does.
    """
    for kind, names, known in (("precision", precisions, PRECISIONS), ("form", forms, FORMS)):
        for name in names:
            if name not in known:
                raise UserError(unknown_name(f"{kind} of TFLite files", name, known))
    for form in WRITING:
        if form in forms and not golden.writes(task):
            raise UserError(
                f"Only language models and encoder-decoders write text. Received: form={form}, a "
                f"model for {task.name}."
            )
    if "text" in forms and task.tokenizer is None:
        raise UserError("TFLite files from text need a tokenizer, which this model came without.")
    if "text" in forms and "text" not in forms_of(task):
        raise UserError(
            "TFLite has no operations for what this task does with texts; its files take token "
            "ids. Received: form=text."
        )
    for label in task.labels or ():
        if len(label.splitlines()) > 1:
            raise UserError(f"labels.txt holds a label a line. Received: label={label!r}.")


def forms_of(task: Task) -> tuple[str, ...]:
    """The forms that there can be for a task."""
    answering = ANSWERING if task.has_lite_text else ("token_ids",)
    return (*answering, *WRITING) if golden.writes(task) else answering


def generation_config(task: Any) -> str:
    """What generation_config.json holds beside files that write."""
    plain = lite_generation.plain(task)
    return json.dumps(to_generation_config(plain), indent=2, sort_keys=True) + "\n"


class _Saved(tf.Module):
    """What the temporary SavedModel tracks: the bare weights, and the tokenizer's constants.

    A file of token ids has no tokenizer: its tables would be operations that TFLite lacks.
    """

    def __init__(self, task: Task, form: str):
        super().__init__(name="lite")
        self.weights = [weight.value for weight in weights(task).values()]
        if form == "text":
            self.tokenizer = task.tokenizer


def _functions(task: Task, form: str, sizes: Sizes | None) -> dict[str, Any]:
    """The signatures of a form of file, by name."""
    if form in WRITING:
        sizes = sizes or lite_generation.sizes_for(task)
        make = lite_generation.stepwise if form == "decode" else lite_generation.whole
        return make(task, sizes)
    return {FORMS[form]: _token_ids(task) if form == "token_ids" else _text(task)}


def _save(task: Task, form: str, folder: pathlib.Path, functions: dict[str, Any]) -> None:
    tf.saved_model.save(
        _Saved(task, form),
        os.fspath(folder),
        signatures=functions,
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )


def _token_ids(task: Task) -> Any:
    answer = task.signatures["token_ids"]

    def token_ids(*columns: tf.Tensor) -> Tensors:
        return _numbers(answer(*columns))

    return tf.function(token_ids, input_signature=answer.input_signature, autograph=False)


def _text(task: Task) -> Any:
    spec = tf.TensorSpec([1], tf.string, name="text")
    pair = tf.TensorSpec([1], tf.string, name="pair")

    def text(*columns: tf.Tensor) -> Tensors:
        row, *pairs = columns
        padded = task.tokenizer.lite_inputs(row, task.max_length, *pairs)
        # A short text shall not pay for the longest one.
        length = tf.reduce_sum(padded["padding_mask"])
        inputs = {name: ids[:, :length] for name, ids in padded.items()}
        return _numbers(task.answer(inputs))

    specs = [spec, pair] if task.pairs else [spec]
    return tf.function(text, input_signature=specs, autograph=False)


def _numbers(answer: Tensors) -> Tensors:
    return {name: tensor for name, tensor in answer.items() if tensor.dtype != tf.string}


def _write_lines(path: pathlib.Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
