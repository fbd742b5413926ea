"""Runs as the page shows them: read on while they train, and once for all who look."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cxrgan.console import duration
from cxrgan.reports.numbers import count, setting
from cxrgan.reports.record import Missing, RunReader, RunRecord
from cxrgan.reports.run import Chart, charts
from cxrgan.reports.verdict import Finding, Verdict, findings, verdict
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.grids import find_grids
from cxrgan.settings import differences

MOST_LINES = 20_000  # of a log that are read at once: some tenths of a second
MOST_READERS = 16
FRESH = 1.0  # seconds for which what was read is shown to others too
ALIVE = 120.0  # seconds without a line after which a training is not going on

Going = Literal["training", "finished", "stopped"]


@dataclass(frozen=True)
class RunView:
    """A run as the page shows it. Texts are plain: the template escapes them."""

    name: str
    record: RunRecord
    lead: str
    going: Going
    progress: str
    """How far it is and how long it will take, in words."""
    done: float
    """Share of its steps."""
    read: float
    """Share of its log that is read yet."""
    verdict: Verdict
    findings: Sequence[Finding] | Missing
    charts: Sequence[Chart] | Missing
    steps: Sequence[int]
    """Those that have samples, ascending."""


class Watch:
    """Reads runs; of each its log once, and then what is new."""

    def __init__(self) -> None:
        self._readers: OrderedDict[str, _Watched] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, name: str, folder: RunFolder) -> RunView:
        """What is known of a run now; UserError where it is damaged."""
        with self._lock:
            watched = self._readers.get(name)
            if watched is None:
                watched = self._readers[name] = _Watched(name, folder)
            self._readers.move_to_end(name)
            while len(self._readers) > MOST_READERS:
                self._readers.popitem(last=False)
        return watched.view()


class _Watched:
    def __init__(self, name: str, folder: RunFolder) -> None:
        self._name, self._folder = name, folder
        self._reader: RunReader | None = None
        self._lock = threading.Lock()
        self._view: RunView | None = None
        self._read_at = 0.0

    def view(self) -> RunView:
        with self._lock:
            if self._view is None or time.monotonic() - self._read_at > FRESH:
                self._reader = self._reader or RunReader(self._folder)
                self._view = run_view(self._name, self._reader.read(MOST_LINES), self._reader.share)
                self._read_at = time.monotonic()
            return self._view


def run_view(name: str, record: RunRecord, read: float = 1.0) -> RunView:
    """What the page shows of a run."""
    config, num_steps = record.info.config, record.info.config.num_steps(record.info.num_images)
    going = _going(record, num_steps)
    size = config.model.image_size
    return RunView(
        name=name,
        record=record,
        lead=f"{record.info.recipe}, {size} pixels{', by class' if config.conditional else ''}, "
        f"{count(record.info.num_images)} training images, {config.device} in {config.precision}",
        going=going,
        progress=_progress(record, num_steps, going),
        done=min(1.0, record.done / max(1, num_steps)),
        read=read,
        verdict=verdict(record),
        findings=findings(record.diagnosis),
        charts=charts(record),
        steps=list(find_grids(record.folder)),
    )


def _going(record: RunRecord, num_steps: int) -> Going:
    if record.done >= num_steps:
        return "finished"
    try:
        age = time.time() - record.folder.metrics_file.stat().st_mtime
    except FileNotFoundError:
        age = time.time() - record.folder.config_file.stat().st_mtime
    return "training" if age < ALIVE else "stopped"


def _progress(record: RunRecord, num_steps: int, going: Going) -> str:
    done, last = record.done, record.history.last
    text = f"step {count(done)} of {count(num_steps)}"
    if last and last.get("seconds"):
        text += f", {duration(last['seconds'])} of training"
        if going == "training" and record.seconds_per_step:
            text += f", about {duration(record.seconds_per_step * (num_steps - done))} left"
    return text


def changed_settings(one: RunRecord, other: RunRecord) -> list[tuple[str, str, str]]:
    """(name, value of one, value of the other) of each setting in which two runs differ."""
    found = differences(one.info.config, other.info.config)
    rows = [(name.removeprefix("model."), setting(old), setting(new)) for name, (old, new) in found.items()]

    def about(record: RunRecord) -> tuple[str, str, str]:
        began = record.info.started_from
        return record.info.recipe, count(record.info.num_images), began.run if began else "random weights"

    names = ("recipe", "training images", "began with")
    rows = list(zip(names, about(one), about(other), strict=True)) + rows
    return [row for row in rows if row[1] != row[2]]
