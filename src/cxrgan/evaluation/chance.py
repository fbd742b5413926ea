"""What chance does: thresholds that it rarely passes, and intervals of shares. Numbers in, numbers out."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TAIL = 0.1  # of the scores of held-out images, the part that a threshold is extrapolated from
Z = 1.959964  # of a normal distribution, 95 % two-sided


class Interval(NamedTuple):
    """95 %."""

    low: float
    high: float


def tail_threshold(scores: NDArray[np.floating], probability: float) -> float:
    """The score that another one like these (N,) passes with this probability, however small.

    The excesses over the `TAIL` quantile are taken as exponential, as those of logarithms of a power law are. The mean
    of m excesses is itself uncertain: a new one passes x with the probability (1 + x / (m * mean))^-m, and so the
    threshold is the higher the fewer scores there are.
    """
    start = float(np.quantile(scores, 1 - TAIL))
    excesses = scores[scores > start] - start
    if probability >= TAIL or not len(excesses):
        return float(np.quantile(scores, 1 - min(probability, TAIL)))
    num = len(excesses)
    return start + float(excesses.sum()) * math.expm1(math.log(TAIL / probability) / num)


def wilson(found: int, num: int) -> Interval:
    """Of a share `found` / `num` (Wilson 1927)."""
    share, spread = found / num, Z**2 / num
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / num + spread / (4 * num)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def chance_below(rank: int, num_others: int, num: int) -> Interval:
    """Which share of `num` values lies below the `rank`-th smallest of `num_others` others, all of one distribution.

    That number is distributed as the negative hypergeometric distribution says, exactly and whatever the distribution.
    """
    counts = np.arange(num + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, num + num_others + 1)))])

    def log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(log_factorial[n] - log_factorial[k] - log_factorial[n - k])

    ways = log_choose(counts + rank - 1, counts)
    ways += log_choose(num - counts + num_others - rank, num - counts)
    total = np.cumsum(np.exp(ways - log_choose(np.array([num + num_others]), np.array([num]))))
    low, high = np.searchsorted(total, [0.025, 0.975])
    return Interval(low / num, min(int(high), num) / num)
