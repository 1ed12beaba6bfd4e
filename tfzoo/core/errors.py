"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A mistake in what the user gave, said in one line: wrong, expected, received, how to mend it.

    The command line prints the message and exits 2. Every other exception is a bug of tfzoo.
    """
