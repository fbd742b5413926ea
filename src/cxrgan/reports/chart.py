"""Lines over the steps of a run as SVG: small, sharp in print, and coloured by the page that they stand in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from statistics import median

from cxrgan.reports.numbers import count, number

MOST_POINTS = 200  # of a line: what a screen can show
FEW_POINTS = 40  # a line of so few shows each of them
BOTTOM, TOP = 34, 8  # room for the ticks' labels
LABEL_HEIGHT = 14  # of a line's name at its end
MOST_TICKS = 9
FAR_APART = 5  # times
CHARACTER = 6.6  # wide, of a label

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
    holes: Sequence[Hole] = ()
    """No line crosses one."""


@dataclass(frozen=True)
class Frame:
    """The place of a chart, in units of its own, and its scales."""

    width: int = 420
    height: int = 220
    left: int = 50
    right: int = 22
    last_step: int = 1
    low: float = 0.0
    high: float = 1.0
    logarithmic: bool = False

    def x(self, step: float) -> float:
        return self.left + step / max(1, self.last_step) * (self.width - self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        bottom = self.height - BOTTOM
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    def place(self, point: tuple[float, float]) -> str:
        return f"{self.x(point[0]):.1f} {self.y(point[1]):.1f}"


def chart(title: str, lines: Sequence[Line], *, last_step: int, top: float | None = None) -> str:
    """An <svg> of the lines from step 0 to `last_step`, and from 0, or lower, up to `top` or the highest value."""
    thinned = [replace(line, points=thin(line.points)) for line in lines]
    values = [value for line in thinned for _, value in line.points]
    low, high = min(0.0, *values), 1.05 * max(values) if top is None else top
    frame = Frame(last_step=last_step, low=low, high=high if high > low else low + 1)
    parts = [*_axes(frame), *(part for line in thinned for part in _drawn(line, frame))]
    return _svg(title, thinned, frame, parts)


WIDE, NARROW = Frame(760, 360, 50, 160), Frame(400, 340, 50, 118)
"""The places of a comparison on a desk and on a phone."""


def comparison(title: str, lines: Sequence[Line], *, last_step: int, frame: Frame = WIDE) -> str:
    """An <svg> of a line for each of several runs, its name at its end; logarithmic where values lie far apart."""
    thinned = [replace(line, points=thin(line.points)) for line in lines]
    values = [value for line in thinned for _, value in line.points]
    low, high = min(values), 1.05 * max(values)
    logarithmic = low > 0 and high > FAR_APART * low
    if not logarithmic:
        low = min(0.0, low)
    high = high if high > low else low + 1
    frame = replace(frame, last_step=last_step, low=low, high=high, logarithmic=logarithmic)
    parts = [*_axes(frame), *(part for line in thinned for part in _drawn(line, frame)), *_names(thinned, frame)]
    return _svg(title, thinned, frame, parts)


def _svg(title: str, lines: Sequence[Line], frame: Frame, parts: Sequence[str]) -> str:
    ends = ", ".join(f"{line.label} {number(line.points[-1][1])}" for line in lines)
    return (
        f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{escape(f"{title}, to step {count(frame.last_step)}; at the end {ends}")}">{"".join(parts)}</svg>'
    )


def _axes(frame: Frame) -> list[str]:
    right, bottom = frame.width - frame.right, frame.height - BOTTOM
    levels = log_ticks(frame.low, frame.high) if frame.logarithmic else ticks(frame.low, frame.high)
    return [
        *(
            f'<path class="rule" d="M{frame.left} {frame.y(tick):.1f}H{right}"/>'
            f'<text x="{frame.left - 6}" y="{frame.y(tick) + 4:.1f}" text-anchor="end">{_tick(tick)}</text>'
            for tick in levels
        ),
        *(
            f'<text x="{frame.x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{_tick(tick)}</text>'
            for tick in ticks(0, max(1, frame.last_step))
        ),
        f'<text x="{right}" y="{frame.height - 3}" text-anchor="end">step</text>',
    ]


def _drawn(line: Line, frame: Frame) -> list[str]:
    """A line as a path, and its points too where they are few."""
    places = [frame.place(point) for point in line.points]
    starts = [
        any(before < point[0] and last[0] < after for before, after in line.holes)
        for last, point in pairwise(line.points)
    ]
    path = "".join(f"{'M' if start else 'L'}{place}" for place, start in zip(places, [True, *starts], strict=True))
    parts = [f'<path class="{line.style}" d="{path}"/>']
    if len(places) <= FEW_POINTS:  # a stroke of no length with round ends is a dot
        parts.append(f'<path class="{line.style} dots" d="{"".join(f"M{place}h0" for place in places)}"/>')
    return parts


def _names(lines: Sequence[Line], frame: Frame) -> list[str]:
    """The name of each line at the right, as high as its end where that is free, and a rule from one to the other."""
    ordered = sorted(lines, key=lambda line: (frame.y(line.points[-1][1]), line.label))
    heights = _apart([frame.y(line.points[-1][1]) for line in ordered], TOP, frame.height - BOTTOM)
    right = frame.width - frame.right
    longest = int((frame.right - 36) / CHARACTER)
    parts = []
    for line, height in zip(ordered, heights, strict=True):
        label = line.label if len(line.label) <= longest else f"{line.label[: longest - 1]}…"
        parts.append(
            f'<path class="lead" d="M{frame.place(line.points[-1])}L{right + 10} {height:.1f}"/>'
            f'<path class="{line.style}" d="M{right + 10} {height:.1f}h22"/>'
            f'<text x="{right + 36}" y="{height + 4:.1f}">{escape(label)}</text>'
        )
    return parts


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Ascending heights, moved as little as keeps labels from touching."""
    heights = list(wanted)
    for index, height in enumerate(heights):
        heights[index] = max(height, heights[index - 1] + LABEL_HEIGHT if index else top)
    lowest = bottom
    for index in range(len(heights) - 1, -1, -1):
        heights[index] = min(heights[index], lowest)
        lowest = heights[index] - LABEL_HEIGHT
    return heights


def _tick(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.6g}"


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


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers of 1, 2 and 5 times a power of ten from `low` to `high`, both positive; where many, powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine, coarse = ([size * 10.0**power for power in powers for size in sizes] for sizes in ((1, 2, 5), (1,)))
    within = [[tick for tick in each if low <= tick <= high] for each in (fine, coarse)]
    return within[0] if len(within[0]) <= MOST_TICKS else within[1]
