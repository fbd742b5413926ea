"""Lines for people, in which no name of a file, a class or a run is obeyed by the terminal; loads nothing heavy."""

import shlex
import sys

from cxrgan.fields import printable


def say(text: str) -> None:
    """Print a line, or lines, on stdout, with control characters shown and not obeyed."""
    print(printable(text), flush=True)


def pasted(*words: object) -> str:
    """A command of cxrgan in a line or an error, to be pasted into a shell: `cxrgan train --resume 'my run'`."""
    return shlex.join(["cxrgan", *map(str, words)])


def complain(text: str) -> None:
    """Print what went wrong as one line on stderr."""
    print("cxrgan: " + printable(text.replace("\n", " ")), file=sys.stderr, flush=True)
