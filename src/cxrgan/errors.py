"""The exceptions that are meant for people: the command line prints each as one line."""


class UserError(Exception):
    """Bad input: the message says what is wrong, names the value, and says what to do."""

    exit_status = 2


class RunLocked(UserError):
    """Another process is at work on the run."""


class RunError(UserError):
    """Work that began well and could not go on; what was done until then is kept, and the message says where."""

    exit_status = 1
