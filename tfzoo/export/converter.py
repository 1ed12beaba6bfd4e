"""Converts one SavedModel to one TFLite file; run as a process, `convert` starts it.

    python -m tfzoo.export.converter SAVED_MODEL SIGNATURES PRECISION FILE

The only module that touches TensorFlow's converter, which is leaving TensorFlow
(https://github.com/tensorflow/tensorflow/issues/102071); a process of its own, because a second
conversion in one process can crash (https://github.com/tensorflow/tensorflow/issues/122598).
"""

import os
import pathlib
import subprocess
import sys

from tfzoo.export.child import run_module

# float16 halves the weights, which are widened again when the model is loaded; int8 stores them
# in 8 bits and quantizes activations as they come (static int8 ruins encoders: cosine 0.2 to 0.7).
PRECISIONS = ("float32", "float16", "int8")


class ConversionError(Exception):
    """TensorFlow's converter failed."""


def convert(
    saved_model: str | os.PathLike[str],
    signature: str,
    precision: str,
    file: str | os.PathLike[str],
    timeout_seconds: float = 3600,
) -> None:
    """Converts one or more signatures of a SavedModel, in a child process.

    Args:
        saved_model: Folder of the SavedModel.
        signature: Name of the signature, which the file keeps; of several with commas between.
        precision: One of `PRECISIONS`.
        file: Where to.
        timeout_seconds: After how long the child is given up.

    Raises:
        ConversionError: with the converter's last words.
    """
    arguments = [os.fspath(saved_model), signature, precision, os.fspath(file)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = run_module(
            "tfzoo.export.converter", *arguments, timeout_seconds=timeout_seconds, **quiet
        )
    except subprocess.TimeoutExpired:
        raise ConversionError(f"no end of it within {timeout_seconds:.0f} s") from None
    if done.returncode or not os.path.isfile(file):
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise ConversionError(f"exit code {done.returncode}: {' '.join(lines[-3:])[:1000]}")


def _convert_here(saved_model: str, signature: str, precision: str, file: str) -> None:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the tokenizers' operations)

    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=signature.split(",")
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    # Those of the tokenizer have kernels; verification refuses every other one.
    converter.allow_custom_ops = True
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    pathlib.Path(file).write_bytes(converter.convert())


if __name__ == "__main__":
    _convert_here(*sys.argv[1:])
