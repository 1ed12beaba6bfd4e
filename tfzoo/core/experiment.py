"""An experiment: everything that decides what a training run does, in one frozen tree."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import Any, Literal

import yaml

from tfzoo.core import checks, config
from tfzoo.core.duration import Duration
from tfzoo.core.errors import UserError
from tfzoo.core.files import write_aside


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """Which model is trained.

    Attributes:
        name: An architecture of `tfzoo list`.
        variant: A named size of it. Not with `load`.
        load: A tfzoo or Hugging Face folder to start from, with a new head.
        fields: Fields of the architecture's config that differ, such as `dropout`.
        tokenizer: A folder to take the tokenizer from. None means that of `load`, else a vocabulary
            trained on the training texts.
        vocab_size: Size of a vocabulary trained here.
        vocabulary: More about a vocabulary trained here, as the files of configs/vocabularies say
            it, such as `style`; its `kind` is that of the architecture where it is not said.
    """

    name: str = "bert"
    variant: str | None = None
    load: str | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: str | None = None
    vocab_size: int = 8000
    vocabulary: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.load is not None and self.variant is not None:
            raise UserError(
                "Say either `load` (a folder) or `variant` (a size), not both. With --set, "
                "model.variant=null takes the size back."
            )


@dataclasses.dataclass(frozen=True)
class OptimizerChoice:
    """Which optimizer, and at which share of the learning rate each weight learns.

    Regular expressions are searched for in the paths of weights, such as
    `block_0/attention/qkv/kernel`.

    Attributes:
        name: The algorithm.
        beta_1: Decay of the mean of the gradients. None means the algorithm's own, as for the next.
        beta_2: Decay of the mean of their squares.
        epsilon: What keeps divisions from zero.
        momentum: Of `sgd`.
        nesterov: Whether that looks ahead.
        no_decay: Weights that are not pulled towards 0. None means norms and biases.
        rates: Factors of the learning rate for the weights that a pattern finds; where several do,
            they multiply.
        layer_decay: Every block learns at this times the rate of the one above it (ELECTRA's
            layer-wise decay, ULMFiT's discriminative rates); embeddings are below the first.
        frozen: Weights that stay as they are.
        unfreeze_every: The blocks start frozen, and after every such duration one more, from the
            last down, begins to learn (ULMFiT's gradual unfreezing); embeddings come last.
    """

    name: Literal["adamw", "lamb", "adafactor", "sgd", "lion"] = "adamw"
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float | None = None
    momentum: float = 0.9
    nesterov: bool = False
    no_decay: tuple[str, ...] | None = None
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    layer_decay: float = 1.0
    frozen: tuple[str, ...] = ()
    unfreeze_every: str | None = None

    def __post_init__(self) -> None:
        for name in ("beta_1", "beta_2", "momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"{name} must be from 0 to below 1. Received: {name}={value}.")
        checks.above(self, 0, "epsilon", "layer_decay")
        for pattern in (*(self.no_decay or ()), *self.rates, *self.frozen):
            try:
                re.compile(pattern)
            except re.error as error:
                raise UserError(f"{pattern!r} is no regular expression: {error}.") from None
        for pattern, factor in self.rates.items():
            if factor < 0:
                raise UserError(f"Rates must be 0 or more. Received: rates.{pattern}={factor}.")
        if self.unfreeze_every is not None:
            _check_duration("unfreeze_every", self.unfreeze_every)


@dataclasses.dataclass(frozen=True)
class TensorBoardChoice:
    """What TensorBoard shows beside the curves.

    Attributes:
        layers: Norms of gradients and weights, layer by layer.
        histograms: The distributions of all weights, at each evaluation.
        graph: The graph of a training step.
        profile: Steps to trace for the profiler, such as "10-20".
        attention: Attention maps of the first samples, as images, at each evaluation.
        projector: The embeddings of tokens, positions and sample texts, for the projector.
        pictures: What the task draws, such as a classifier's confusion matrix and its curves of
            precision and recall, at each evaluation.
        samples: How many evaluation texts are shown with the model's answers at each evaluation.
    """

    layers: bool = True
    histograms: bool = False
    graph: bool = True
    profile: str | None = None
    attention: bool = False
    projector: bool = False
    pictures: bool = True
    samples: int = 3

    def __post_init__(self) -> None:
        checks.at_least(self, 0, "samples")
        if self.profile is not None:
            self.profiled()

    def profiled(self) -> tuple[int, int]:
        """The first and last step to trace.

        Raises:
            UserError: when `profile` is none such.
        """
        found = re.fullmatch(r"(\d+)-(\d+)", str(self.profile))
        if not found or not 0 < int(found[1]) <= int(found[2]):
            raise UserError(
                f'profile must name the first and last step, such as "10-20". '
                f"Received: profile={self.profile!r}."
            )
        return int(found[1]), int(found[2])


@dataclasses.dataclass(frozen=True)
class TrainChoice:
    """How it is trained.

    Attributes:
        duration: How long, such as "2 epochs" or "1000 steps".
        batch_size: Rows in one optimizer step, over all replicas.
        accumulate: In how many parts, one after the other, a replica takes its rows, to save
            memory. The mathematics is that of the whole batch.
        learning_rate: Peak of the schedule.
        warmup: How long the rate rises, such as "10%" or "100 steps".
        schedule: What it does then: stay, fall in a line, as half a cosine, as a power of a line,
            or as the inverse square root of the step.
        schedule_power: The exponent of `polynomial`.
        final_rate: Share of the peak at which `linear`, `cosine` and `polynomial` end.
        weight_decay: Decoupled decay of kernels and embeddings; norms and biases have none.
        clip_norm: Global gradient norm above which gradients are scaled down. None means never.
        optimizer: The optimizer, and which weights learn how fast.
        precision: Keras' precision policy. mixed_float16 scales the loss, by itself.
        ema: Decay of a moving average of the weights, which is then what is evaluated and kept.
        nonfinite: What happens at a gradient that is no number: `stop`, or `skip` the step.
        evaluate_every: How often the evaluation data is scored, and a better model kept.
        best_by: Which figure makes a model the better one. None leaves it to the task.
        checkpoint_every: How often everything is saved for resuming.
        keep_checkpoints: How many of the newest checkpoints stay, beside that of the best model.
        log_every: Steps between two points of the TensorBoard curves.
        steps_per_loop: Steps in one call of the graph. None means about half a second.
        strategy: `default` takes what the machine has: the workers that TF_CONFIG or SLURM name, a
            TPU, several GPUs, or the one device. `mirrored` trains on all GPUs, or on as many
            logical CPUs as `replicas` says.
        replicas: Number of devices for `mirrored`. None means all there are.
        jit: Whether forward and backward pass are compiled by XLA.
        deterministic: Whether every operation must give the same bits each time.
        data_service: Address of a tf.data service dispatcher that makes the batches, such as
            "grpc://host:5000". None makes them in this process.
        tensorboard: What TensorBoard shows beside the curves.
    """

    duration: str = "3 epochs"
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 5e-5
    warmup: str = "10%"
    schedule: Literal["constant", "linear", "cosine", "polynomial", "inverse_square_root"] = (
        "linear"
    )
    schedule_power: float = 1.0
    final_rate: float = 0.0
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    optimizer: OptimizerChoice = OptimizerChoice()
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    ema: float | None = None
    nonfinite: Literal["stop", "skip"] = "stop"
    evaluate_every: str = "1 epochs"
    best_by: str | None = None
    checkpoint_every: str = "1 epochs"
    keep_checkpoints: int = 2
    log_every: int = 10
    steps_per_loop: int | None = None
    strategy: Literal["default", "one_device", "mirrored", "multi_worker", "tpu"] = "default"
    replicas: int | None = None
    jit: bool = False
    deterministic: bool = True
    data_service: str | None = None
    tensorboard: TensorBoardChoice = TensorBoardChoice()

    def __post_init__(self) -> None:
        for name in ("duration", "warmup", "evaluate_every", "checkpoint_every"):
            _check_duration(name, getattr(self, name), zero=name == "warmup")
        counts = ("batch_size", "accumulate", "log_every", "keep_checkpoints", "replicas")
        checks.at_least(self, 1, *counts, "steps_per_loop")
        checks.at_least(self, 0, "weight_decay", "final_rate")
        checks.above(self, 0, "learning_rate", "clip_norm", "schedule_power")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UserError(f"ema must be between 0 and 1. Received: ema={self.ema}.")
        if self.batch_size % self.accumulate:
            raise UserError(
                f"accumulate must divide batch_size. Received: accumulate={self.accumulate}, "
                f"batch_size={self.batch_size}."
            )
        if Duration.parse(self.duration).unit == "%":
            raise UserError(
                'duration must be in epochs or steps, such as "3 epochs". '
                f"Received: duration={self.duration!r}."
            )
        if self.replicas is not None and self.strategy != "mirrored":
            raise UserError(
                f"replicas are for strategy=mirrored. Received: replicas={self.replicas}, "
                f"strategy={self.strategy}."
            )


def _check_duration(name: str, text: str, zero: bool = False) -> None:
    try:
        if Duration.parse(text).amount == 0 and not zero:
            raise UserError(f"It must be above 0. Received: {text!r}.")
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run is: model, task, data, training, seed.

    `data` is the dataclass that the task called `task` reads, `tfzoo.tasks.<task>.Data`.
    """

    task: str
    data: Any
    model: ModelChoice = ModelChoice()
    train: TrainChoice = TrainChoice()
    seed: int = 0


def read(path: str | pathlib.Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a YAML file with `key=value` overrides applied, not yet checked."""
    return config.with_overrides(config.read_yaml(path), overrides)


def check(values: dict[str, Any], data_class: type) -> Experiment:
    """Builds the experiment, refusing every unknown key and wrong type.

    Raises:
        ConfigError: naming the key by its full path.
    """
    if isinstance(values.get("data"), dict):
        values = {**values, "data": config.from_dict(data_class, values["data"], "data.")}
    elif "data" in values:
        raise config.ConfigError(f"`data` must be a group of keys. Received: {values['data']!r}.")
    return config.from_dict(Experiment, values)


def write(experiment: Experiment, path: str | pathlib.Path) -> None:
    """Writes the resolved experiment as YAML, whole or not at all."""
    with write_aside(path) as aside:
        text = yaml.safe_dump(config.to_dict(experiment), sort_keys=False, allow_unicode=True)
        aside.write_text(text, encoding="utf-8")
