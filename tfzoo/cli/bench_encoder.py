"""`tfzoo bench encoder`: BERT's forward pass beside its peers, in turns, in one run.

Contestants are asked in turns (`tfzoo.cli.contest`); the figure of each is its best round.
`matmul` is not a contestant but the limit: a plain float32 product of the size of BERT's largest,
as fast as this machine does it.
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

VOCABULARY = 30_522
THREADS = os.cpu_count() or 1
SIZES = {
    "base": {"num_layers": 12, "num_heads": 12, "width": 768, "feed_forward_dim": 3072},
    "minilm": {"num_layers": 6, "num_heads": 12, "width": 384, "feed_forward_dim": 1536},
}
# name -> (what it is, the size of model it runs, the shapes it is asked for)
BERT_SHAPES = ((1, 128), (8, 128))
CONTESTANTS = {
    "tfzoo": ("exported SavedModel through the C API, no XLA", "base", BERT_SHAPES),
    "keras_hub": ("KerasHub BertBackbone, jit off", "base", BERT_SHAPES),
    "keras_hub_jit": ("KerasHub BertBackbone, jit on", "base", BERT_SHAPES),
    "torch": ("transformers BertModel, PyTorch, eager", "base", BERT_SHAPES),
    "matmul": ("float32 matmul (1024 x 768) (768 x 3072)", "base", BERT_SHAPES),
    "tfzoo_minilm": ("exported SavedModel through the C API, no XLA", "minilm", ((1, 128),)),
    "litert_int8": ("dynamic int8 LiteRT", "minilm", ((1, 128),)),
}


def run(arguments: list[str]) -> int:
    """Runs the comparison and prints its table. Returns the exit code."""
    parser = Parser(prog="tfzoo bench encoder", description=__doc__)
    parser.add_argument("--rounds", type=whole_number, default=7, help="turns of each contestant")
    parser.add_argument(
        "--repeats", type=whole_number, default=3, help="forward passes in one turn"
    )
    parser.add_argument("--only", default="", help="comma-separated contestants")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_strictly(arguments)
    screen.quiet_tensorflow()
    names = contest.chosen(options.only, list(CONTESTANTS))
    with tempfile.TemporaryDirectory() as folder:
        _prepare(pathlib.Path(folder), {CONTESTANTS[n][1] for n in names})
        command = [sys.executable, "-m", __spec__.name, "work", "NAME", folder]
        shapes = {name: CONTESTANTS[name][2] for name in names}
        seconds = contest.compare(command, shapes, options.rounds, options.repeats)
    found = rows(seconds)
    print(json.dumps(found, indent=1) if options.json else _table(found))
    return 0


def flops(size: str, batch: int, length: int) -> float:
    """Floating-point operations of the products in one forward pass of the encoder's blocks."""
    n = SIZES[size]
    d, f, tokens = n["width"], n["feed_forward_dim"], batch * length
    dense = 2 * tokens * (4 * d * d + 2 * d * f)
    attention = 2 * 2 * batch * length * length * d
    return float(n["num_layers"] * (dense + attention))


def _prepare(folder: pathlib.Path, sizes: set[str]) -> None:
    """Exports what the contestants of ours run, in a child: its memory must not stay."""
    for size in sizes:
        print(f"preparing {size} ...", file=sys.stderr, flush=True)
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "prepare", size, str(folder)], check=True
        )


def rows(seconds: dict[tuple[str, int, int], list[float]]) -> list[dict[str, Any]]:
    """The lines of the table, from the seconds of each turn by contestant, batch and length."""
    lines = []
    for (name, batch, length), turns in sorted(seconds.items(), key=lambda x: (x[0][1], x[0][0])):
        what, size, _ = CONTESTANTS[name]
        best = min(turns)
        ours = seconds.get(("tfzoo" if size == "base" else "tfzoo_minilm", batch, length))
        lines.append(
            {
                "contestant": name,
                "what": what,
                "shape": f"{batch}x{length}",
                "best_ms": round(best * 1e3, 2),
                "median_ms": round(statistics.median(turns) * 1e3, 2),
                "gflops": round(flops(size, batch, length) / best / 1e9, 1),
                "times_ours": round(best / min(ours), 3) if ours else None,
            }
        )
    return lines


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| contestant | shape | best ms | median ms | GFLOP/s | time / ours | what |"]
    lines.append("|---|---|---|---|---|---|---|")
    for r in rows:
        cells = [r[k] for k in ("contestant", "shape", "best_ms", "median_ms", "gflops")]
        lines.append(f"| {' | '.join(map(str, cells))} | {r['times_ours']} | {r['what']} |")
    return "\n".join(lines)


# What follows runs in the children.


def _export(size: str, folder: pathlib.Path) -> None:
    import tfzoo
    from tfzoo.export import saved_model, tflite
    from tfzoo.tasks.embedding import Embedding

    fields: dict[str, Any] = {**SIZES[size], "vocab_size": VOCABULARY, "pooler": False}
    model = tfzoo.build("bert", **fields)
    task = Embedding(model, None)
    saved_model.write(task, folder / size / "1", size)
    if size == "minilm":
        tflite.write(task, folder, ["int8"], ["token_ids"])


def _saved_model(folder: pathlib.Path, size: str) -> Run:
    from tfzoo.export.session import Session

    session = Session(folder / size / "1", threads=THREADS)

    def forward(batch: int, length: int) -> float:
        ids, lengths = _ids(batch, length), np.full(batch, length, "int32")
        start = time.perf_counter()
        session.run("token_ids", token_ids=ids, lengths=lengths)
        return time.perf_counter() - start

    return forward


def _litert(folder: pathlib.Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "token_ids.int8.tflite"), num_threads=THREADS)
    runner = interpreter.get_signature_runner("token_ids")

    def forward(batch: int, length: int) -> float:
        ids, lengths = _ids(batch, length), np.full(batch, length, "int32")
        start = time.perf_counter()
        runner(token_ids=ids, lengths=lengths)
        return time.perf_counter() - start

    return forward


def _keras_hub(jit: bool) -> Run:
    import keras_hub
    import tensorflow as tf

    n = SIZES["base"]
    model = keras_hub.models.BertBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=n["num_layers"],
        num_heads=n["num_heads"],
        hidden_dim=n["width"],
        intermediate_dim=n["feed_forward_dim"],
        max_sequence_length=512,
    )
    function = tf.function(lambda x: model(x, training=False), jit_compile=jit)

    def forward(batch: int, length: int) -> float:
        ids = tf.constant(_ids(batch, length))
        inputs = {
            "token_ids": ids,
            "segment_ids": tf.zeros_like(ids),
            "padding_mask": tf.ones_like(ids),
        }
        start = time.perf_counter()
        function(inputs)["sequence_output"].numpy()
        return time.perf_counter() - start

    return forward


def _torch() -> Run:
    # PyTorch comes in through transformers alone: this package never imports it.
    import transformers

    n = SIZES["base"]
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=n["num_layers"],
        num_attention_heads=n["num_heads"],
        hidden_size=n["width"],
        intermediate_size=n["feed_forward_dim"],
    )
    model = transformers.BertModel(config).eval().requires_grad_(False)

    def forward(batch: int, length: int) -> float:
        ids = _ids(batch, length).astype("int64")
        inputs = transformers.BatchEncoding(
            {"input_ids": ids, "attention_mask": np.ones_like(ids)}, tensor_type="pt"
        )
        start = time.perf_counter()
        model(**inputs)
        return time.perf_counter() - start

    return forward


def _matmul() -> Run:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    a = tf.constant(rng.normal(size=(1024, 768)).astype("float32"))
    b = tf.constant(rng.normal(size=(768, 3072)).astype("float32"))
    per_product = 2 * 1024 * 768 * 3072

    def forward(batch: int, length: int) -> float:
        count = 8
        start = time.perf_counter()
        for _ in range(count):
            tf.matmul(a, b).numpy()
        rate = count * per_product / (time.perf_counter() - start)
        return flops("base", batch, length) / rate

    return forward


def _ids(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1000, VOCABULARY, (batch, length), dtype=np.int32)


def _work(name: str, folder: pathlib.Path) -> None:
    makers: dict[str, Callable[[], Run]] = {
        "tfzoo": lambda: _saved_model(folder, "base"),
        "tfzoo_minilm": lambda: _saved_model(folder, "minilm"),
        "litert_int8": lambda: _litert(folder),
        "keras_hub": lambda: _keras_hub(False),
        "keras_hub_jit": lambda: _keras_hub(True),
        "torch": _torch,
        "matmul": _matmul,
    }
    contest.serve(makers[name](), CONTESTANTS[name][2], sys.stdin)


if __name__ == "__main__":
    _, verb, what, where = sys.argv
    if verb == "prepare":
        _export(what, pathlib.Path(where))
    else:
        _work(what, pathlib.Path(where))
