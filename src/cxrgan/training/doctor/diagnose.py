"""Reads the numbers that a run wrote and names what goes wrong: since when, by which evidence, and what to change.

It looks at medians over windows of steps, so that a single odd step is no alarm, and only says what still holds at the
end of the rows it is given. The limits were set by the runs of `docs/doctor.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrgan.files import write_json
from cxrgan.training.doctor_game import (
    blind,
    discriminator_weak,
    discriminator_won,
    exploding,
    not_finite,
    overfitting,
    vanishing,
)
from cxrgan.training.doctor_images import getting_worse, lost_variety, mode_collapse, no_longer_falls, noise
from cxrgan.training.readings import Finding, Measured, Readings

TOO_EARLY = "too early to say"


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
