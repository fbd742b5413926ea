"""Findings about the images: what the probes, measurements and evaluation of a run say about its samples."""

from collections.abc import Sequence

from cxrgan.runs.log import Row
from cxrgan.training.doctor.readings import PATIENCE, Finding, Measured, Readings, since

POOR_DIVERSITY = 0.35  # of the real images'
MANY_REPEATS = 0.5  # of the samples
NOISY = 1.5  # times the real images' grain
FLAT = 0.3
WORSE = 1.5  # times the best Frechet distance
LOST = 0.5  # of the floor of recall or coverage
LOW_RECALL = 0.2  # in logs of older versions, which hold no recall of real images
FAR = 3.0  # times the floor: a distance above this has room to fall
FALLEN = 0.97  # of the best distance of the first half: a second half that is not below this has gained too little


def mode_collapse(readings: Readings) -> Finding | None:
    """The fixed seeds give almost the same image."""
    probes = readings.probes("diversity", "repeats")
    first = since(probes, collapsed)
    if first is None:
        return None
    last = probes[-1][1]
    return Finding(
        "mode collapse",
        first,
        f"samples differ from each other only {last['diversity']:.0%} as much as real images do, and "
        f"{last['repeats']:.0%} of them have a near-duplicate",
        "Use a stable recipe, or --loss relativistic with --gradient-penalty; go back to an earlier checkpoint",
    )


def collapsed(probe: Row) -> bool:
    """Whether the samples are too similar to each other."""
    return bool(probe["diversity"] < POOR_DIVERSITY or probe["repeats"] > MANY_REPEATS)


def noise(readings: Readings) -> Finding | None:
    """The samples are rougher, or smoother, than any radiograph."""
    probes = readings.probes("grain")
    for name, first in (
        ("the samples are noise", since(probes, lambda probe: probe["grain"] > NOISY)),
        ("the samples are flat", since(probes, lambda probe: probe["grain"] < FLAT)),
    ):
        if first is not None:
            evidence = f"neighbouring pixels differ {probes[-1][1]['grain']:.2g} times as much as in real images"
            return Finding(
                name, first, evidence, "Lower --lr, set --ngf and --ndf to the same value, or use a stable recipe"
            )
    return None


def getting_worse(readings: Readings) -> Finding | None:
    """The measured distance is well above its best value."""
    measured = readings.measurements("frechet_distance")
    if not measured:
        return None
    best_step, best = min(measured, key=lambda pair: float(pair[1]["frechet_distance"]))
    limit = WORSE * best["frechet_distance"]
    first = since(measured, lambda row: row["frechet_distance"] > limit)
    if first is None:
        return None
    now = measured[-1][1]
    return Finding(
        "the images are getting worse",
        first,
        f"the {_distance(now)} is {now['frechet_distance']:.0f}; at its best it was {best['frechet_distance']:.0f}, at "
        f"step {best_step}",
        "Use the best checkpoint (generate --best), or train with a lower --lr",
    )


def lost_variety(readings: Readings, evaluated: Sequence[Measured]) -> Finding | None:
    """The images are neither collapsed nor noise, but lack part of the variety of real ones."""
    if mode_collapse(readings) or noise(readings):
        return None
    advice = (
        "This is a limit, not a failure: train longer, with a wider generator (--ngf), with --conditional if it is not "
        "yet, or on more images"
    )
    lacking = [m for m in evaluated if m.metric in ("recall", "coverage") and m.value < LOST * m.floor]
    if lacking:
        told = ", ".join(
            f"{m.metric}{f' of {m.label}' if m.label else ''} by {m.features} is {m.value:.2g} "
            f"(between real images: {m.floor:.2g})"
            for m in lacking
        )
        return Finding("lost variety", lacking[0].step, told, advice)
    measured = readings.measurements("recall")
    first = since(measured, lambda row: row["recall"] < _least_recall(row))
    if first is None:
        return None
    floor = measured[-1][1].get("recall_floor")
    beside = f" (between real images: {floor:.2g})" if floor is not None else ""
    return Finding("lost variety", first, f"recall is {measured[-1][1]['recall']:.2g}{beside}", advice)


def _least_recall(row: Row) -> float:
    floor = row.get("recall_floor")
    return LOW_RECALL if floor is None else LOST * float(floor)


def no_longer_falls(readings: Readings) -> Finding | None:
    """The second half of the measurements is hardly better than the first, and both are far above the floor."""
    measured = readings.measurements("frechet_distance", "frechet_floor")
    half = len(measured) // 2
    if half < PATIENCE or getting_worse(readings):
        return None
    (step, first), (_, best) = (
        min(rows, key=lambda pair: float(pair[1]["frechet_distance"])) for rows in (measured[:half], measured)
    )
    distance, floor = best["frechet_distance"], best["frechet_floor"]
    if distance < FALLEN * first["frechet_distance"] or distance < FAR * floor:
        return None
    return Finding(
        "the distance has plateaued",
        step,
        f"the best {_distance(best)} was {first['frechet_distance']:.3g} at that step and is {distance:.3g} now "
        f"(between real images: {floor:.2g})",
        "More steps alone will not help: use wider networks (--ngf, --ndf), a stable recipe, or more images",
    )


def _distance(row: Row) -> str:
    """With the network that it was measured with, where the log says so: it is no FID."""
    return f"Frechet distance ({row['features']})" if row.get("features") else "Frechet distance"
