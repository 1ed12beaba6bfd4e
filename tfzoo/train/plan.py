"""At which steps something is due."""

import dataclasses

from tfzoo.core.duration import Duration
from tfzoo.core.experiment import TrainChoice


@dataclasses.dataclass(frozen=True)
class Plan:
    """The durations of an experiment in steps.

    Attributes:
        steps_per_epoch: Steps in which every row occurs once.
        total: Steps of the whole training.
        evaluate_every: Steps between two evaluations.
        checkpoint_every: Steps between two checkpoints.
        log_every: Steps between two points of the curves.
    """

    steps_per_epoch: int
    total: int
    evaluate_every: int
    checkpoint_every: int
    log_every: int

    @classmethod
    def make(cls, choice: TrainChoice, steps_per_epoch: int) -> "Plan":
        """Counts an experiment's durations in steps, each at least one.

        Raises:
            UserError: for a duration of the whole training in percent.
        """

        def steps(text: str, total: int | None = None) -> int:
            return max(1, Duration.parse(text).steps(steps_per_epoch, total))

        total = steps(choice.duration)
        return cls(
            steps_per_epoch,
            total,
            steps(choice.evaluate_every, total),
            steps(choice.checkpoint_every, total),
            choice.log_every,
        )

    def epoch(self, step: int) -> float:
        """How many epochs `step` steps are."""
        return step / self.steps_per_epoch

    def next_stop(self, step: int) -> int:
        """The first step after `step` at which a point, an evaluation or a checkpoint is due.

        A point is made at all of them, so that the points after a resume are those of a run that
        was never stopped.
        """
        every = (self.log_every, self.evaluate_every, self.checkpoint_every)
        return min(self.total, *((step // n + 1) * n for n in every))

    def evaluates_at(self, step: int) -> bool:
        """Whether the model is scored after this step."""
        return step == self.total or step % self.evaluate_every == 0

    def saves_at(self, step: int) -> bool:
        """Whether a checkpoint is written after this step."""
        return step == self.total or step % self.checkpoint_every == 0
