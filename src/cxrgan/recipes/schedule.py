"""How settings change over the length of a run: along half a cosine, from their first values to their final ones.

R3GAN (Huang et al. 2024) lowers the learning rate and gamma, and raises beta2 and the average's half-life, over a run.
A value is a function of the step and of the number of steps alone, so that a resumed run continues exactly. A run that
is made longer follows the longer schedule from then on: its rates go up a little where they had come down, and it is
not the run that it would have been from the start.
"""

import math
from typing import NamedTuple

from cxrgan.recipes.config import TrainConfig


class Rates(NamedTuple):
    """What a schedule says of one step."""

    lr: float
    gradient_penalty: float
    beta2: float
    ema_halflife: float
    """In images."""


def rates(config: TrainConfig, step: int, num_steps: int) -> Rates:
    """The rates of `step`, from 1 to `num_steps`; those of the config itself where it has no final ones."""
    share = (1 - math.cos(math.pi * min(step / num_steps, 1))) / 2

    def between(first: float, final: float | None) -> float:
        return first if final is None else first + share * (final - first)

    return Rates(
        lr=between(config.lr, config.final_lr),
        gradient_penalty=between(config.gradient_penalty, config.final_gradient_penalty),
        beta2=between(config.beta2, config.final_beta2),
        ema_halflife=between(config.ema_halflife, config.final_ema_halflife),
    )
