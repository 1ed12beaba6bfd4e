"""`tfzoo bench loading`: Hugging Face checkpoints into memory, beside transformers and KerasHub.

Each load is a process of its own, one after the other, several rounds over; the files are in the
system's cache. Its seconds are those from the call to the first answer to a few tokens, without
imports; its memory is the highest that the process had, above what it had after the imports. The
weights are random: what they are changes nothing.
"""

import gc
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tfzoo.cli import screen
from tfzoo.cli.parser import Parser, whole_number

MODELS = {"gpt2": "small", "bert": "large"}
CONTESTANTS = ("tfzoo", "transformers", "keras_hub")
TOKENS = np.arange(8, dtype=np.int32)[None]


def run(arguments: list[str]) -> int:
    """Runs the comparison and prints its table. Returns the exit code."""
    parser = Parser(prog="tfzoo bench loading", description=__doc__)
    parser.add_argument("--rounds", type=whole_number, default=3, help="loads by each contestant")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_strictly(arguments)
    screen.quiet_tensorflow()
    found = []
    with tempfile.TemporaryDirectory() as name:
        for model in MODELS:
            folder = pathlib.Path(name) / model
            print(f"preparing {model} {MODELS[model]} ...", file=sys.stderr, flush=True)
            _child("prepare", model, str(folder))
            found += rows(model, _compare(model, folder, options.rounds), file_bytes(folder))
    print(json.dumps(found, indent=1) if options.json else _table(found))
    return 0


def file_bytes(folder: pathlib.Path) -> int:
    """Size of the weights of a Hugging Face folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def rows(model: str, measured: list[tuple[str, float, int]], size: int) -> list[dict[str, Any]]:
    """The lines of the table, from contestant, seconds and bytes of each load."""
    lines = []
    for contestant in dict.fromkeys(name for name, _, _ in measured):
        turns = [turn for turn in measured if turn[0] == contestant]
        lines.append(
            {
                "model": f"{model} {MODELS[model]}",
                "contestant": contestant,
                "seconds": min(seconds for _, seconds, _ in turns),
                "peak_of_file": max(peak for _, _, peak in turns) / size,
                "file_bytes": size,
            }
        )
    return lines


def _compare(model: str, folder: pathlib.Path, rounds: int) -> list[tuple[str, float, int]]:
    measured, left_out = [], set[str]()
    for _ in range(rounds):
        for contestant in CONTESTANTS:
            if contestant in left_out:
                continue
            try:
                answer = json.loads(_child("load", contestant, model, str(folder)))
            except ChildError as error:
                print(f"  {contestant} left out: {error}", file=sys.stderr)
                left_out.add(contestant)
                continue
            measured.append((contestant, float(answer["seconds"]), int(answer["peak"])))
    return measured


def _table(found: list[dict[str, Any]]) -> str:
    lines = [
        (r["model"], r["contestant"], f"{r['seconds']:.2f}", f"{r['peak_of_file']:.2f}")
        for r in found
    ]
    return screen.table(lines, ("model", "contestant", "seconds", "peak memory / file"))


class ChildError(Exception):
    """A contestant is not installed, or failed."""


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", __spec__.name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildError((done.stderr.strip().splitlines() or ["it died"])[-1])
    return (done.stdout.strip().splitlines() or [""])[-1]


# The children's side.


def _prepare(model: str, folder: str) -> None:
    import tfzoo
    from tfzoo import models
    from tfzoo.weights import hugging_face

    built = tfzoo.build(model, MODELS[model], head="none")
    path = pathlib.Path(folder)
    path.mkdir()
    hugging_face.write(path, built, models.module(model).HUGGING_FACE, None)


def _load(contestant: str, model: str, folder: str) -> None:
    loader: dict[str, Any] = {
        "tfzoo": _tfzoo,
        "transformers": _transformers,
        "keras_hub": _keras_hub,
    }
    load = loader[contestant](model, folder)
    gc.collect()
    before = _resident_bytes()
    start = time.perf_counter()
    load()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _resident_bytes() -> int:
    """What the process has in memory now; the system keeps only the highest there ever was."""
    pages = pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def _tfzoo(model: str, folder: str) -> Callable[[], Any]:
    import tensorflow_text  # noqa: F401

    import tfzoo
    import tfzoo.tasks.folder

    ones = np.ones_like(TOKENS)
    inputs = {"token_ids": TOKENS, "segment_ids": 0 * ones, "padding_mask": ones}

    def load() -> Any:
        found = tfzoo.load(folder, head="none").model
        return np.asarray(found({name: inputs[name] for name in found.input})["sequence"])

    return load


def _transformers(model: str, folder: str) -> Callable[[], Any]:
    import transformers

    getattr(transformers, {"gpt2": "GPT2Model", "bert": "BertModel"}[model])  # imports it

    def load() -> Any:
        found = transformers.AutoModel.from_pretrained(folder)
        return found(found.dummy_inputs["input_ids"]).last_hidden_state.detach().numpy()

    return load


def _keras_hub(model: str, folder: str) -> Callable[[], Any]:
    import keras_hub

    backbone = {"gpt2": keras_hub.models.GPT2Backbone, "bert": keras_hub.models.BertBackbone}[model]
    ones = np.ones_like(TOKENS)
    inputs = {"token_ids": TOKENS, "padding_mask": ones}
    if model == "bert":
        inputs["segment_ids"] = 0 * ones

    def load() -> Any:
        found = backbone.from_preset(folder)(inputs)
        return {k: np.asarray(v) for k, v in found.items()} if model == "bert" else found.numpy()

    return load


if __name__ == "__main__":
    screen.quiet_tensorflow()
    (_load if sys.argv[1] == "load" else _prepare)(*sys.argv[2:])
