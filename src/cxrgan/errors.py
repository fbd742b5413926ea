"""The one exception that is meant for people."""


class UserError(Exception):
    """Bad input, or a machine that cannot do what was asked; the command line prints it as one line.

    The message says what is wrong, names the value, and says what to do.
    """
