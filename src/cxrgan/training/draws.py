"""All random numbers of a training step, drawn on the CPU at its start, so that they are the same on every device."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxrgan.recipes.config import TrainConfig
from cxrgan.training.augment import draw_alterations
from cxrgan.training.distributed import ALONE, Processes

REAL, FAKE, FAKE_OF_G, REAL_OF_G = range(4)
"""The views that D gets of images, in the order in which they are drawn: two in its turn, then those in G's."""


class Draws(NamedTuple):
    """What chance decides in a step on B images."""

    latents: Tensor
    """(B, L_ch, L_w, L_w), standard normal."""
    views: Tensor | None
    """How each view alters the images it is of, (views, 4, B) as `augment` takes them; None where none does."""


class Batch(NamedTuple):
    """What a step on B images is given, on the device: all that differs from step to step."""

    images: Tensor
    """Real ones, (B, C, M, M) float32 in [-1, 1]."""
    labels: Tensor
    """(B,) int64: their classes, and those of the fakes."""
    latents: Tensor
    views: Tensor | None
    """Both as in `Draws`."""
    penalty: Tensor | None
    """What R1 + R2 weigh beside D's loss: gamma / 2 times `penalty_every`; None in a step that takes none."""


def draw(
    config: TrainConfig, number: int, num: int, augment: float, device: torch.device, processes: Processes = ALONE
) -> Draws:
    """The random numbers of step `number` for a process's share of `num` images, on `device`.

    They are decided by the seed and the step's number; each alteration has the probability `augment`.
    """
    random = step_random(config, number)
    latents = processes.share(torch.randn(num, *config.model.latent_shape, generator=random))
    num_views = (4 if config.loss == "relativistic" else 3) if augment else 0
    views = [processes.share(draw_alterations(num, augment, random).T).T for _ in range(num_views)]
    packed = to_device(torch.cat([part.flatten() for part in (latents, *views)]), device)
    drawn, altered = packed.split([latents.numel(), packed.numel() - latents.numel()])
    return Draws(drawn.view(latents.shape), altered.view(num_views, 4, -1) if num_views else None)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU, on `device`; nothing waits for a copy from pinned memory."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def step_random(config: TrainConfig, number: int) -> torch.Generator:
    """The random numbers of a training step, decided by the seed and the step's number alone."""
    return _generator(np.random.SeedSequence([config.seed, number]))


def weights_random(config: TrainConfig) -> torch.Generator:
    """The random numbers of the first weights: not those of a step, nor those that are the latent of the same seed."""
    return _generator(np.random.SeedSequence([config.seed], spawn_key=(0,)))


def _generator(sequence: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
