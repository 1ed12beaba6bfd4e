"""Range checks of config fields, each an error that names the field and what it may be.

A field that is None, where a config allows it, passes.
"""

from collections.abc import Iterable
from typing import Any

from tfzoo.core.errors import UserError


def at_least(config: Any, least: float, *names: str) -> None:
    """Refuses a field of `config` below `least`.

    Raises:
        UserError: naming the field.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise UserError(f"{name} must be at least {least}. {_received(config, name)}")


def above(config: Any, bound: float, *names: str) -> None:
    """Refuses a field of `config` that is not above `bound`.

    Raises:
        UserError: naming the field.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > bound:
            raise UserError(f"{name} must be above {bound}. {_received(config, name)}")


def dropout_rates(config: Any, *names: str) -> None:
    """Refuses a field of `config` that is not in [0, 1).

    Raises:
        UserError: naming the field.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise UserError(f"{name} must be from 0 to 1, 1 excluded. {_received(config, name)}")


def one_of(config: Any, known: Iterable[str], name: str) -> None:
    """Refuses a field of `config` that is not among the `known` names.

    Raises:
        UserError: naming the field and what it may be.
    """
    if getattr(config, name) not in known:
        raise UserError(f"{name} must be one of {', '.join(known)}. {_received(config, name)}")


def token_ids(config: Any, *names: str) -> None:
    """Refuses a field of `config` that is no id of its `vocab_size` tokens.

    Raises:
        UserError: naming the field.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < config.vocab_size:
            raise UserError(
                f"{name} must be from 0 to {config.vocab_size - 1}, an id of the vocabulary. "
                f"{_received(config, name)}"
            )


def divides(config: Any, divisor: str, name: str) -> None:
    """Refuses a `config` whose field `divisor` does not divide its field `name`.

    Raises:
        UserError: naming both.
    """
    if getattr(config, name) % getattr(config, divisor):
        raise UserError(
            f"{divisor} must divide {name}. Received: {divisor}={getattr(config, divisor)}, "
            f"{name}={getattr(config, name)}."
        )


def _received(config: Any, name: str) -> str:
    return f"Received: {name}={getattr(config, name)!r}."
