"""`cxrgan doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cxrgan.lines import pasted, say

if TYPE_CHECKING:
    from cxrgan.runs.folder import RunFolder


@dataclass(frozen=True)
class Doctor:
    """Say what went wrong in a run, since when, on what evidence, and what to change; or that it is healthy."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder; if `evaluate` measured it, that counts too."""

    def run(self) -> int:
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.doctor.diagnose import diagnose_run, write_diagnosis

        folder = RunFolder(self.run_folder)
        diagnosis = diagnose_run(folder)
        say(f"at step {diagnosis.step}:\n{diagnosis}")
        if not diagnosis.measured:
            say(measure_command(folder))
        write_diagnosis(folder.diagnosis_file, diagnosis)
        return 0


def measure_command(folder: "RunFolder") -> str:
    """How to measure the variety of a run's images, ready to paste."""
    data = folder.read_info().data
    return f"measure how varied its images are: {pasted('evaluate', folder.path, '--data', data)}"
