"""Reads the numbers that a run wrote and names what is going wrong: since when, on what evidence, and what to change.

It looks at medians over windows of steps, so that a single odd step raises no alarm, and reports only what still holds
at the end of the rows it is given. The thresholds were set on the runs of `docs/doctor.md`.
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
    """What the doctor says about a run."""

    step: int
    """The last step of the log."""
    findings: tuple[Finding, ...]
    """The most serious first."""
    suffices: bool
    """Whether there was enough evidence; without it, the absence of findings means nothing."""
    measured: bool = True
    """Whether the variety of the images was measured."""

    @property
    def verdict(self) -> str:
        """The findings' names, or `healthy`, or `too early to say`."""
        named = ", ".join(finding.name for finding in self.findings)
        return named or ("healthy" if self.suffices else TOO_EARLY)

    def __str__(self) -> str:
        """For the terminal, a line for each finding."""
        unknown = "" if self.measured else "; the variety of the images has not been measured"
        return "\n".join(map(str, self.findings)) or self.verdict + unknown


def diagnose(readings: Readings, evaluated: Sequence[Measured] = ()) -> Diagnosis:
    """What is wrong with a run, judged by its log and by what `cxrgan evaluate` measured."""
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
    """What the doctor says about a run, judged by its files: metrics.jsonl, and evaluation.json if there is one."""
    folder.read_info()  # UserError for a folder that is not a run
    readings = Readings()
    LogReader(folder.metrics_file, readings.add).read_on()
    return diagnose(readings, _evaluated(folder.evaluation_file, readings.step))


def _evaluated(file: Path, last_step: int) -> list[Measured]:
    """The metrics of evaluation.json whose floor has no more images than they; empty if there is no such file."""
    found = read_evaluation(file)
    of_step = re.search(r", step (\d{1,18})$", found.get("target", ""))
    step = int(of_step[1]) if of_step else last_step
    return [
        Measured(step, row["features"], row["metric"], row["label"], row["value"], row["floor"])
        for row in found.get("rows", [])
        if row["value"] is not None and row["floor"] is not None and not _has_fewer(row)
    ]


def _has_fewer(row: Mapping[str, Any]) -> bool:
    """Whether a row from before `floor_std` has fewer fakes than its floor: fewer images show less variety."""
    return isinstance(row["n_floor"], int) and row["n_fake"] < row["n_floor"]
