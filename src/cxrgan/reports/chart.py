"""Lines over the steps of a run as SVG: small, sharp in print, and coloured by the page that they stand in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import median

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 8, 34  # room for the ticks' labels
MOST_POINTS = 200  # of a line: what a screen can show
FEW_POINTS = 40  # a line of so few shows each of them

Points = Sequence[tuple[float, float]]
Hole = tuple[float, float]
"""Two steps between which nothing is known."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    style: str
    """The CSS class of its colour and dashes."""
    points: Points
    """(step, value), by ascending step; at least one."""


def chart(
    title: str, lines: Sequence[Line], *, last_step: int, top: float | None = None, holes: Sequence[Hole] = ()
) -> str:
    """An <svg> of the lines from step 0 to `last_step`, and from 0, or lower, up to `top` or the highest value.

    No line crosses a hole.
    """
    thinned = [Line(line.label, line.style, thin(line.points)) for line in lines]
    values = [value for line in thinned for _, value in line.points]
    low, high = min(0.0, *values), 1.05 * max(values) if top is None else top
    high = high if high > low else low + 1
    ends = ", ".join(f"{line.label} {line.points[-1][1]:.3g}" for line in thinned)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(step: float) -> float:
        return LEFT + step / max(1, last_step) * (right - LEFT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    parts = [
        f'<path class="rule" d="M{LEFT} {y(tick):.1f}H{right}"/>'
        f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
        for tick in ticks(low, high)
    ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.6g}</text>'
        for tick in ticks(0, max(1, last_step))
    ]
    parts.append(f'<text x="{right}" y="{HEIGHT - 3}" text-anchor="end">step</text>')
    for line in thinned:
        places = [f"{x(step):.1f} {y(value):.1f}" for step, value in line.points]
        starts = [
            any(before < point[0] and last[0] < after for before, after in holes)
            for last, point in pairwise(line.points)
        ]
        path = "".join(f"{'M' if start else 'L'}{place}" for place, start in zip(places, [True, *starts], strict=True))
        parts.append(f'<path class="{line.style}" d="{path}"/>')
        if len(places) <= FEW_POINTS:  # a stroke of no length with round ends is a dot
            parts.append(f'<path class="{line.style} dots" d="{"".join(f"M{place}h0" for place in places)}"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}, to step {last_step}; at the end {ends}")}">{"".join(parts)}</svg>'
    )


def thin(points: Points) -> Points:
    """At most `MOST_POINTS` points, each the median of a window of steps."""
    size = math.ceil(len(points) / MOST_POINTS)
    windows = [points[first : first + size] for first in range(0, len(points), size)]
    return [(median(step for step, _ in window), median(value for _, value in window)) for window in windows]


def ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers, 1, 2 or 5 times a power of ten apart, from `low` to `high`, which lies above it."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= (high - low) / 5)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
