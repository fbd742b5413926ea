"""`cxrgan` and `python -m cxrgan`: the command line, from whose first moment on Ctrl-C is one line.

It imports nothing that takes time before signals are handled.
"""

import signal
import sys


def main() -> int:
    """Run the command of `sys.argv`; returns its exit status."""
    from cxrgan.signals import as_interrupts

    sys.unraisablehook = _again
    try:
        with as_interrupts() as asked:
            try:
                from cxrgan.cli.main import main as run

                status = run()
            except BaseException as error:
                if not (asked.is_set() or isinstance(error, KeyboardInterrupt)):
                    raise
                print("cxrgan: interrupted", file=sys.stderr)
                status = 130
    except KeyboardInterrupt:  # one that `_again` asked for anew came when the handlers were taken back already
        if not asked.is_set():
            print("cxrgan: interrupted", file=sys.stderr)
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; the interpreter's end has nothing to save
    return status


def _again(lost: "sys.UnraisableHookArgs") -> None:
    """An interrupt in a callback, which Python drops, as imports have many: ask again, outside of it."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    sys.exit(main())
