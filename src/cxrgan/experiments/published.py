"""What the two reports ran and printed: their experiments, and the stable recipe at the same budgets."""

from dataclasses import dataclass, replace

from cxrgan.evaluation.rulers import Ruler
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.runs.results import Published

RULERS_DURING: tuple[Ruler, ...] = ("domain", "inception")
"""What a run is measured with while it trains: distances. The Inception Score is taken of the finished run."""
MEASURED_EVERY = 500  # steps, before scaling: the second report's iterations are multiples of it


@dataclass(frozen=True)
class Experiment:
    """A run to be made and measured."""

    name: str
    """Also the name of its run folder."""
    config: TrainConfig
    published: Published | None = None


REPORTED = {
    "exp1": Published(2.0149, 1.0403),
    "exp2": Published(1.7195, 0.7332),
    "exp3": Published(1.5632, 0.4905),
    "exp4": Published(1.8693, 1.4619),
    "exp5": Published(1.0088, 248.79, "the samples were noise"),
    "exp6": Published(1.0010, 148.63, "poor samples"),
}
"""The first report's six experiments."""

EXPERIMENTS = (
    *(Experiment(name, RECIPES[name], published) for name, published in REPORTED.items()),
    Experiment("fast-64", replace(RECIPES["fast-64"], conditional=True)),
    Experiment("stable-128", replace(RECIPES["stable-128"], conditional=True, epochs=RECIPES["exp5"].epochs)),
)
"""The six, and the stable recipe by class at the same budgets."""
