"""Findings about the game: what losses, logits and gradients say about the two networks."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from cxrgan.runs.log import Row
from cxrgan.training.doctor.images import FLAT, NOISY, collapsed
from cxrgan.training.doctor.readings import PATIENCE, Finding, Readings, since

SURE_MARGIN = 12.0  # mean logit difference: odds of 160,000 to 1
FAR_MARGIN = 3.0  # too much where the samples are poor: odds of 20 to 1
NEAR_MARGIN = 1.0  # too little where the samples are poor: odds of 3 to 1
VANISHED = 0.02  # share of its early size that is left of the generator's gradient
EXPLODED = 100.0  # times its early size
BLIND_MARGIN = 0.02
OVERFITTED = 0.5  # r_v: D's mean logit for unseen real images, 0 where it is that for training images, 1 for fakes
SURE = 3.0  # standard errors: unlikely to be chance


def not_finite(readings: Readings) -> Finding | None:
    """A loss is NaN or infinite."""
    if readings.not_finite is None:
        return None
    step, loss = readings.not_finite
    advice = "Lower --lr to a fifth of its value, or train with --precision fp32"
    return Finding("a loss is not finite", step, f"{loss} is not a finite number", advice)


def discriminator_won(readings: Readings) -> Finding | None:
    """D is so confident, or so far ahead of poor samples, that its gradient tells G nothing."""
    advice = "Lower --lr, make the generator wider than the discriminator (--ngf above --ndf), or use a stable recipe"
    windows = readings.windows("margin")
    first = since(windows, lambda margin: margin > SURE_MARGIN)
    if first is not None:
        evidence = f"its logits for real and generated images are {windows[-1][1]:.0f} apart"
        limit = f"a balanced game stays below {SURE_MARGIN:.0f}"
        effect = "so its gradient no longer tells the generator what to change"
        return Finding("the discriminator has won", first, f"{evidence} ({limit}), {effect}", advice)
    probes = readings.probes("diversity", "repeats", "margin")
    first = since(probes, lambda probe: _poor(probe) and probe["margin"] > FAR_MARGIN)
    if first is None:
        return None
    margin = median(probe["margin"] for step, probe in probes if step >= first)
    return Finding(
        "the discriminator has won",
        first,
        f"its logits for real and generated images are {margin:.1f} apart while the samples stay poor: the generator "
        "learns little from it",
        advice,
    )


def discriminator_weak(readings: Readings) -> Finding | None:
    """D can hardly tell poor samples from real images; not checked under a gradient penalty."""
    probes = readings.probes("diversity", "repeats", "margin")
    first = since(probes, lambda probe: _poor(probe) and probe["margin"] < NEAR_MARGIN)
    if first is None or readings.penalised:
        return None
    return Finding(
        "the discriminator is too weak",
        first,
        f"its logits for real images and for these poor samples are only {probes[-1][1]['margin']:.1f} apart",
        "Make it wider (--ndf), or use a stable recipe",
    )


def _poor(probe: Row) -> bool:
    grain = probe.get("grain")
    return collapsed(probe) or (grain is not None and not FLAT <= grain <= NOISY)


def vanishing(readings: Readings) -> Finding | None:
    """Checked for the generator only: the discriminator's gradient also shrinks when it has nothing left to learn."""
    return _gradient(
        readings,
        "vanishing gradients",
        ("grad_g",),
        lambda now, usual: now < VANISHED * usual,
        "Use --loss non-saturating or relativistic, and a lower --lr",
    )


def exploding(readings: Readings) -> Finding | None:
    """Checked for both networks."""
    return _gradient(
        readings,
        "exploding gradients",
        ("grad_g", "grad_d"),
        lambda now, usual: now > EXPLODED * usual,
        "Lower --lr, or add --gradient-penalty",
    )


def _gradient(
    readings: Readings, name: str, keys: tuple[str, ...], holds: Callable[[float, float], bool], advice: str
) -> Finding | None:
    """A network's gradient norm against the median of the run's first quarter."""
    for key in keys:
        windows = readings.windows(key)
        if not windows:
            continue
        usual = median(value for _, value in windows[: max(1, len(windows) // 4)])
        first = since(windows, lambda value, usual=usual: holds(value, usual))  # type: ignore[misc]
        if first is not None:
            network = {"grad_g": "generator", "grad_d": "discriminator"}[key]
            evidence = (
                f"the norm of the {network}'s gradient is {windows[-1][1]:.2g}; early in the run it was {usual:.2g}"
            )
            return Finding(name, first, evidence, advice)
    return None


def overfitting(readings: Readings) -> Finding | None:
    """D's mean logit for unseen real images lies over half of the way from training images to fakes.

    That share is r_v of Karras et al. 2020 (StyleGAN2-ADA, equation 1). It does not depend on the scale of the logits,
    which are small under a gradient penalty and large without. A reading is the mean over PATIENCE probes, because
    the 256 images of a single probe leave an error of about 0.1 in r_v.
    """
    gaps = [(step, _gap(probe)) for step, probe in readings.probes("d_train", "d_held_out", "d_samples")]
    pooled = [(window[-1][0], _mean([gap for _, gap in window])) for window in _windows(gaps)]
    first = since(pooled, lambda gap: gap.unseen > OVERFITTED * gap.fakes and gap.is_sure)
    if first is None:
        return None
    last = pooled[-1][1]
    share = f"{last.unseen / last.fakes:.0%} of the way to" if last.unseen < last.fakes else "lower even than for"
    return Finding(
        "the discriminator is overfitting",
        first,
        f"its logits for unseen real images are {last.unseen:.2g} below those for training images, {share} generated "
        "images",
        "Train on more images, for fewer epochs, or with --augment 1",
    )


class Gap(NamedTuple):
    """How far D's mean logits for other images lie below that for training images."""

    unseen: float
    """For real images that D never trained on."""
    fakes: float
    error: float
    """Standard error of `unseen`; NaN in logs of older versions."""

    @property
    def is_sure(self) -> bool:
        """Whether the gap is too large to be chance; without an error, it is enough that all probes agree."""
        return self.fakes > 0 if math.isnan(self.error) else self.unseen > SURE * self.error


def _gap(probe: Row) -> Gap:
    errors = [probe.get(f"{name}_error") for name in ("d_train", "d_held_out")]
    error = math.hypot(*(math.nan if error is None else error for error in errors))
    return Gap(probe["d_train"] - probe["d_held_out"], probe["d_train"] - probe["d_samples"], error)


def _mean(gaps: Sequence[Gap]) -> Gap:
    """The mean over probes; they judge the same images, so their errors are alike and do not average out."""
    return Gap(*(fmean(values) for values in zip(*gaps, strict=True)))


def _windows(gaps: Sequence[tuple[int, Gap]]) -> list[Sequence[tuple[int, Gap]]]:
    return [gaps[end - PATIENCE : end] for end in range(PATIENCE, len(gaps) + 1)]


def blind(readings: Readings) -> Finding | None:
    """The gradient penalty keeps D from learning anything."""
    windows = readings.windows("margin")
    first = since(windows, lambda margin: abs(margin) < BLIND_MARGIN)
    if first is None or not readings.penalised:
        return None
    return Finding(
        "the discriminator learns nothing",
        first,
        f"under the gradient penalty, its logits for real and generated images differ by only {windows[-1][1]:.3f}",
        "Lower --gradient-penalty to a tenth of its value",
    )
