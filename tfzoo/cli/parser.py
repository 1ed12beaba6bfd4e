"""An argparse parser whose complaints are one line, and name the nearest option that exists."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse would print its usage and exit.

    Args:
        example: A command that works, shown at the end of `--help`.
        **settings: As in `argparse.ArgumentParser`.
    """

    def __init__(self, *, example: str = "", **settings: Any) -> None:
        if example:
            settings["epilog"] = f"example:\n  {example}"
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raises `UserError` with the message and where to read on."""
        raise UserError(f"{message}. See `{self.prog} --help`.")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses the arguments of one command.

        Raises:
            UserError: for anything unknown, missing or malformed.
        """
        # Intermixed: texts may stand behind options. It cannot hand on what belongs to another
        # parser, so a command that does (`bench`) is parsed in the plain way.
        hands_on = any(action.nargs == argparse.REMAINDER for action in self._actions)
        parse = self.parse_known_args if hands_on else self.parse_known_intermixed_args
        options, unknown = parse(arguments)
        if unknown:
            name = unknown[0].partition("=")[0]
            if name.startswith("--"):
                known = [o for o in self._option_string_actions if o.startswith("--")]
                raise UserError(unknown_name(f"known option of `{self.prog}`", name, known))
            self.error(f"Nothing more was expected after the options. Received: {unknown[0]!r}")
        return options


def whole_number(text: str) -> int:
    """A count for `type=`: a whole number from 1 on."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, received {text!r}")
    return int(text)


def port(text: str) -> int:
    """A TCP port for `type=`; 0 lets the system choose a free one."""
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, received {text!r}")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them for `type=`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
