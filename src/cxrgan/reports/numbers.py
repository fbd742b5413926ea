"""The one formatter of numbers for people: the terminal's tables, Markdown, and the pages all write them so."""

import math
from collections.abc import Iterable, Sequence

NONE = "—"
"""Stands where there is no number."""
HUGE, TINY = 1e7, 1e-4  # from here on, and below, with an exponent
MOST_DECIMALS = 6


def number(value: float | None) -> str:
    """A number by itself: three significant digits, trailing zeros kept, thousands in full."""
    if value is not None and 0 < abs(value) < TINY:
        return f"{value:.3g}"
    return fixed(value, decimals([value]))


def column(values: Sequence[float | None]) -> list[str]:
    """Numbers that stand below each other, all with the same decimals."""
    places = decimals(values)
    return [fixed(value, places) for value in values]


def fixed(value: float | None, places: int) -> str:
    """A number with so many decimals; `NONE` for None."""
    if value is None:
        return NONE
    return f"{value:z,.{places}f}" if abs(value) < HUGE else f"{value:.3g}"


def decimals(values: Iterable[float | None]) -> int:
    """Decimals that suit all the numbers of a column.

    Two significant digits of the smallest, but at least three of the largest, and no long tails: a column of shares has
    three decimals although some are next to nothing.
    """
    sizes = [_magnitude(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 0 if any(value is not None for value in values) else 2
    largest = max(sizes)
    least, most = 2 - largest, max(2 - largest, min(3, 4 - largest))
    return max(0, min(max(1 - min(sizes), least), most, MOST_DECIMALS))


def with_deviation(value: float | None, std: float | None, places: int) -> str:
    """`7.25 ± 0.10`, or the value alone where no deviation is known."""
    return fixed(value, places) + (f" ± {fixed(std, places)}" if value is not None and std is not None else "")


def percent(share: float) -> str:
    """A share of one: `79 %`; below a tenth with a decimal, so that little is not nothing."""
    return f"{share * 100:.{1 if 0 < abs(share) < 0.0995 else 0}f}\u00a0%"


def count(num: int) -> str:
    """A whole number with its thousands apart: `5,190`."""
    return f"{num:,}"


def setting(value: object) -> str:
    """A setting as people read it, exact: `0.0005`, `yes`, `not set`."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _magnitude(value: float) -> int:
    """The place of the first digit: 0 for units, -1 for tenths."""
    return math.floor(math.log10(abs(value)))
