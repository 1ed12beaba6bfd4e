"""`tfzoo bench generation`: greedy text of GPT-2's size beside KerasHub and PyTorch, in one run.

32 tokens are read and 64 written, with random weights, in the shape of GPT-2 124M. tfzoo is the
exported SavedModel, its loop inside, in a session of TensorFlow's C API with XLA off, as TensorFlow
Serving has it. `bandwidth` is not a contestant but the limit at batch 1: all weights that a token
needs, at the rate at which a product of one row with the largest of them reads memory here.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tfzoo.cli import contest, screen
from tfzoo.cli.contest import Run
from tfzoo.cli.parser import Parser, whole_number

VOCABULARY, LAYERS, HEADS, WIDTH, POSITIONS = 50_257, 12, 12, 768, 1024
READ, WRITTEN = 32, 64
SHAPES = ((1, WRITTEN), (8, WRITTEN))
KINDS = {
    "tfzoo": "tfzoo, exported SavedModel, no XLA",
    "keras_hub": "KerasHub, jit off",
    "keras_hub_jit": "KerasHub, jit on",
    "torch": "transformers, PyTorch, float32",
    "torch_bf16": "transformers, PyTorch, bfloat16",
    "bandwidth": "reading the weights once a token",
}


def run(arguments: list[str]) -> int:
    """Runs the comparison and prints its table. Returns the exit code."""
    parser = Parser(prog="tfzoo bench generation", description=__doc__)
    parser.add_argument("--rounds", type=whole_number, default=3, help="turns of each contestant")
    parser.add_argument("--repeats", type=whole_number, default=1, help="runs in one turn")
    parser.add_argument("--only", default="", help="comma-separated contestants")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_strictly(arguments)
    screen.quiet_tensorflow()
    shapes = {
        name: SHAPES[:1] if name == "bandwidth" else SHAPES
        for name in contest.chosen(options.only, list(KINDS))
    }
    child = [sys.executable, "-m", __spec__.name]
    with tempfile.TemporaryDirectory() as folder:
        if "tfzoo" in shapes:
            print("exporting ...", file=sys.stderr, flush=True)
            subprocess.run([*child, "export", folder], check=True)
        command = [*child, "NAME", folder]
        seconds = contest.compare(command, shapes, options.rounds, options.repeats)
    found = rows(seconds)
    columns = ("contestant", "batch", "best_ms", "median_ms", "tokens_s", "times_ours", "what")
    table = screen.table([tuple(row[c] for c in columns) for row in found], columns)
    print(json.dumps(found, indent=1) if options.json else table)
    return 0


def weight_bytes() -> int:
    """Bytes of float32 weights that are read for one token: all but the positions."""
    block = 12 * WIDTH * WIDTH + 13 * WIDTH
    return 4 * (VOCABULARY * WIDTH + LAYERS * block + 2 * WIDTH)


def rows(seconds: contest.Seconds) -> list[dict[str, Any]]:
    """The lines of the table, milliseconds by the step, which is a token of each text."""
    lines = []
    for (name, batch, count), turns in sorted(seconds.items(), key=lambda item: item[0][1]):
        ours = seconds.get(("tfzoo", batch, count))
        lines.append(
            {
                "contestant": name,
                "what": KINDS[name],
                "batch": batch,
                "best_ms": round(min(turns) / count * 1e3, 2),
                "median_ms": round(statistics.median(turns) / count * 1e3, 2),
                "tokens_s": round(batch * count / min(turns), 1),
                "times_ours": round(min(turns) / min(ours), 3) if ours else None,
            }
        )
    return lines


# What follows runs in the children.


def _export(folder: pathlib.Path) -> None:
    import tfzoo
    from tfzoo.export import saved_model
    from tfzoo.tasks.language_model import LanguageModel

    sizes: dict[str, Any] = {"num_layers": LAYERS, "num_heads": HEADS, "width": WIDTH}
    sizes |= {"vocab_size": VOCABULARY, "max_length": POSITIONS, "eos_id": None}
    model = tfzoo.build("gpt2", **sizes)
    saved_model.write(LanguageModel(model, None), folder / "1", "gpt2")


def _tfzoo(folder: pathlib.Path) -> Run:
    from tfzoo.decoding import config as decoding_config
    from tfzoo.export.session import Session

    session = Session(folder / "1")
    neutral = decoding_config.requests(decoding_config.DecodingConfig(), 1)
    defaults = {name: value.numpy() for name, value in neutral.items()}

    def write(batch: int, count: int) -> float:
        inputs = {name: np.repeat(value, batch) for name, value in defaults.items()}
        inputs["max_new_tokens"] = np.full(batch, count, np.int32)
        lengths = np.full(batch, READ, np.int32)
        start = time.perf_counter()
        session.run("generate_ids", token_ids=_ids(batch), lengths=lengths, **inputs)
        return time.perf_counter() - start

    return write


def _keras_hub(jit: bool) -> Run:
    import keras_hub
    import tensorflow as tf

    hub: Any = keras_hub.models
    backbone = hub.GPT2Backbone(
        vocabulary_size=VOCABULARY,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH,
        max_sequence_length=POSITIONS,
    )
    model = hub.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler="greedy", jit_compile=jit)
    function = model.make_generate_function()

    def write(batch: int, count: int) -> float:
        ids = tf.pad(_ids(batch), [[0, 0], [0, count]])
        mask = tf.pad(tf.ones([batch, READ], tf.int32), [[0, 0], [0, count]])
        start = time.perf_counter()
        function({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
        return time.perf_counter() - start

    return write


def _torch(dtype: str) -> Run:
    # PyTorch comes in through transformers alone: this package never imports it.
    import transformers

    torch: Any = transformers.modeling_utils.torch
    sizes = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_positions": POSITIONS}
    config: Any = transformers.GPT2Config(vocab_size=VOCABULARY, **sizes)
    model: Any = transformers.GPT2LMHeadModel(config).eval().to(getattr(torch, dtype))

    def write(batch: int, count: int) -> float:
        ids = torch.from_numpy(_ids(batch)).long()
        mask, limits = torch.ones_like(ids), {"max_new_tokens": count, "min_new_tokens": count}
        start = time.perf_counter()
        with torch.no_grad():
            model.generate(ids, attention_mask=mask, do_sample=False, pad_token_id=0, **limits)
        return time.perf_counter() - start

    return write


def _bandwidth() -> Run:
    import tensorflow as tf

    table, row = tf.random.normal([VOCABULARY, WIDTH]), tf.random.normal([1, WIDTH])
    product = tf.function(lambda x: tf.matmul(x, table, transpose_b=True))

    def read(batch: int, count: int) -> float:
        times = 4
        start = time.perf_counter()
        for _ in range(times):
            product(row).numpy()
        rate = times * 4 * VOCABULARY * WIDTH / (time.perf_counter() - start)
        return count * weight_bytes() / rate

    return read


def _ids(batch: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, (batch, READ), dtype=np.int32)


def _work(name: str, folder: pathlib.Path) -> None:
    makers: dict[str, Callable[[], Run]] = {
        "tfzoo": lambda: _tfzoo(folder),
        "keras_hub": lambda: _keras_hub(False),
        "keras_hub_jit": lambda: _keras_hub(True),
        "torch": lambda: _torch("float32"),
        "torch_bf16": lambda: _torch("bfloat16"),
        "bandwidth": _bandwidth,
    }
    shapes = SHAPES[:1] if name == "bandwidth" else SHAPES
    contest.serve(makers[name](), shapes, sys.stdin)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _, what, where = sys.argv
    if what == "export":
        _export(pathlib.Path(where))
    else:
        _work(what, pathlib.Path(where))
