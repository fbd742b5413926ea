"""Findings about the game: what losses, logits and gradients say of the two networks."""

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
VANISHED = 0.02  # share of its usual size that a generator's gradient has left
EXPLODED = 100.0  # times its usual size
BLIND_MARGIN = 0.02
OVERFITTED = 0.5  # share of the way from train to fake that D's opinion of unseen real images has gone
SURE = 3.0  # standard errors: what chance does not make


def not_finite(readings: Readings) -> Finding | None:
    """A loss was no number."""
    if readings.not_finite is None:
        return None
    step, loss = readings.not_finite
    advice = "Lower --lr to a fifth, or train with --precision fp32"
    return Finding("a loss is not finite", step, f"{loss} is no number", advice)


def discriminator_won(readings: Readings) -> Finding | None:
    """D is so sure, or so far ahead of poor samples, that its gradient tells G nothing."""
    advice = "Lower --lr, give the generator the wider network (--ngf above --ndf), or take a stable recipe"
    windows = readings.windows("margin")
    first = since(windows, lambda margin: margin > SURE_MARGIN)
    if first is not None:
        evidence = f"its logits of real and generated images are {windows[-1][1]:.0f} apart"
        limit = f"a balanced game stays below {SURE_MARGIN:.0f}"
        told = "so the generator is told no more what to change"
        return Finding("the discriminator has won", first, f"{evidence} ({limit}), {told}", advice)
    probes = readings.probes("diversity", "repeats", "margin")
    first = since(probes, lambda probe: _poor(probe) and probe["margin"] > FAR_MARGIN)
    if first is None:
        return None
    margin = median(probe["margin"] for step, probe in probes if step >= first)
    return Finding(
        "the discriminator has won",
        first,
        f"its logits of real and generated images are {margin:.1f} apart, and the samples stay poor: the generator "
        "learns little from it",
        advice,
    )


def discriminator_weak(readings: Readings) -> Finding | None:
    """D hardly tells poor samples from real images; not asked under a gradient penalty."""
    probes = readings.probes("diversity", "repeats", "margin")
    first = since(probes, lambda probe: _poor(probe) and probe["margin"] < NEAR_MARGIN)
    if first is None or readings.penalised:
        return None
    return Finding(
        "the discriminator is too weak",
        first,
        f"its logits of real images and of such poor samples are only {probes[-1][1]['margin']:.1f} apart",
        "Give it a wider network (--ndf), or take a stable recipe",
    )


def _poor(probe: Row) -> bool:
    grain = probe.get("grain")
    return collapsed(probe) or (grain is not None and not FLAT <= grain <= NOISY)


def vanishing(readings: Readings) -> Finding | None:
    """Of the generator alone: the discriminator's gradient also falls when it has nothing left to learn."""
    return _gradient(
        readings,
        "vanishing gradients",
        ("grad_g",),
        lambda now, usual: now < VANISHED * usual,
        "Use --loss non-saturating or relativistic, and a lower --lr",
    )


def exploding(readings: Readings) -> Finding | None:
    """Of either network."""
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
            evidence = f"the {network}'s gradient has norm {windows[-1][1]:.2g}, at first {usual:.2g}"
            return Finding(name, first, evidence, advice)
    return None


def overfitting(readings: Readings) -> Finding | None:
    """D puts unseen real images over half of the way from training images to fakes: r_v of Karras et al. 2020 (ADA).

    Said in no unit of D's logits, which are small under a gradient penalty and large without. PATIENCE probes together
    make one reading, since the 256 images of one leave an error of about 0.1 of the way.
    """
    gaps = [(step, _gap(probe)) for step, probe in readings.probes("d_train", "d_held_out", "d_samples")]
    pooled = [(window[-1][0], _mean([gap for _, gap in window])) for window in _windows(gaps)]
    first = since(pooled, lambda gap: gap.unseen > OVERFITTED * gap.fakes and gap.is_sure)
    if first is None:
        return None
    last = pooled[-1][1]
    share = f", {last.unseen / last.fakes:.0%} of the way to the fakes" if last.unseen < last.fakes else ", below fakes"
    return Finding(
        "the discriminator learns the training images by heart",
        first,
        f"its logits of unseen real images lie {last.unseen:.2g} below those of training images{share}",
        "Train on more images, for fewer epochs, or with --augment 1",
    )


class Gap(NamedTuple):
    """How far D's mean logits of other images lie below that of training images."""

    unseen: float
    """Real ones that it never trained on."""
    fakes: float
    error: float
    """Standard error of `unseen`; NaN in logs of older versions."""

    @property
    def is_sure(self) -> bool:
        """Whether chance makes no such difference; without an error, that probe after probe agrees must do."""
        return self.fakes > 0 if math.isnan(self.error) else self.unseen > SURE * self.error


def _gap(probe: Row) -> Gap:
    errors = [probe.get(f"{name}_error") for name in ("d_train", "d_held_out")]
    error = math.hypot(*(math.nan if error is None else error for error in errors))
    return Gap(probe["d_train"] - probe["d_held_out"], probe["d_train"] - probe["d_samples"], error)


def _mean(gaps: Sequence[Gap]) -> Gap:
    """Of probes of the same images, whose errors are alike and do not shrink by their number."""
    return Gap(*(fmean(values) for values in zip(*gaps, strict=True)))


def _windows(gaps: Sequence[tuple[int, Gap]]) -> list[Sequence[tuple[int, Gap]]]:
    return [gaps[end - PATIENCE : end] for end in range(PATIENCE, len(gaps) + 1)]


def blind(readings: Readings) -> Finding | None:
    """D learns nothing under its gradient penalty."""
    windows = readings.windows("margin")
    first = since(windows, lambda margin: abs(margin) < BLIND_MARGIN)
    if first is None or not readings.penalised:
        return None
    return Finding(
        "the discriminator learns nothing",
        first,
        f"its logits of real and generated images differ by {windows[-1][1]:.3f} under the gradient penalty",
        "Lower --gradient-penalty to a tenth",
    )
