"""Reads the numbers that a run wrote and names what goes wrong: since when, by which evidence, and what to change.

It looks at medians over windows of steps, so that a single odd step is no alarm, and only says what still holds at the
end of the rows it is given. The limits were set by the runs of `docs/doctor.md`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxrgan.files import write_json
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import LogReader
from cxrgan.runs.results import TOO_EARLY, read_evaluation
from cxrgan.training.doctor.game import (
    blind,
    discriminator_weak,
    discriminator_won,
    exploding,
    not_finite,
    overfitting,
    vanishing,
)
from cxrgan.training.doctor.images import getting_worse, lost_variety, mode_collapse, no_longer_falls, noise
from cxrgan.training.doctor.readings import Finding, Measured, Readings


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a run."""

    step: int
    """The last one looked at."""
    findings: tuple[Finding, ...]
    """The gravest first."""
    suffices: bool
    """Whether there was enough to look at: without it, no findings mean nothing."""
    measured: bool = True
    """Whether somebody measured the variety of the images."""

    @property
    def verdict(self) -> str:
        """The findings' names, or `healthy`, or `too early to say`."""
        named = ", ".join(finding.name for finding in self.findings)
        return named or ("healthy" if self.suffices else TOO_EARLY)

    def __str__(self) -> str:
        """For the terminal, a line for each finding."""
        unknown = "" if self.measured else "; how varied the images are is not measured: cxrgan evaluate RUN --data DIR"
        return "\n".join(map(str, self.findings)) or self.verdict + unknown


def diagnose(readings: Readings, evaluated: Sequence[Measured] = ()) -> Diagnosis:
    """What is wrong with a run, by its log, and by what `cxrgan evaluate` measured of it."""
    checks: tuple[Callable[[Readings], Finding | None], ...] = (
        not_finite,
        mode_collapse,
        noise,
        discriminator_won,
        discriminator_weak,
        exploding,
        vanishing,
        overfitting,
        blind,
        getting_worse,
        lambda readings: lost_variety(readings, evaluated),
        no_longer_falls,
    )
    findings = tuple(finding for check in checks if (finding := check(readings)))
    measured = bool(evaluated or readings.measurements("recall"))
    return Diagnosis(readings.step, findings, readings.suffice, measured)


def write_diagnosis(path: Path, diagnosis: Diagnosis) -> None:
    """`diagnosis.json`: the last step looked at, the verdict and the findings."""
    findings = [asdict(finding) for finding in diagnosis.findings]
    write_json(path, {"step": diagnosis.step, "verdict": diagnosis.verdict, "findings": findings})


def diagnose_run(folder: RunFolder) -> Diagnosis:
    """What the doctor says of a run by its files: metrics.jsonl, and evaluation.json where there is one."""
    folder.read_info()  # a folder that is no run is said to be none
    readings = Readings()
    LogReader(folder.metrics_file, readings.add).read_on()
    return diagnose(readings, _evaluated(folder.path / "evaluation.json", readings.step))


def _evaluated(file: Path, last_step: int) -> list[Measured]:
    """The metrics of evaluation.json that have a floor of no more images; none where it is not there."""
    found = read_evaluation(file)
    of_step = re.search(r", step (\d{1,18})$", found.get("target", ""))
    step = int(of_step[1]) if of_step else last_step
    return [
        Measured(step, row["metric"], row["label"], row["value"], row["floor"])
        for row in found.get("rows", [])
        if row["value"] is not None and row["floor"] is not None and not _has_fewer(row)
    ]


def _has_fewer(row: Mapping[str, Any]) -> bool:
    """Whether an evaluation from before `floor_std` has fewer fakes than its floor: fewer images have less variety."""
    return isinstance(row["n_floor"], int) and row["n_fake"] < row["n_floor"]
