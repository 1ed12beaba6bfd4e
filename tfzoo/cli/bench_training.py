"""`tfzoo bench training`: training steps beside KerasHub's `fit` and PyTorch, in turns, in one run.

The same model, batch, optimizer (AdamW) and dropout for all; the figure of a contestant is its
best round, by the step. tfzoo runs with oneDNN's products, as `tfzoo train` does, KerasHub as
TensorFlow comes, and once more with them. `matmul` is not a contestant but the limit: the step's
products, at the rate of a plain float32 product on this machine. bert: 4 layers, width 512,
vocabulary 30,522, two classes. gpt: 6 layers, width 384, vocabulary 50,257, every next token.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfzoo.cli import contest, screen
from tfzoo.cli.contest import Run
from tfzoo.cli.parser import Parser, whole_number
from tfzoo.cli.train import fast_products

STEPS = 4  # in one run; the start of fit takes a hundredth of them
RATE = 1e-4
BERT = {"vocab_size": 30_522, "num_layers": 4, "num_heads": 8, "width": 512}
GPT = {"vocab_size": 50_257, "num_layers": 6, "num_heads": 6, "width": 384}
SHAPES = {"bert": ((16, 128),), "gpt": ((8, 256),)}
KINDS = {
    "tfzoo": "tfzoo's loop",
    "tfzoo_xla": "tfzoo's loop, train.jit=true",
    "keras_hub": "KerasHub, fit, jit off",
    "keras_hub_jit": "KerasHub, fit, jit on",
    "keras_hub_jit_onednn": "the same with oneDNN",
    "torch": "transformers, PyTorch, eager",
    "matmul": "float32 products alone",
}
CONTESTANTS = {f"{kind}_{model}": (kind, model) for model in SHAPES for kind in KINDS}


def run(arguments: list[str]) -> int:
    """Runs the comparison and prints its table. Returns the exit code."""
    parser = Parser(prog="tfzoo bench training", description=__doc__)
    parser.add_argument("--rounds", type=whole_number, default=3, help="turns of each contestant")
    parser.add_argument("--repeats", type=whole_number, default=1, help="runs in one turn")
    parser.add_argument("--only", default="", help="comma-separated contestants")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_strictly(arguments)
    screen.quiet_tensorflow()
    names = contest.chosen(options.only, list(CONTESTANTS))
    command = [sys.executable, "-m", __spec__.name, "NAME"]
    shapes = {name: SHAPES[CONTESTANTS[name][1]] for name in names}
    seconds = contest.compare(command, shapes, options.rounds, options.repeats)
    found = rows(seconds)
    columns = ("contestant", "shape", "best_ms", "median_ms", "gflops", "times_ours", "what")
    table = screen.table([tuple(row[c] for c in columns) for row in found], columns)
    print(json.dumps(found, indent=1) if options.json else table)
    return 0


def flops(model: str, batch: int, length: int) -> float:
    """Floating-point operations of the products in one training step, 3 times the forward pass."""
    sizes = BERT if model == "bert" else GPT
    tokens, d = batch * length, sizes["width"]
    block = tokens * 12 * d * d + 2 * batch * length * length * d
    scores = tokens * d * sizes["vocab_size"] if model == "gpt" else 0
    return 3.0 * 2.0 * (sizes["num_layers"] * block + scores)


def rows(seconds: contest.Seconds) -> list[dict[str, Any]]:
    """The lines of the table, from the seconds of each turn, which are STEPS steps."""
    lines = []
    for (name, batch, length), turns in seconds.items():
        kind, model = CONTESTANTS[name]
        ours = [min(t) for n, t in _of(seconds, model) if n.startswith("tfzoo")]
        best = min(turns)
        lines.append(
            {
                "contestant": name,
                "what": KINDS[kind],
                "shape": f"{batch}x{length}",
                "best_ms": round(best / STEPS * 1e3, 1),
                "median_ms": round(statistics.median(turns) / STEPS * 1e3, 1),
                "gflops": round(STEPS * flops(model, batch, length) / best / 1e9, 1),
                "times_ours": round(best / min(ours), 3) if ours else None,
            }
        )
    return lines


def _of(seconds: contest.Seconds, model: str) -> Iterator[tuple[str, list[float]]]:
    return ((name, turns) for (name, *_), turns in seconds.items() if CONTESTANTS[name][1] == model)


# What follows runs in the children.


def _batch(model: str, batch: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids `(b, t)`, and a class of each row, or the token after each."""
    chance = np.random.default_rng(0)
    vocabulary = (BERT if model == "bert" else GPT)["vocab_size"]
    ids = chance.integers(1000, vocabulary, (batch, length + 1), dtype=np.int32)
    return ids[:, :-1], ids[:, 0] % 2 if model == "bert" else ids[:, 1:]


class _Task:
    """A model of the zoo with the loss of this benchmark."""

    def __init__(self, name: str):
        import tfzoo

        sizes: dict[str, Any] = BERT if name == "bert" else GPT
        dim = 4 * sizes["width"]
        head: dict[str, Any] = (
            {"head": "classification", "num_labels": 2} if name == "bert" else {"head": "causal_lm"}
        )
        longest = SHAPES[name][0][1]
        self.model = tfzoo.build(
            "bert" if name == "bert" else "gpt2",
            **sizes,
            feed_forward_dim=dim,
            max_length=longest,
            **head,
        )

    def forward(self, inputs: Any, training: bool) -> Any:
        return self.model(inputs, training=training)

    def count(self, targets: Any) -> Any:
        import tensorflow as tf

        return tf.cast(tf.size(targets["label"]), tf.float32)

    def loss(self, targets: Any, outputs: Any) -> Any:
        import tensorflow as tf

        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets["label"], outputs["logits"])
        return tf.reduce_sum(nats)


def _tfzoo(model: str, jit: bool) -> Run:
    import tensorflow as tf

    from tfzoo.core.experiment import TrainChoice
    from tfzoo.train import optimizers, schedules
    from tfzoo.train.loop import Loop

    task = _Task(model)
    choice = TrainChoice(
        learning_rate=RATE, schedule="constant", warmup="0 steps", clip_norm=None, jit=jit
    )
    rate = schedules.schedule(choice, 1, 1)
    optimizer = optimizers.make(choice, task.model, rate, 1, 1)
    loop = Loop(task, optimizer, tf.distribute.get_strategy(), None, jit=jit)

    def train(batch: int, length: int) -> float:
        ids, labels = _batch(model, batch, length)
        one = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        inputs = {k: v for k, v in {**one, "segment_ids": 0 * ids}.items() if k in task.model.input}
        targets = {"label": labels, "weight": np.ones(batch, "float32")}
        batches = iter(tf.data.Dataset.from_tensors((inputs, targets)).repeat())
        start = time.perf_counter()
        loop.train(batches, STEPS)
        return time.perf_counter() - start

    return train


def _keras_hub(name: str, jit: bool) -> Run:
    import keras
    import keras_hub
    import tensorflow as tf

    hub: Any = keras_hub.models
    sizes = BERT if name == "bert" else GPT
    backbone: Any = (hub.BertBackbone if name == "bert" else hub.GPT2Backbone)(
        vocabulary_size=sizes["vocab_size"],
        num_layers=sizes["num_layers"],
        num_heads=sizes["num_heads"],
        hidden_dim=sizes["width"],
        intermediate_dim=4 * sizes["width"],
        max_sequence_length=SHAPES[name][0][1],
    )
    if name == "bert":
        model = hub.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    else:
        model = hub.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(
        optimizer=keras.optimizers.AdamW(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
        metrics=[],
    )

    def train(batch: int, length: int) -> float:
        ids, labels = _batch(name, batch, length)
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        if name == "bert":
            inputs["segment_ids"] = 0 * ids
        data = tf.data.Dataset.from_tensors((inputs, labels)).repeat()
        start = time.perf_counter()
        model.fit(data, steps_per_epoch=STEPS, verbose=0)
        return time.perf_counter() - start

    return train


def _torch(name: str) -> Run:
    # PyTorch comes in through transformers alone: this package never imports it.
    import transformers

    torch: Any = transformers.modeling_utils.torch
    if name == "bert":
        config: Any = transformers.BertConfig(
            vocab_size=BERT["vocab_size"],
            num_hidden_layers=BERT["num_layers"],
            num_attention_heads=BERT["num_heads"],
            hidden_size=BERT["width"],
            intermediate_size=4 * BERT["width"],
        )
        model: Any = transformers.BertForSequenceClassification(config)
    else:
        config = transformers.GPT2Config(
            vocab_size=GPT["vocab_size"],
            n_layer=GPT["num_layers"],
            n_head=GPT["num_heads"],
            n_embd=GPT["width"],
            n_positions=SHAPES["gpt"][0][1],
        )
        model = transformers.GPT2LMHeadModel(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)

    def train(batch: int, length: int) -> float:
        ids, labels = _batch(name, batch, length)
        # The model shifts labels by itself.
        labels = labels if name == "bert" else ids
        inputs = {
            k: torch.from_numpy(v).long() for k, v in (("input_ids", ids), ("labels", labels))
        }
        start = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(**inputs).loss.backward()
            optimizer.step()
        return time.perf_counter() - start

    return train


def _matmul(name: str) -> Run:
    import tensorflow as tf

    def train(batch: int, length: int) -> float:
        width = (BERT if name == "bert" else GPT)["width"]
        a, b = tf.random.normal([batch * length, width]), tf.random.normal([width, 4 * width])
        count = 8
        start = time.perf_counter()
        for _ in range(count):
            tf.matmul(a, b).numpy()
        rate = count * 2 * batch * length * width * 4 * width / (time.perf_counter() - start)
        return STEPS * flops(name, batch, length) / rate

    return train


def _work(name: str) -> None:
    kind, model = CONTESTANTS[name]
    if kind not in ("keras_hub", "keras_hub_jit"):
        fast_products()
    makers: dict[str, Callable[[], Run]] = {
        "tfzoo": lambda: _tfzoo(model, False),
        "tfzoo_xla": lambda: _tfzoo(model, True),
        "keras_hub": lambda: _keras_hub(model, False),
        "keras_hub_jit": lambda: _keras_hub(model, True),
        "keras_hub_jit_onednn": lambda: _keras_hub(model, True),
        "torch": lambda: _torch(model),
        "matmul": lambda: _matmul(model),
    }
    contest.serve(makers[kind](), SHAPES[model], sys.stdin)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _work(sys.argv[1])
