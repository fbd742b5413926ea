"""The training that somebody started from the page: `cxrgan train` as a process of its own, one at a time."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.fields import is_name, shown
from cxrgan.lines import pasted
from cxrgan.runs.folder import RunFolder

SAVED = 130  # the exit status of a training that was stopped and saved
TO_SAVE = 60.0  # seconds that a training has to save itself
TAIL = 4096  # bytes of its output that are looked at


@dataclass(frozen=True)
class State:
    """How the training of the page is."""

    run: str
    """Its name."""
    status: int | None
    """None while it runs; 0 at its end, `SAVED` where it was stopped, another where it failed."""
    line: str
    """What it said last."""


class Trainings:
    """Starts, stops and resumes; all else that is known of a training stands in its run folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._run = ""
        self._output: Path | None = None

    def start(self, name: str, dataset: Path, *, recipe: str | None, conditional: bool, time: str) -> None:
        """A new run of this name below the root; UserError where the name cannot be one, or something runs."""
        if not is_name(name) or name.startswith("."):
            raise UserError(f"{shown(name)} cannot be the name of a run: use letters, digits, - and _")
        run = self._root / name
        RunFolder(run).check_free()
        chosen = ["--recipe", recipe] if recipe else []
        by_class = ["--conditional"] if conditional else []
        self._begin(name, ["--data", str(dataset), "--run", str(run), *chosen, *by_class, "--time", time])

    def resume(self, name: str, run: RunFolder) -> None:
        """Go on with a run that was stopped, to the end that it has."""
        info, done = run.read_info(), (run.steps() or [0])[-1]
        if done >= info.config.num_steps(info.num_images):
            longer = pasted("train", "--resume", run.path, "--steps", 2 * done)
            raise UserError(f"{name} is at its end, step {done:,}; make it longer on the command line: {longer}")
        self._begin(name, ["--resume", str(run.path)])

    def stop(self) -> None:
        """Ask the training to save and end, and return at once; UserError where none runs."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                raise UserError("nothing that was started on this page is training")
            self._process.terminate()  # SIGTERM, on which a training saves

    def state(self) -> State | None:
        """Of the training that runs, or ran last; None where there was none."""
        with self._lock:
            if self._process is None:
                return None
            return State(self._run, self._process.poll(), self._last_line())

    def close(self) -> State | None:
        """At the end of the server: save what is training, and say how it ended."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(TO_SAVE)
        state = self.state()
        self._forget()
        return state

    def _begin(self, name: str, arguments: list[str]) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise UserError(f"{self._run} is training; stop it first, two would only take turns on this machine")
            self._forget()
            place, file = tempfile.mkstemp(prefix="cxrgan-training-", suffix=".txt")
            with os.fdopen(place, "wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "cxrgan", "train", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
                    start_new_session=True,  # Ctrl-C at the server is not for it: `close` asks it to save
                )
            self._run, self._output = name, Path(file)

    def _last_line(self) -> str:
        if self._output is None:
            return ""
        with self._output.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), "")

    def _forget(self) -> None:
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output = None
