"""What is read of a run folder once, for all that its page and the comparison with other runs show of it."""

from dataclasses import dataclass

from cxrgan.reports.panels import names, panels
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.log import BEST_BY, History, LogReader, Row
from cxrgan.runs.results import Values, read_audit, read_diagnosis, read_evaluation, read_utility


@dataclass(frozen=True)
class RunRecord:
    """What the files of a run say."""

    folder: RunFolder
    info: RunInfo
    history: History
    measured: Row | None
    """The newest measurement in the log."""
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
    info, measured = folder.read_info(), _Newest()
    history = History(names(*panels(relativistic=info.config.loss == "relativistic")))
    LogReader(folder.metrics_file, history.add, measured.add).read_on()
    return RunRecord(
        folder,
        info,
        history,
        measured.row,
        read_evaluation(folder.evaluation_file),
        read_diagnosis(folder.diagnosis_file),
        read_audit(folder.audit_file),
        read_utility(folder.utility_file),
    )


class _Newest:
    """The newest measurement of a log."""

    def __init__(self) -> None:
        self.row: Row | None = None

    def add(self, row: Row) -> None:
        if row.get(BEST_BY) is not None:
            self.row = row
