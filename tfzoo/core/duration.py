"""Lengths of time in training, written with their unit: "3 epochs", "1000 steps", "10%"."""

import dataclasses
import math
import re

from tfzoo.core.errors import UserError

_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(epochs?|steps?|%)\s*$")


@dataclasses.dataclass(frozen=True)
class Duration:
    """A number with its unit: `epochs`, `steps`, or `%` of the whole training."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Reads a text such as "3 epochs", "0.5 epochs", "1000 steps" or "10%".

        Raises:
            UserError: when the unit is missing or unknown, or steps are not whole.
        """
        match = _PATTERN.match(str(text))
        if not match:
            raise UserError(
                'Expected a duration with its unit, such as "3 epochs", "1000 steps" or "10%". '
                f"Received: {text!r}."
            )
        amount, unit = float(match[1]), match[2]
        unit = unit if unit == "%" or unit.endswith("s") else unit + "s"
        if unit == "steps" and amount != int(amount):
            raise UserError(f"Steps must be a whole number. Received: {text!r}.")
        if unit == "%" and amount > 100:
            raise UserError(f"A share must be at most 100%. Received: {text!r}.")
        return cls(amount, unit)

    def steps(self, steps_per_epoch: int, total_steps: int | None = None) -> int:
        """This duration in optimizer steps, rounded up.

        Raises:
            UserError: for a percentage where there is no whole to take it of.
        """
        if self.unit == "steps":
            return int(self.amount)
        if self.unit == "epochs":
            return math.ceil(self.amount * steps_per_epoch)
        if total_steps is None:
            raise UserError(
                f"A percentage cannot be used here; say steps or epochs. Received: {self}."
            )
        return math.ceil(self.amount / 100 * total_steps)

    def __str__(self) -> str:
        number = f"{self.amount:g}"
        return f"{number}%" if self.unit == "%" else f"{number} {self.unit}"
