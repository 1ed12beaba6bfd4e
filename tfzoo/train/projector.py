"""Embeddings for TensorBoard's projector.

It wants, in a folder that holds event files, a TensorFlow checkpoint whose variables are the tables
and nothing else, a table of labels for each, and a file that says which belongs to which.
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from tfzoo.core.files import write_aside

_KEY = "/.ATTRIBUTES/VARIABLE_VALUE"  # what TensorFlow puts behind the name of a variable
_MOST_ROWS = 100_000  # that the projector can hold


def write(
    folder: pathlib.Path,
    step: int,
    tables: Mapping[str, np.ndarray],
    labels: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """Writes tables for the projector, in place of those that are there.

    Args:
        folder: A folder with event files.
        step: The step they are of.
        tables: `(n, d)` floats by name.
        labels: For each table its columns of labels, by name, with n strings each.
    """
    config = ProjectorConfig()
    for name in tables:
        columns = labels[name]
        lines = zip(*([_line(text) for text in texts] for texts in columns.values()), strict=True)
        # One column has no header there.
        header = ["\t".join(columns)] if len(columns) > 1 else []
        text = "\n".join([*header, *["\t".join(line) for line in lines][:_MOST_ROWS]])
        with write_aside(folder / f"{name}.tsv") as aside:
            aside.write_text(text + "\n", encoding="utf-8")
        config.embeddings.add(tensor_name=f"{name}{_KEY}", metadata_path=f"{name}.tsv")
    with tf.device("CPU"):
        variables = {
            name: tf.Variable(rows[:_MOST_ROWS].astype("float32")) for name, rows in tables.items()
        }
    checkpoint = tf.train.Checkpoint(**variables)
    # A name of its own for each step makes an open TensorBoard look again.
    manager = tf.train.CheckpointManager(
        checkpoint, str(folder), max_to_keep=1, checkpoint_name="embeddings"
    )
    manager.save(checkpoint_number=step)
    with write_aside(folder / "projector_config.pbtxt") as aside:
        aside.write_text(text_format.MessageToString(config), encoding="utf-8")


def _line(text: str) -> str:
    """A label without what would end it, and not empty: the projector leaves out empty lines."""
    return " ".join(text.split()) or repr(text)
