"""What is read of a run folder once, for all that its page and the comparison with other runs show of it."""

import itertools
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from cxrgan.reports.panels import names, panels
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.log import BEST_BY, History, LogReader, Row
from cxrgan.runs.results import Values, read_audit, read_diagnosis, read_evaluation, read_utility

PACE = 200  # lines of a log, a line a step, by which the speed of a run is told


@dataclass(frozen=True)
class RunRecord:
    """What the files of a run say."""

    folder: RunFolder
    info: RunInfo
    history: History
    measured: Row | None
    """The newest measurement in the log."""
    seconds_per_step: float | None
    """Lately; None where too little is logged."""
    evaluation: Values
    diagnosis: Values
    audit: Values
    utility: Values

    @property
    def name(self) -> str:
        return self.folder.path.resolve().name

    @property
    def relativistic(self) -> bool:
        return self.info.config.loss == "relativistic"

    @property
    def done(self) -> int:
        """Steps so far."""
        return self.history.last["step"] if self.history.last else 0


@dataclass(frozen=True)
class Missing:
    """What is not here, and the command that makes it."""

    text: str
    command: str


def read_run(folder: RunFolder) -> RunRecord:
    """UserError where it is no run, or a file is damaged."""
    return RunReader(folder).read()


class RunReader:
    """Reads a run again and again while it trains; of its log the new lines alone."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._begin(folder.read_info())

    def read(self, most_lines: int | None = None) -> RunRecord:
        """What the files say now; of a log that is long, at most so many lines more than the last time.

        UserError where it is no run any more, or a file is damaged.
        """
        info = self.folder.read_info()
        if info != self._info or self._log.offset > _size(self.folder.metrics_file):  # begun anew, or cut by a resume
            self._begin(info)
        for row in itertools.islice(self._log.rows(), most_lines):
            self._history.add(row)
            self._newest.add(row)
            self._pace.add(row)
        return RunRecord(
            self.folder,
            info,
            self._history,
            self._newest.row,
            self._pace.seconds_per_step,
            read_evaluation(self.folder.evaluation_file),
            read_diagnosis(self.folder.diagnosis_file),
            read_audit(self.folder.audit_file),
            read_utility(self.folder.utility_file),
        )

    @property
    def share(self) -> float:
        """Of the log, how much is read: 1 when all of it is."""
        size = _size(self.folder.metrics_file)
        return min(1.0, self._log.offset / size) if size else 1.0

    def _begin(self, info: RunInfo) -> None:
        self._info, self._newest, self._pace = info, _Newest(), _Pace()
        self._history = History(names(*panels(relativistic=info.config.loss == "relativistic")))
        self._log = LogReader(self.folder.metrics_file)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


class _Newest:
    """The newest measurement of a log."""

    def __init__(self) -> None:
        self.row: Row | None = None

    def add(self, row: Row) -> None:
        if row.get(BEST_BY) is not None:
            self.row = row


class _Pace:
    """How long a step takes, by the last lines of a log."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, float]] = deque(maxlen=PACE)

    def add(self, row: Row) -> None:
        if row.get("seconds") is not None:
            self._lines.append((row["step"], row["seconds"]))

    @property
    def seconds_per_step(self) -> float | None:
        (first, before), (last, now) = (self._lines[0], self._lines[-1]) if self._lines else ((0, 0.0), (0, 0.0))
        return (now - before) / (last - first) if last > first and now > before else None
