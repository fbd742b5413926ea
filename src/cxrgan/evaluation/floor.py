"""The floor of a metric: the score of real images against other real images, as the mean over many draws.

A draw splits the real images at random into two, in the proportion of the comparison (n_real, n_fake) and as large as
possible.

The Frechet distance falls with the number of images. Where the draws are smaller than the comparison, it is scaled to
the numbers of the comparison by the law of a distance whose true value is zero: the remainder comes from the errors of
two means and two covariances, whose squares fall as one over the number of images, c (1 / n_real + 1 / n_fake).
`benchmarks/floor.py` checks the law on real features. The other metrics depend on the proportion of the two numbers and
little on their size; their floors are not corrected.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrgan.errors import UserError
from cxrgan.evaluation.metrics import Features
from cxrgan.fields import read_json
from cxrgan.files import write_json

FORMAT = 1  # of the cache's files; another one wherever a metric comes to give other numbers

Measure = Callable[[Features, Features], Mapping[str, float]]
"""(real, fake) -> metric -> value; ValueError for too few images."""


@dataclass(frozen=True)
class Draws:
    """What a floor is the mean of."""

    n_real: int
    """Real and, below, generated images of the comparison; none where a metric looks at the generated alone."""
    n_fake: int
    num: int
    seed: int

    def numbers(self, num_images: int) -> tuple[int, int]:
        """How many of the real images stand for the real ones in each draw, and how many for the generated ones.

        Two at least, where there are four: a Frechet distance can then be told.
        """
        if self.n_real + self.n_fake <= num_images:
            return self.n_real, self.n_fake
        in_proportion = round(num_images * self.n_real / (self.n_real + self.n_fake))
        as_real = max(0, min(max(in_proportion, min(2, self.n_real)), num_images - 2))
        return as_real, num_images - as_real

    def rows(self, num_images: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Two disjoint sets of rows of the real images at a time."""
        numbers = self.numbers(num_images)
        random = np.random.default_rng(self.seed)
        for _ in range(self.num):
            order = random.permutation(num_images)
            yield order[: numbers[0]], order[numbers[0] : sum(numbers)]


class Floor(NamedTuple):
    """A metric between real and other real images."""

    mean: float
    std: float
    """Of one draw, not of the mean."""


def measure_floors(measure: Measure, features: Features, draws: Draws) -> dict[str, Floor]:
    """Metric -> its floor, from the features (N, D) of the real images.

    Empty where there are too few images to measure anything.
    """
    num = len(features)
    try:
        found = [measure(features[as_real], features[as_fake]) for as_real, as_fake in draws.rows(num)]
    except ValueError:
        return {}
    floors = {}
    for metric in found[0]:
        values = np.array([values[metric] for values in found])
        if metric == "frechet_distance":
            values *= frechet_correction(draws.numbers(num), (draws.n_real, draws.n_fake))
        floors[metric] = Floor(float(values.mean()), float(values.std(ddof=1)))
    return floors


def frechet_correction(numbers: tuple[int, int], wanted: tuple[int, int]) -> float:
    """The factor from the Frechet distance of two samples of one distribution to that at other numbers of images."""
    return (1 / wanted[0] + 1 / wanted[1]) / (1 / numbers[0] + 1 / numbers[1])


def kept_floors(
    measure: Measure, features: Features, draws: Draws, *, name: str, cache: Path | None
) -> dict[str, Floor]:
    """`measure_floors`, from the folder `cache` where it has them: by `name`, the draws and every feature."""
    if cache is None:
        return measure_floors(measure, features, draws)
    digest = hashlib.sha256(f"{FORMAT} {name} {draws} {features.dtype} {features.shape}".encode())
    digest.update(np.ascontiguousarray(features).data)
    file = cache / f"floor-{digest.hexdigest()}.json"
    with contextlib.suppress(FileNotFoundError, UserError):  # a damaged file is made again
        kept = read_json(file, mend="remove it")
        tables = {metric: kept.table(metric) for metric in kept.values}
        return {metric: Floor(table.number("mean"), table.number("std", 0)) for metric, table in tables.items()}
    floors = measure_floors(measure, features, draws)
    with contextlib.suppress(OSError):  # not kept: that costs time, and `extract` has said so
        write_json(file, {metric: floor._asdict() for metric, floor in floors.items()})
    return floors
