"""An experiment: everything that decides what a training run does, in one frozen tree."""

import dataclasses
import pathlib
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
    """

    name: str = "bert"
    variant: str | None = None
    load: str | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: str | None = None
    vocab_size: int = 8000

    def __post_init__(self) -> None:
        if self.load is not None and self.variant is not None:
            raise UserError(
                "Say either `load` (a folder) or `variant` (a size), not both. With --set, "
                "model.variant=null takes the size back."
            )


@dataclasses.dataclass(frozen=True)
class TrainChoice:
    """How it is trained.

    Attributes:
        duration: How long, such as "2 epochs" or "1000 steps".
        batch_size: Rows in one optimizer step, over all replicas.
        learning_rate: Peak of the schedule.
        warmup: How long the rate rises, such as "10%" or "100 steps".
        schedule: What it does then: fall to 0 in a line, or stay.
        weight_decay: Decoupled decay of kernels and embeddings; norms and biases have none.
        clip_norm: Global gradient norm above which gradients are scaled down. None means never.
        evaluate_every: How often the evaluation data is scored, and a better model kept.
        best_by: Which figure makes a model the better one. None leaves it to the task.
        checkpoint_every: How often everything is saved for resuming.
        log_every: Steps between two points of the TensorBoard curves.
        keep_checkpoints: How many of the newest checkpoints stay.
        strategy: `default` trains on one device, `mirrored` on all GPUs, or on as many logical CPUs
            as `replicas` says.
        replicas: Number of devices for `mirrored`. None means all there are.
        jit: Whether forward and backward pass are compiled by XLA.
        deterministic: Whether every operation must give the same bits each time.
    """

    duration: str = "3 epochs"
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup: str = "10%"
    schedule: Literal["linear", "constant"] = "linear"
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    evaluate_every: str = "1 epochs"
    best_by: str | None = None
    checkpoint_every: str = "1 epochs"
    log_every: int = 10
    keep_checkpoints: int = 2
    strategy: Literal["default", "mirrored"] = "default"
    replicas: int | None = None
    jit: bool = False
    deterministic: bool = True

    def __post_init__(self) -> None:
        for name in ("duration", "warmup", "evaluate_every", "checkpoint_every"):
            try:
                amount = Duration.parse(getattr(self, name)).amount
                if amount == 0 and name != "warmup":
                    raise UserError(f"It must be above 0. Received: {getattr(self, name)!r}.")
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
        checks.at_least(self, 1, "batch_size", "log_every", "keep_checkpoints", "replicas")
        checks.at_least(self, 0, "weight_decay")
        checks.above(self, 0, "learning_rate", "clip_norm")
        if Duration.parse(self.duration).unit == "%":
            raise UserError(
                'duration must be in epochs or steps, such as "3 epochs". '
                f"Received: duration={self.duration!r}."
            )
        if self.replicas is not None and self.strategy == "default":
            raise UserError(
                "replicas are for strategy=mirrored; the default strategy has one device. "
                f"Received: replicas={self.replicas}."
            )


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
