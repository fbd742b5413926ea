"""Each experiment in a process of its own (`experiments.worker`), which is told by a pipe what to do and when to end.

The pipe is the only tie: its end closes when the experiments are to stop and when this process dies, however it dies,
and the child then saves and ends. A child stands in a session of its own (on Windows: a process group), so that Ctrl-C
and what else is sent to a whole group reach it as that one request.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from cxrgan.errors import RunError

NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""What Windows has for a session of its own: Ctrl-C does not reach it."""


class Processes:
    """Processes of this machine, `jobs` at once: they share its cores, and take its GPUs in turn."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}  # by place, which says whose turn a GPU is
        self._stopping = False

    def run(self, order: Mapping[str, Any]) -> None:
        """Have `order` (`Sweep.order`, which JSON takes) done, and wait for its end; from as many threads as jobs.

        Returns at once after `stop`. RunError when the process could not start, or died.
        """
        with self._lock:
            if self._stopping:
                return
            place = next(place for place in itertools.count() if place not in self._running)
            process = self._running[place] = self._start(order, place)
        with process:  # closes the pipe, but not before the end
            status = process.wait()
        with self._lock:
            del self._running[place]
        if status and not self._stopping:
            raise RunError(f"its process {_told(status)}")

    def stop(self) -> None:
        """Ask what runs to save and end, and let nothing more begin."""
        with self._lock:
            self._stopping = True
            for process in self._running.values():
                assert process.stdin
                process.stdin.close()

    def _start(self, order: Mapping[str, Any], place: int) -> "subprocess.Popen[bytes]":
        """A child that knows its order. It finds modules where this process does: -P adds no folder of its own."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
        if self._jobs > 1:
            environment["TERM"] = "dumb"  # several live bars would write over each other
        command = [sys.executable, "-P", "-m", "cxrgan.experiments.worker", str(self._jobs), str(place)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                bufsize=0,
                env=environment,
                start_new_session=True,
                creationflags=NEW_GROUP,
            )
        except OSError as error:
            raise RunError(f"its process did not start: {error.strerror or error}") from error
        assert process.stdin
        with contextlib.suppress(OSError):  # of one that is dead already its status tells
            process.stdin.write(json.dumps(order).encode() + b"\n")
        return process


def _told(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by signal {-status}" + (", often for want of memory" if status == -9 else "")
