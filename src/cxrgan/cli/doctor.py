"""`cxrgan doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.lines import say


@dataclass(frozen=True)
class Doctor:
    """Say what went wrong in a run, since when, by which numbers, and what to change; or that it is healthy."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder. What `evaluate` measured of it counts too."""

    def run(self) -> int:
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.doctor.diagnose import diagnose_run, write_diagnosis

        folder = RunFolder(self.run_folder)
        diagnosis = diagnose_run(folder)
        say(f"at step {diagnosis.step}:\n{diagnosis}")
        write_diagnosis(folder.diagnosis_file, diagnosis)
        return 0
