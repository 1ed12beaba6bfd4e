"""Runs a model on another backend of Keras, in a process of its own.

    KERAS_BACKEND=jax python -m tfzoo.testing.backend JOB.json INPUTS.npz OUTPUTS.npz

Layers and models are written in `keras.ops` alone, so they must give the same numbers there. The
job says `name` and `fields` of the model; its weights come from `tfzoo.testing.values.fill`.
"""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np


def outputs(
    backend: str, name: str, fields: dict[str, Any], inputs: dict[str, Any], folder: pathlib.Path
) -> dict[str, np.ndarray]:
    """The outputs of a filled model on `backend`.

    Args:
        backend: `jax` or `torch`, which must be installed.
        name: The architecture.
        fields: The fields of its config.
        inputs: The model's inputs.
        folder: An empty folder for the files in between.

    Raises:
        RuntimeError: with the child's last words.
    """
    job, given, found = folder / "job.json", folder / "inputs.npz", folder / "outputs.npz"
    job.write_text(json.dumps({"name": name, "fields": fields}), encoding="utf-8")
    np.savez(given, **inputs)
    command = [sys.executable, "-m", "tfzoo.testing.backend", str(job), str(given), str(found)]
    root = str(pathlib.Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"on {backend}: {done.stderr.strip()[-2000:]}")
    return dict(np.load(found))


def _child(job_path: str, inputs_path: str, outputs_path: str) -> None:
    import keras

    import tfzoo
    from tfzoo.testing.values import fill

    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    model = tfzoo.build(job["name"], **job["fields"])
    fill(model)
    result = model(dict(np.load(inputs_path)))
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in result.items()}
    np.savez(outputs_path, **arrays)


if __name__ == "__main__":
    _child(*sys.argv[1:])
