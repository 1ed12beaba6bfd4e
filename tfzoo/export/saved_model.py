"""Writes a task as a SavedModel that TensorFlow Serving runs.

    task ─► serving_default   text (pair)                      strings in, answers out
         ├► token_ids         token_ids lengths (first_lengths)
         ├► embed             text ─► embedding
         └► classify          tf.Examples with text (pair) ─► classes, scores  (classification only)

Of what writes text (`tfzoo.tasks.generation.signatures`):

    task ─► serving_default   text ─► text, as the model's `decoding` says
         ├► generate          text, parameters of each row ─► text (scores, of beams)
         ├► generate_ids      token_ids lengths, parameters ─► token_ids lengths
         ├► token_ids         token_ids lengths ─► logits
         ├► score             text pair ─► log_likelihood num_tokens
         ├► embed             text ─► embedding
         └► encode            text ─► sequence padding_mask  (encoder-decoders only)

Easy to get wrong: a Keras model that is tracked by what is saved reloads in Python, and then fails
at its first request in a Session (https://github.com/tensorflow/tensorflow/issues/72963); Keras'
own `export` writes every weight twice (https://github.com/keras-team/keras/issues/23553). So only
the bare variables are tracked, and the functions close over the model.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfzoo.decoding import config as decoding_config
from tfzoo.export import warm_up
from tfzoo.tasks import generation
from tfzoo.tasks.classification import Classification
from tfzoo.tasks.task import Task, Tensors

# Of warm-up requests: some draws, and few, for what takes time is not how many there are.
_PARAMETERS = {**decoding_config.NEUTRAL, "max_new_tokens": 4, "do_sample": True, "seed": 0}

CLASSIFY = "tensorflow/serving/classify"
PREDICT = "tensorflow/serving/predict"


def write(task: Task, folder: str | os.PathLike[str], name: str) -> None:
    """Writes the SavedModel of `task` and its warm-up requests into `folder`.

    Args:
        task: Model, tokenizer and what an answer is.
        folder: Where to; what is there is overwritten.
        name: Name that the model will have on a server.
    """
    functions = signatures(task)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(_Served(task), os.fspath(folder), signatures=functions, options=options)
    if "classify" in functions:
        _set_method(pathlib.Path(folder), "classify", CLASSIFY)
    if hasattr(task, "decoding"):
        writing = sorted({"generate", "generate_ids"} & set(functions))
        _set_defaults(pathlib.Path(folder), generation.request_defaults(task), writing)
    warm_up.write(folder, name, warm_up_requests(task, functions))


def signatures(task: Task) -> dict[str, Any]:
    """The functions of the SavedModel by name: the task's, and `classify` if it classifies."""
    functions = dict(task.signatures)
    if isinstance(task, Classification) and task.tokenizer is not None:
        functions["classify"] = _classify(functions["serving_default"], task.pairs)
    return functions


def warm_up_requests(task: Task, functions: dict[str, Any]) -> list[warm_up.Request]:
    """For every signature: one short row, one as long as there may be, and eight of medium size."""
    requests = []
    for name, function in functions.items():
        for rows, length in ((1, 8), (1, task.max_length), (8, 32)):
            inputs = {
                spec.name: _filled(spec, rows, min(length, task.max_length), task.pairs)
                for spec in function.input_signature
            }
            requests.append(warm_up.Request(name, inputs, classify=name == "classify"))
    return requests


def weights(task: Task) -> dict[str, Any]:
    """All weights that the signatures read, by path: the model's, and what `features` adds.

    A pooler that the head does not read is no part of the model, but of its features.
    """
    found = [*task.model.weights, *task.features.weights]
    return {weight.path: weight for weight in found}


class _Served(tf.Module):
    """What a SavedModel tracks: the weights, by their paths, and the tokenizer's constants."""

    def __init__(self, task: Task):
        super().__init__(name="served")
        self.weights = {path: weight.value for path, weight in weights(task).items()}
        self.tokenizer = task.tokenizer


def _classify(answer: Any, pairs: bool) -> Any:
    """TF Serving's method classify: serialized tf.Examples to `classes` and `scores`, `(n, c)`."""
    features = {
        name: tf.io.FixedLenFeature([], tf.string) for name in ("text", "pair")[: 1 + pairs]
    }

    def classify(inputs: tf.Tensor) -> Tensors:
        columns = tf.io.parse_example(inputs, features)
        found = answer(**columns)
        return {"classes": found["labels"], "scores": found["scores"]}

    spec = tf.TensorSpec([None], tf.string, name="inputs")
    return tf.function(classify, input_signature=[spec], autograph=False)


def _filled(spec: tf.TensorSpec, rows: int, length: int, pairs: bool) -> np.ndarray:
    """An input of `rows` rows of about `length` tokens each."""
    text = " ".join(["word"] * (length // (1 + pairs))).encode()
    if spec.name in decoding_config.DTYPES:
        return np.full(rows, _PARAMETERS.get(spec.name), spec.dtype.as_numpy_dtype)
    match spec.name:
        case "token_ids":
            return np.zeros([rows, length], np.int32)
        case "lengths":
            return np.full(rows, length, np.int32)
        case "first_lengths":
            return np.full(rows, length // 2, np.int32)
        case "inputs":
            columns = {"text": text, "pair": text} if pairs else {"text": text}
            text = warm_up.example(**columns)
    return np.full(rows, text, object)


def _set_method(folder: pathlib.Path, signature: str, method: str) -> None:
    """Names the method that a signature serves, which tf.saved_model.save always calls predict."""
    with _message(folder) as message:
        message.meta_graphs[0].signature_def[signature].method_name = method


def _set_defaults(folder: pathlib.Path, values: dict[str, Any], names: Iterable[str]) -> None:
    """Says what a request to signatures gets where it leaves an input out: one value for all rows,
    which tf.saved_model.save cannot say.
    """
    with _message(folder) as message:
        for name in names:
            found = message.meta_graphs[0].signature_def[name].defaults
            for key, value in values.items():
                found[key].CopyFrom(tf.make_tensor_proto([value], decoding_config.DTYPES[key]))


@contextlib.contextmanager
def _message(folder: pathlib.Path) -> Iterator[Any]:
    """The SavedModel's message, which is written again when the context ends."""
    path = folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    yield message
    path.write_bytes(message.SerializeToString(deterministic=True))
