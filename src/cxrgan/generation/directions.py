"""Directions of the latent space that change one measured attribute of the images and leave the others.

Each attribute is regressed on the latents of many generated images. For normal latents the coefficients are the mean
gradient of the attribute (Stein's lemma), however crooked it is; the least move with the wanted effect along one
gradient, and none along the others, is a column of their pseudo-inverse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cxrgan.generation.attributes import attributes
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.generation.latents import render, with_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Measure = Callable[["NDArray[np.uint8]"], Mapping[str, "Floats"]]
"""Images (N, M, M) uint8 -> name of each attribute -> (N,)."""

NUM_FITTED = 1024  # images that the directions are found from
NUM_MOVED = 32  # others that they are tried on, a unit up and a unit down
SEED = 0  # of the latents of both
OUTLIER = 3  # deviations from the median where a formula's answer is cut off: it has met no chest, or not its heart
LEAST_R2 = 0.1  # of an attribute that has a gradient; what there is below that is chance, and would bend the others
LEAST_EFFECT = 0.3  # of a direction that does what it says


@dataclass(frozen=True, eq=False)
class Direction:
    """A way to change one attribute, and how well it does; made by `find_directions`.

    Its unit is meant to change the attribute by one deviation, that of images of one class.
    """

    name: str
    """Of the attribute."""
    step: Tensor
    """What one unit adds to a latent, before that gets its length back: (L_ch, L_w, L_w) float32."""
    deviation: float
    """The attribute's deviation among the images of a class, in its own units."""
    r2: float
    """Share of the variance within a class that a linear function of the latent foresees, each image by a function
    that was fitted without it. 0 or less: none."""
    effects: Mapping[str, float]
    """Each attribute -> what one unit was measured to change it by on average, in deviations; a perfect direction has 1
    for its own and 0 for others."""

    @property
    def effect(self) -> float:
        """On its own attribute."""
        return self.effects[self.name]

    @property
    def works(self) -> bool:
        """Whether it is fit for a slider."""
        return self.r2 >= LEAST_R2 and self.effect >= LEAST_EFFECT


def find_directions(generator: TrainedGenerator, measure: Measure = attributes) -> tuple[Direction, ...]:
    """A direction for each attribute, in the order in which `measure` names them; always the same.

    All classes weigh the same. An attribute that nothing changes, or that no linear function foresees, has a direction
    too: its step is zero, and its `r2` and `effects` say so.
    """
    latents, labels = _latents(generator, NUM_FITTED + NUM_MOVED)
    with_label = with_classes(latents, labels, generator.config.num_classes)
    measured = measure(_images(generator, with_label[:NUM_FITTED]))
    names, values = list(measured), np.stack(list(measured.values()), 1)
    limits = _limits(values)
    values = _centred(values.clip(*limits), labels[:NUM_FITTED])
    deviations = values.std(0)
    flat = _centred(latents[:NUM_FITTED].flatten(1).double().numpy(), labels[:NUM_FITTED])
    gradients, r2 = ridge(flat, _divided(values, deviations), torch.bincount(labels)[labels[:NUM_FITTED]].numpy())
    gradients = np.where(r2 >= LEAST_R2, gradients, 0)
    steps = torch.from_numpy(np.linalg.pinv(gradients)).float().reshape(-1, *latents.shape[1:])

    def after(step: Tensor) -> "Floats":
        moved = with_classes(move(latents[NUM_FITTED:], step), labels[NUM_FITTED:], generator.config.num_classes)
        found = measure(_images(generator, moved))
        return np.stack([found[name] for name in names], 1).clip(*limits)

    effects = [_divided((after(step) - after(-step)).mean(0) / 2, deviations) for step in steps]
    return tuple(
        Direction(name, step, float(deviation), float(share), dict(zip(names, map(float, effect), strict=True)))
        for name, step, deviation, share, effect in zip(names, steps, deviations, r2, effects, strict=True)
    )


def move(latents: Tensor, step: Tensor) -> Tensor:
    """Latents (N, L_ch, L_w, L_w) a step further, on the sphere: each keeps its length, which the generator knows."""
    moved = latents + step
    ratios: Tensor = latents.flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1)
    return moved * ratios[:, None, None, None]


def ridge(x: "Floats", y: "Floats", num_alike: "NDArray[np.int64] | int") -> "tuple[Floats, Floats]":
    """Coefficients (D, K) of y (N, K) on x (N, D), and the R^2 (K,) that they have on images they were not fitted to.

    Both are centred over groups, image i over `num_alike[i]` of them. With the penalty D the coefficients are the
    posterior mean where half of the variance of `y` is linear in `x` of unit variance, and half is not. Each image is
    foreseen without itself, which needs no second fit (Allen 1974, PRESS). Solved in the N images, as D may be larger.
    """
    penalty = x.shape[1]
    inverse = np.linalg.inv(x @ x.T + penalty * np.eye(len(x)))
    dual = inverse @ y
    left_out = penalty * dual / (penalty * np.diag(inverse) - 1 / num_alike)[:, None]
    return x.T @ dual, 1 - _divided((left_out**2).sum(0), (y**2).sum(0), otherwise=1)


def _latents(generator: TrainedGenerator, num: int) -> tuple[Tensor, Tensor]:
    """Normal latents (N, L_ch, L_w, L_w) without class, and the classes in turn (N,)."""
    draws = torch.randn(num, *generator.config.latent_shape, generator=torch.Generator().manual_seed(SEED))
    return draws, torch.arange(num) % max(1, generator.config.num_classes)


def _images(generator: TrainedGenerator, latents: Tensor) -> "NDArray[np.uint8]":
    images: NDArray[np.uint8] = render(generator.network, latents).numpy()
    return images


def _limits(values: "Floats") -> "tuple[Floats, Floats]":
    """Beyond which values (N, K) are outliers: (K,) each.

    A normal's standard deviation is 1.4826 times its median absolute deviation.
    """
    median = np.median(values, 0)
    reach = OUTLIER * 1.4826 * np.median(np.abs(values - median), 0)
    return median - reach, median + reach


def _centred(values: "Floats", labels: Tensor) -> "Floats":
    """Values (N, D) less the mean of their class."""
    means = np.stack([values[labels == label].mean(0) for label in labels.unique()])
    centred: Floats = values - means[labels]
    return centred


def _divided(values: "Floats", by: "Floats", otherwise: float = 0) -> "Floats":
    """The quotient, and `otherwise` where `by` is zero."""
    return np.divide(values, by, out=np.full_like(values, otherwise), where=by > 0)
