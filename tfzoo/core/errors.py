"""The exceptions that are no bugs."""


class UserError(ValueError):
    """A mistake in what the user gave, said in one line: wrong, expected, received, how to mend it.

    The command line prints the message and exits 2. Every other exception is a bug of tfzoo.
    """


class Interrupted(Exception):
    """Work was stopped from outside, with everything saved that is needed to go on.

    Attributes:
        code: The exit code of the process, above 0.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code
