"""What a training comes to on one device, two devices or two processes, in every situation.

    python -m tests.train.distribute one|mirrored|workers FOLDER [--keras]

A process has its devices once, so each of the three runs in one of its own (`measure` starts them)
and takes all cases there: tfzoo's trainer, or with `--keras` Keras' `fit`. A case's weights, losses
and whatever else it shows come to stand in FOLDER/<case>.npz, errors in FOLDER/<case>.txt.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfzoo
from tfzoo.core.experiment import OptimizerChoice, TrainChoice
from tfzoo.data import batches
from tfzoo.tasks import token_loss
from tfzoo.train import optimizers, strategies
from tfzoo.train.checkpoints import Checkpoints
from tfzoo.train.loop import Loop
from tfzoo.train.seeds import spread_seeds

ROOT = pathlib.Path(__file__).parents[2]
STRATEGIES = ("one", "mirrored", "workers")
WIDTH, LENGTH, VOCABULARY, BATCH, RATE, STEPS = 16, 12, 23, 8, 1e-2, 9
SECONDS = 120  # that one case may take; in some Keras stands still


@dataclasses.dataclass(frozen=True)
class Case:
    """A situation.

    Attributes:
        title: Its row in the table.
        loop: Arguments of `Loop`.
        precision: Keras' policy.
        rows: How many there are; batches have 8.
        at_once: Steps in one call.
        dropout: Of all kinds.
        overflow: Whether the loss of one row is so large that its float16 gradient overflows.
        bool_mask: Whether the mask of the inputs is boolean.
        optimizer, compiled: Keras' own names of what the case is about, for its optimizer and
            `compile`.
    """

    title: str
    loop: dict[str, Any] = dataclasses.field(default_factory=dict)
    precision: str = "float32"
    rows: int = 24
    at_once: int = 1
    dropout: float = 0.0
    overflow: bool = False
    bool_mask: bool = False
    optimizer: dict[str, Any] = dataclasses.field(default_factory=dict)
    compiled: dict[str, Any] = dataclasses.field(default_factory=dict)


CASES = {
    "plain": Case("plain"),
    "clip": Case("clip", {"clip_norm": 0.3}, optimizer={"global_clipnorm": 0.3}),
    "accumulation": Case(
        "accumulation", {"accumulate": 2}, optimizer={"gradient_accumulation_steps": 2}
    ),
    "ema": Case("EMA", {"ema": 0.9}, optimizer={"use_ema": True, "ema_momentum": 0.9}),
    "xla": Case("XLA", {"jit": True}, compiled={"jit_compile": True}),
    "bf16": Case("bf16", precision="mixed_bfloat16"),
    "fp16": Case(
        "fp16, overflow on one replica",
        {"scale_loss": True},
        precision="mixed_float16",
        overflow=True,
    ),
    "dropout": Case("dropout", dropout=0.3),
    "at_once": Case("steps per loop", at_once=STEPS, compiled={"steps_per_execution": 3}),
    "uneven": Case("uneven last batch", rows=21),
    "bool": Case("bool masks", bool_mask=True),
}
# What two replicas do is rounded as in one device that takes the same rows in the same two parts.
PARTS = {
    f"{name} in parts": dataclasses.replace(CASES[name], loop={**CASES[name].loop, "accumulate": 2})
    for name in ("bf16", "fp16")
}


class Sentences:
    """A task: the next token of each, as the zoo's language models have it."""

    def __init__(self, model: Any):
        self.model = model

    def forward(self, inputs: dict[str, tf.Tensor], training: bool) -> Any:
        return self.model(inputs, training=training)

    def count(self, targets: dict[str, tf.Tensor]) -> tf.Tensor:
        return token_loss.count(targets)

    def loss(self, targets: dict[str, tf.Tensor], outputs: Any) -> tf.Tensor:
        weights = targets["label_weights"] * targets["factor"][:, None]
        return token_loss.loss({**targets, "label_weights": weights}, outputs["logits"])

    def kept(self, targets: dict[str, tf.Tensor], outputs: Any) -> dict[str, tf.Tensor]:
        return {"number": targets["number"], **token_loss.kept(targets, outputs["logits"])}


def table(case: Case) -> dict[str, np.ndarray]:
    """All rows: sentences of 4 to 12 tokens, most of which follow from the one before."""
    chance = np.random.default_rng(3)
    ids = np.zeros((case.rows, LENGTH + 1), "int32")
    ids[:, 0] = chance.integers(1, VOCABULARY, case.rows)
    for t in range(LENGTH):
        follows = (3 * ids[:, t] + 7) % (VOCABULARY - 1) + 1
        others = chance.integers(1, VOCABULARY, case.rows)
        ids[:, t + 1] = np.where(chance.random(case.rows) < 0.1, others, follows)
    mask = np.arange(LENGTH) < chance.integers(4, LENGTH, (case.rows, 1), endpoint=True)
    factor = np.ones(case.rows, "float32")
    if case.overflow:
        factor[5] = 1e5
    return {
        "token_ids": np.where(mask, ids[:, :-1], 0),
        "padding_mask": mask if case.bool_mask else mask.astype("int32"),
        "labels": np.where(mask, ids[:, 1:], 0),
        "label_weights": mask.astype("float32"),
        "factor": factor,
    }


def source(case: Case) -> batches.Source:
    """The rows as the trainer takes them."""
    columns = {name: tf.constant(column) for name, column in table(case).items()}

    def examples(
        numbers: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        rows = {name: tf.gather(column, numbers) for name, column in columns.items()}
        inputs = {name: rows.pop(name) for name in ("token_ids", "padding_mask")}
        weight = tf.cast(is_real, tf.float32)
        rows["label_weights"] *= weight[:, None]
        return inputs, {**rows, "weight": weight, "number": numbers}

    return batches.Source(case.rows, examples)


def model(case: Case) -> Any:
    """A small GPT-2."""
    names = ("dropout", "attention_dropout", "embedding_dropout")
    sizes = {"vocab_size": VOCABULARY, "num_layers": 1, "num_heads": 2, "width": WIDTH}
    dropout = dict.fromkeys(names, case.dropout)
    built = tfzoo.build("gpt2", max_length=LENGTH, initializer_range=0.2, **sizes, **dropout)
    if not case.bool_mask:
        return built
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="bool", name="padding_mask")
    given = {"token_ids": ids, "padding_mask": keras.ops.cast(mask, "int32")}
    return keras.Model({"token_ids": ids, "padding_mask": mask}, built(given))


def loop_of(case: Case, strategy: Any, rate: float = RATE) -> Loop:
    """A loop that has taken no step."""
    keras.utils.set_random_seed(7)
    choice = TrainChoice(weight_decay=0.1, optimizer=OptimizerChoice(epsilon=1e-6))
    with precision(case), strategy.scope():
        task = Sentences(model(case))
        optimizer = optimizers.make(choice, task.model, rate, 3, STEPS)
    return Loop(task, optimizer, strategy, **case.loop)


@contextlib.contextmanager
def precision(case: Case) -> Iterator[None]:
    """Within it, Keras has the case's policy."""
    keras.config.set_dtype_policy(case.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def feed(loop: Loop, case: Case, start: int = 0, in_parts: bool = False) -> Any:
    """An iterator over the case's batches, which may be ordered as two replicas have them."""

    def turned(column: tf.Tensor) -> tf.Tensor:
        return tf.concat([column[0::2], column[1::2]], 0)

    def make(share: batches.Share) -> tf.data.Dataset:
        made = batches.training(source(case), BATCH, 1, start, share)
        return made.map(lambda *both: tf.nest.map_structure(turned, both)) if in_parts else made

    return iter(loop.distribute(make))


def weights(loop: Loop) -> dict[str, np.ndarray]:
    """The model's weights by path."""
    return {f"weight:{w.path}": strategies.components(w)[0].numpy() for w in loop.weights}


def apart(loop: Loop) -> float:
    """The largest difference between the copies of a weight."""
    copies = [[copy.numpy() for copy in strategies.components(w)] for w in loop.weights]
    return max(float(np.abs(one[0] - other).max()) for one in copies for other in one)


def ours(case: Case, strategy: Any, in_parts: bool = False) -> dict[str, Any]:
    """What tfzoo's trainer comes to."""
    loop = loop_of(case, strategy)
    iterator = feed(loop, case, 0, in_parts)
    taken = [loop.train(iterator, case.at_once) for _ in range(STEPS // case.at_once)]
    fields = [field.name for field in dataclasses.fields(taken[0])]
    shown = {name: np.concatenate([getattr(one, name) for one in taken]) for name in fields}
    evaluation = loop.distribute(lambda share: batches.evaluation(source(case), BATCH, share))
    count = batches.steps_per_epoch(case.rows, BATCH)
    with loop.averaged():
        kept = loop.evaluate(itertools.islice(iter(evaluation), count))
        found = weights(loop)
    state = {name: v.numpy() for name, v in loop.state.items() if "average" not in name}
    nats = {"numbers": kept["number"], "nats": kept["nats"]}
    return {**found, **shown, **nats, **state, "apart": apart(loop), "asks": asks(loop, iterator)}


def asks(loop: Loop, iterator: Any) -> int:
    """How often a step asks whether there still is a batch, which all replicas have to agree on."""
    functions = loop.drawn(iterator).as_graph_def().library.function
    return sum(node.op == "OptionalHasValue" for f in functions for node in f.node_def)


def dropout(case: Case, strategy: Any) -> dict[str, Any]:
    """Losses of a model that stays as it is, twice, and what two replicas drop."""
    losses = []
    for _ in range(2):
        loop = loop_of(case, strategy, rate=0.0)
        losses.append(loop.train(feed(loop, case), 96).loss)
    return {"loss": losses[0], "again": losses[1], "masks": masks(strategy, True)}


def masks(strategy: Any, spread: bool) -> np.ndarray:
    """`(steps, replicas, elements)`: what each replica drops; unless spread, as Keras has it."""
    with strategy.scope():
        layer = keras.layers.Dropout(0.5, name="dropout", seed=11)
        net = keras.Sequential([keras.Input((64,)), layer])
    if spread:
        spread_seeds(net, strategy)
    drop = tf.function(lambda: net(tf.ones([1, 64]), training=True))
    return np.stack([strategy.gather(strategy.run(drop), axis=0).numpy() for _ in range(3)])


def fit(case: Case, strategy: Any) -> dict[str, Any]:
    """What Keras' `fit` comes to."""
    keras.utils.set_random_seed(7)
    rows = table(case)
    with precision(case), strategy.scope():
        made = model(case)
        made.compile(
            keras.optimizers.AdamW(RATE, weight_decay=0.1, epsilon=1e-6, **case.optimizer),
            {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
            **{"jit_compile": False, **case.compiled},
        )
    inputs = {name: rows[name] for name in ("token_ids", "padding_mask")}
    each = rows["label_weights"] * rows["factor"][:, None]
    columns = (inputs, {"logits": rows["labels"]}, {"logits": each})
    made.fit(tf.data.Dataset.from_tensor_slices(columns).batch(BATCH), epochs=3, verbose=0)
    found = {f"weight:{w.path}": np.array(w) for w in made.trainable_variables}
    return {**found, "masks": masks(strategy, False)} if case.dropout else found


def resumed(strategy: Any, begun: pathlib.Path, aside: pathlib.Path) -> dict[str, Any]:
    """The rest of a run that one device begins: whoever comes later takes it up."""
    case, start = Case("resume", {"clip_norm": 0.3, "ema": 0.9}), 4
    loop = loop_of(case, strategy)
    if not Checkpoints(aside, loop, source=begun).restore():
        loop.train(feed(loop, case), start)
        Checkpoints(begun, loop).save()
    return {"loss": loop.train(feed(loop, case, start), STEPS - start).loss, **weights(loop)}


def write(folder: pathlib.Path, name: str, make: Callable[[], dict[str, Any]]) -> None:
    """Writes what a case comes to, or how it fails."""
    error_file = folder / f"{name}.txt"
    if error_file.exists():  # this process follows one that ended in this case
        return
    error_file.write_text("the process ends, or stands still")
    try:
        np.savez(folder / f"{name}.npz", **make())
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip()}"
        error_file.write_text(f"{said}\n\n{traceback.format_exc()}")
    else:
        error_file.write_text("")


def take(strategy: Any, folder: pathlib.Path, name: str, keras_fit: bool) -> None:
    """Takes all cases on a strategy."""
    for case_name, case in CASES.items():
        take_one = fit if keras_fit else dropout if case.dropout else ours
        write(folder, case_name, functools.partial(take_one, case, strategy))
    if not keras_fit:
        begun = folder.parents[2] / "begun"
        write(folder, "resume", lambda: resumed(strategy, begun, folder / "aside"))
        for case_name in ("bf16", "fp16") if name == "one" else ():
            case = CASES[case_name]
            # Two replicas round as one device does that takes the same rows in the same two parts.
            case = dataclasses.replace(case, loop={**case.loop, "accumulate": 2})
            parts = functools.partial(ours, case, strategy, in_parts=True)
            write(folder, f"{case_name}_parts", parts)


def measure(name: str, folder: pathlib.Path, keras_fit: bool = False) -> None:
    """Starts the processes of a strategy, again where they end or stand still in some case."""
    folders = [folder / str(i) for i in range(1 + (name == "workers"))]
    for path in folders:
        path.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.train.distribute", name, str(folder)]
    command += ["--keras"] if keras_fit else []
    while not run(command, folders):
        # All processes leave out the cases that any of them began.
        for case_name in {path.name for one in folders for path in one.glob("*.txt")}:
            for path in folders:
                (path / case_name).touch()


def run(command: list[str], folders: list[pathlib.Path]) -> bool:
    """Runs a strategy's processes; whether they came to their end."""
    with contextlib.ExitStack() as held:
        log = held.enter_context((folders[0].parent / "log").open("ab"))
        processes = [
            subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log)
            for variables in environments(len(folders))
        ]
        for process in processes:
            held.callback(process.kill)
        files, since = 0, time.monotonic()
        while any(process.poll() is None for process in processes):
            time.sleep(0.2)
            now = sum(1 for path in folders for _ in path.iterdir())
            if now != files:
                files, since = now, time.monotonic()
            if time.monotonic() - since > SECONDS or any(p.returncode for p in processes):
                return False
        return not any(process.returncode for process in processes)


def environments(count: int) -> list[dict[str, str]]:
    """The variables of each process."""
    shared = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if count == 1:
        return [shared]
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    tasks = [{"type": "worker", "index": i} for i in range(count)]
    cluster = {"worker": hosts}
    return [{**shared, "TF_CONFIG": json.dumps({"cluster": cluster, "task": t})} for t in tasks]


def strategy_of(name: str) -> Any:
    """The strategy, as an experiment has it."""
    kinds = {"one": "one_device", "mirrored": "mirrored", "workers": "multi_worker"}
    replicas = {"replicas": 2} if name == "mirrored" else {}
    return strategies.choose(TrainChoice(strategy=kinds[name], batch_size=BATCH, **replicas))


def found(folder: pathlib.Path, case: str, worker: int = 0) -> dict[str, np.ndarray]:
    """What a case came to.

    Raises:
        RuntimeError: with what was said instead.
    """
    path = folder / str(worker) / f"{case}.npz"
    if not path.exists():
        texts = [(one / f"{case}.txt") for one in sorted(folder.glob("[0-9]"))]
        raise RuntimeError(max((p.read_text() for p in texts if p.exists()), key=len, default=""))
    with np.load(path) as arrays:
        return dict(arrays)


def difference(one: dict[str, Any], other: dict[str, Any], noise: bool = False) -> float:
    """The largest difference between two models' weights.

    Args:
        noise: Whether to look at biases on keys too. The softmax does not see them: their gradients
            are rounding noise, which Adam makes as large as any other.
    """
    largest = []
    for path in (path for path in one if path.startswith("weight:")):
        first, second = one[path], other[path]
        if path.endswith("qkv/bias") and not noise:
            keys = slice(WIDTH, 2 * WIDTH)
            first, second = np.delete(first, keys), np.delete(second, keys)
        largest.append(np.abs(first.astype("float64") - second).max())
    return float(np.max(largest))  # of which NaN is the largest


def dropout_apart(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """How far two mean losses are apart, and the standard error of that."""
    first, second = (side["loss"].astype("float64").reshape(-1, 3).mean(1) for side in (one, other))
    error = np.sqrt(sum(epochs.var(ddof=1) / len(epochs) for epochs in (first, second)))
    return float(abs(first.mean() - second.mean())), float(error)


def main() -> None:
    """One process of one strategy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("strategy", choices=STRATEGIES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--keras", action="store_true")
    given = parser.parse_args()
    strategy = strategy_of(given.strategy)
    folder = given.folder / str(strategies.worker(strategy))
    take(strategy, folder, given.strategy, given.keras)
    os._exit(0)  # what Keras left standing would keep the process


if __name__ == "__main__":
    main()
