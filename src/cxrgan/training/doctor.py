"""Reads the numbers that a run wrote and names what goes wrong: since when, by which evidence, and what to change.

It looks at medians over windows of steps, so that a single odd step is no alarm, and only says what still holds at the
end of the rows it is given. The limits were set by the runs of `docs/doctor.md`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

WINDOW = 50  # steps whose median is one reading
PATIENCE = 3  # readings, or probes, in a row that make a finding

SURE_MARGIN = 12.0  # mean logit difference: odds of 160,000 to 1
FAR_MARGIN = 3.0  # too much where the samples are poor: odds of 20 to 1
NEAR_MARGIN = 1.0  # too little where the samples are poor: odds of 3 to 1
VANISHED = 0.02  # share of its usual size that a generator's gradient has left
EXPLODED = 100.0  # times its usual size
BLIND_MARGIN = 0.02
POOR_DIVERSITY = 0.35  # of the real images'
MANY_REPEATS = 0.5  # of the samples
NOISY = 1.5  # times the real images' grain
FLAT = 0.3
OVERFITTED = 0.5  # share of the way from train to fake that D's opinion of unseen real images has gone
WORSE = 1.5  # times the best Frechet distance

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Finding:
    """One thing that goes wrong."""

    name: str
    since: int
    """The first step at which it holds without a break until the end."""
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} since step {self.since}: {self.evidence}. {self.advice}."


def diagnose(rows: Rows) -> list[Finding]:
    """What is wrong with the run that wrote these lines of metrics.jsonl, the gravest first."""
    checks: tuple[Callable[[Rows], Finding | None], ...] = (
        _not_finite,
        _mode_collapse,
        _noise,
        _discriminator_won,
        _discriminator_weak,
        _exploding,
        _vanishing,
        _overfitting,
        _blind,
        _getting_worse,
    )
    return [finding for check in checks if (finding := check(rows))]


def _not_finite(rows: Rows) -> Finding | None:
    for row in rows:
        bad = [name for name in ("loss_d", "loss_g") if name in row and row[name] is None]
        if bad:
            return Finding(
                "a loss is not finite",
                row["step"],
                f"{bad[0]} is no number",
                "Lower --lr to a fifth, or train with --precision fp32",
            )
    return None


def _discriminator_won(rows: Rows) -> Finding | None:
    advice = "Lower --lr, give the generator the wider network (--ngf above --ndf), or take a stable recipe"
    readings = _readings(rows, "margin")
    since = _since(readings, lambda margin: margin > SURE_MARGIN)
    if since is not None:
        evidence = f"its logits of real and generated images are {readings[-1][1]:.0f} apart"
        limit = f"a balanced game stays below {SURE_MARGIN:.0f}"
        told = "so the generator is told no more what to change"
        return Finding("the discriminator has won", since, f"{evidence} ({limit}), {told}", advice)
    of_poor_samples = _margins_at_poor_samples(rows)
    since = _since(of_poor_samples, lambda margin: margin is not None and margin > FAR_MARGIN)
    if since is None:
        return None
    margins = [margin for step, margin in of_poor_samples if step >= since and margin is not None]
    return Finding(
        "the discriminator has won",
        since,
        f"its logits of real and generated images are {median(margins):.1f} apart, and the samples stay poor: the "
        "generator learns little from it",
        advice,
    )


def _discriminator_weak(rows: Rows) -> Finding | None:
    """Not asked under a gradient penalty, which keeps the logits together."""
    of_poor_samples = _margins_at_poor_samples(rows)
    since = _since(of_poor_samples, lambda margin: margin is not None and margin < NEAR_MARGIN)
    if since is None or any("r1" in row for row in rows):
        return None
    return Finding(
        "the discriminator is too weak",
        since,
        f"its logits of real images and of such poor samples are only {of_poor_samples[-1][1]:.1f} apart",
        "Give it a wider network (--ndf), or take a stable recipe",
    )


def _margins_at_poor_samples(rows: Rows) -> list[tuple[int, float | None]]:
    """(step, median margin of the window before it) of each probe; None where the samples were not poor."""
    margins: list[float] = []
    found: list[tuple[int, float | None]] = []
    for row in rows:
        if row.get("margin") is not None:
            margins.append(row["margin"])
        if "diversity" in row and margins:
            poor = _collapsed(row) or not FLAT <= row.get("grain", 1.0) <= NOISY
            found.append((row["step"], median(margins[-WINDOW:]) if poor else None))
    return found


def _collapsed(probe: Mapping[str, Any]) -> bool:
    return bool(probe["diversity"] < POOR_DIVERSITY or probe["repeats"] > MANY_REPEATS)


def _mode_collapse(rows: Rows) -> Finding | None:
    probes = [(row["step"], row) for row in rows if "diversity" in row]
    since = _since(probes, _collapsed)
    if since is None:
        return None
    last = probes[-1][1]
    return Finding(
        "mode collapse",
        since,
        f"samples differ from each other {last['diversity']:.0%} as much as real images do, and "
        f"{last['repeats']:.0%} of them have a near copy",
        "Take a stable recipe, or --loss relativistic with --gradient-penalty; go back to an earlier checkpoint",
    )


def _noise(rows: Rows) -> Finding | None:
    probes = [(row["step"], float(row["grain"])) for row in rows if "grain" in row]
    for name, holds in (
        ("the samples are noise", lambda grain: grain > NOISY),
        ("the samples are flat", lambda grain: grain < FLAT),
    ):
        since = _since(probes, holds)
        if since is not None:
            evidence = f"neighbouring pixels differ {probes[-1][1]:.2g} times as much as in real images"
            return Finding(name, since, evidence, "Lower --lr, make --ngf and --ndf alike, or take a stable recipe")
    return None


def _vanishing(rows: Rows) -> Finding | None:
    """Of the generator alone: the discriminator's gradient also falls when it has nothing left to learn."""
    return _gradient(
        rows,
        "vanishing gradients",
        ("grad_g",),
        lambda now, usual: now < VANISHED * usual,
        "Use --loss non-saturating or relativistic, and a lower --lr",
    )


def _exploding(rows: Rows) -> Finding | None:
    return _gradient(
        rows,
        "exploding gradients",
        ("grad_g", "grad_d"),
        lambda now, usual: now > EXPLODED * usual,
        "Lower --lr, or add --gradient-penalty",
    )


def _gradient(
    rows: Rows, name: str, keys: Sequence[str], holds: Callable[[float, float], bool], advice: str
) -> Finding | None:
    """A network's gradient norm against the median of the run's first quarter."""
    for key in keys:
        readings = _readings(rows, key)
        first = [value for _, value in readings[: max(1, len(readings) // 4)]]
        usual = median(first) if first else 0.0
        since = _since(readings, lambda value, usual=usual: holds(value, usual))  # type: ignore[misc]
        if since is not None:
            network = {"grad_g": "generator", "grad_d": "discriminator"}[key]
            evidence = f"the {network}'s gradient has norm {readings[-1][1]:.2g}, at first {usual:.2g}"
            return Finding(name, since, evidence, advice)
    return None


def _overfitting(rows: Rows) -> Finding | None:
    probes = [(row["step"], _overfit(row)) for row in rows if "d_held_out" in row]
    since = _since(probes, lambda share: share > OVERFITTED)
    if since is None:
        return None
    return Finding(
        "the discriminator learns the training images by heart",
        since,
        f"it takes real images that it never trained on {probes[-1][1]:.0%} of the way from training images to fakes",
        "Train with --augment 1, on more images, or for fewer epochs",
    )


def _overfit(row: Mapping[str, Any]) -> float:
    """How far from training images (0) to fakes (1) D places held-out ones; ADA's r_v (Karras et al. 2020)."""
    whole = float(row["d_train"] - row["d_samples"])
    return float(row["d_train"] - row["d_held_out"]) / whole if whole > 1 else 0.0


def _blind(rows: Rows) -> Finding | None:
    readings = _readings(rows, "margin")
    since = _since(readings, lambda margin: abs(margin) < BLIND_MARGIN)
    if since is None or not any("r1" in row for row in rows):
        return None
    return Finding(
        "the discriminator learns nothing",
        since,
        f"its logits of real and generated images differ by {readings[-1][1]:.3f} under the gradient penalty",
        "Lower --gradient-penalty to a tenth",
    )


def _getting_worse(rows: Rows) -> Finding | None:
    measured = [
        (row["step"], float(row["frechet_distance"])) for row in rows if row.get("frechet_distance") is not None
    ]
    if not measured:
        return None
    best_step, best = min(measured, key=lambda pair: pair[1])
    since = _since(measured, lambda distance: distance > WORSE * best)
    if since is None:
        return None
    return Finding(
        "the images get worse",
        since,
        f"the Frechet distance is {measured[-1][1]:.0f}, and was {best:.0f} at step {best_step}",
        "Use the best checkpoint (generate --best), or a lower --lr",
    )


def _readings(rows: Rows, name: str) -> list[tuple[int, float]]:
    """(last step, median) of each whole window of steps."""
    values = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    windows = [values[first : first + WINDOW] for first in range(0, len(values) - WINDOW + 1, WINDOW)]
    return [(window[-1][0], float(median(value for _, value in window))) for window in windows]


def _since(readings: Sequence[tuple[int, Any]], holds: Callable[[Any], bool]) -> int | None:
    """The step from which on it holds for all readings, if these are PATIENCE or more."""
    since, count = None, 0
    for step, value in reversed(readings):
        if not holds(value):
            break
        since, count = step, count + 1
    return since if count >= PATIENCE else None
