"""Exports functions of a model and runs them as a server and a phone do."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfzoo.export import converter, trial, warm_up
from tfzoo.testing.values import check, near

TOLERANCE = 1e-5  # relative to the largest number, where that is above 1


class Exported(NamedTuple):
    """A function to export, and what to ask of it.

    Attributes:
        function: Tensors by name to tensors by name.
        requests: What it is asked: arrays by name. Axes that differ between them are free.
        is_static_in_lite: Whether the TFLite file gets the fixed shapes of the first request.
    """

    function: Callable[..., dict[str, Any]]
    requests: Sequence[dict[str, np.ndarray]]
    is_static_in_lite: bool = False


def check_saved_model(
    model: Any, functions: dict[str, Exported], folder: pathlib.Path
) -> pathlib.Path:
    """Writes the functions as signatures of a SavedModel, and asks it in a Session of the C API.

    Raises:
        AssertionError: when an answer is not the live function's.
    """
    save(model, {name: _traced(e.function, e.requests) for name, e in functions.items()}, folder)
    requests = [(name, request) for name, e in functions.items() for request in e.requests]
    _compare(folder, functions, requests)
    return folder


def check_tflite(model: Any, functions: dict[str, Exported], folder: pathlib.Path) -> None:
    """Converts each function to a TFLite file, and asks it through LiteRT.

    Raises:
        AssertionError: when an answer is not the live function's.
    """
    for name, exported in functions.items():
        requests = exported.requests[:1] if exported.is_static_in_lite else exported.requests
        saved, file = folder / f"saved-{name}", folder / f"{name}.tflite"
        save(model, {name: _traced(exported.function, requests)}, saved)
        converter.convert(saved, name, "float32", file)
        _compare(file, functions, [(name, request) for request in requests])


def save(model: Any, functions: dict[str, Any], folder: pathlib.Path) -> None:
    """Writes a SavedModel that tracks only the bare variables of a model."""
    module = tf.Module(name="exported")
    module.variables_of_model = [weight.value for weight in model.weights]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=functions, options=options)


def _traced(function: Any, requests: Sequence[dict[str, np.ndarray]]) -> Any:
    specs = []
    for name, first in requests[0].items():
        shapes = {request[name].shape for request in requests}
        free = [len({shape[axis] for shape in shapes}) > 1 for axis in range(first.ndim)]
        shape = [None if f else n for f, n in zip(free, first.shape, strict=True)]
        specs.append(tf.TensorSpec(shape, first.dtype, name=name))
    names = list(requests[0])

    def call(*tensors: tf.Tensor) -> dict[str, Any]:
        return function(**dict(zip(names, tensors, strict=True)))

    return tf.function(call, input_signature=specs, autograph=False)


def _compare(
    artefact: pathlib.Path,
    functions: dict[str, Exported],
    requests: list[tuple[str, dict[str, np.ndarray]]],
) -> None:
    answers: list[trial.Answer] = []
    asked = [warm_up.Request(name, inputs) for name, inputs in requests]
    facts = trial.run(artefact, asked, asked[0], lambda _, answer: answers.append(answer))
    check(not facts["tensorflow_imported"], "TensorFlow was imported")
    for (name, inputs), answer in zip(requests, answers, strict=True):
        check(not isinstance(answer, str), f"{name}: {answer}")
        for key, value in functions[name].function(**inputs).items():
            wanted = np.asarray(value)
            near(answer[key], wanted, TOLERANCE * max(1.0, float(np.max(np.abs(wanted)))))
