"""`cxrgan` and `python -m cxrgan`: the command line, from whose first moment on Ctrl-C is one line.

It imports nothing that takes time before signals are handled.
"""

import sys


def main() -> int:
    """Run the command of `sys.argv`; returns its exit status."""
    from cxrgan.signals import interruptible

    status = interruptible(_run)
    if status is None:
        print("cxrgan: interrupted", file=sys.stderr)
        return 130
    return status


def _run() -> int:
    from cxrgan.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
