"""What runs in a process of `workers.Processes`: one experiment, as a line of JSON on stdin has it.

    python -m cxrgan.experiments.worker JOBS PLACE

Like `cxrgan.__main__` it imports nothing that takes time before signals are handled.
"""

import json
import os
import signal
import sys
import threading


def main() -> int:
    """Do what stdin says, until it is done or stdin ends; returns the exit status, 130 where it was asked to end."""
    from cxrgan.signals import interruptible

    status = interruptible(_work)
    return 130 if status is None else status


def _work() -> int:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # who began this died before it said what for
        return 130
    jobs, place = (int(argument) for argument in sys.argv[1:])
    _share(jobs, place)
    from cxrgan.console import speaking
    from cxrgan.experiments.sweep import Sweep, run_experiment

    sweep = Sweep.of_order(json.loads(line))
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with speaking():
        run_experiment(sweep, sweep.experiments[0])
    return 0


def _share(jobs: int, place: int) -> None:
    """Of the cores this process takes its share, of the GPUs one."""
    import torch

    if jobs > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
        if torch.cuda.device_count() > 1:
            torch.cuda.set_device(place % torch.cuda.device_count())


def _end_with_stdin() -> None:
    """SIGTERM to this process once stdin ends: to save and end is what a run answers to it.

    It reads past `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends.
    """
    os.read(sys.stdin.fileno(), 1)
    if sys.platform == "win32":  # there os.kill ends a process unasked
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)  # also wakes a main thread that waits


if __name__ == "__main__":
    sys.exit(main())
