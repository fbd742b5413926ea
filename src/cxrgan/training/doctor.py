"""Reads the numbers that a run wrote and names what goes wrong: since when, by which evidence, and what to change.

It looks at medians over windows of steps, so that a single odd step is no alarm, and only says what still holds at the
end of the rows it is given. The limits were set by the runs of `docs/doctor.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrgan.files import write_json
from cxrgan.training import doctor_game as game
from cxrgan.training import doctor_images as images
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

    @property
    def verdict(self) -> str:
        """The findings' names, or `healthy`, or `too early to say`."""
        named = ", ".join(finding.name for finding in self.findings)
        return named or ("healthy" if self.suffices else TOO_EARLY)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or self.verdict


def diagnose(readings: Readings, evaluated: Sequence[Measured] = ()) -> Diagnosis:
    """What is wrong with a run, by its log, and by what `cxrgan evaluate` measured of it."""
    checks: tuple[Callable[[Readings], Finding | None], ...] = (
        game.not_finite,
        images.mode_collapse,
        images.noise,
        game.discriminator_won,
        game.discriminator_weak,
        game.exploding,
        game.vanishing,
        game.overfitting,
        game.blind,
        images.getting_worse,
        lambda readings: images.lost_variety(readings, evaluated),
        images.no_longer_falls,
    )
    findings = tuple(finding for check in checks if (finding := check(readings)))
    return Diagnosis(readings.step, findings, readings.suffice)


def write_diagnosis(path: Path, diagnosis: Diagnosis) -> None:
    """`diagnosis.json`: the last step looked at, the verdict and the findings."""
    findings = [asdict(finding) for finding in diagnosis.findings]
    write_json(path, {"step": diagnosis.step, "verdict": diagnosis.verdict, "findings": findings})
