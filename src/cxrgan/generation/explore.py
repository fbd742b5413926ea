"""A place in the latent space -> its picture: a plane through three seeds, a share between two classes, and sliders."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.generation.directions import Direction, move
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.generation.latents import MAX_SEED, angle_between, render, seed_latents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_UNITS = 3.0
"""How far a slider goes to either side, in deviations of its attribute."""


@dataclass(frozen=True)
class Place:
    """Where somebody is in the latent space of a generator. UserError for a place outside its limits."""

    seed: int
    """Whose image is at (0, 0)."""
    right: int
    """The seed at (1, 0); the way there is `latents.great_circle`."""
    up: int
    """The seed at (0, 1)."""
    u: float = 0.0
    """From -1 to 1."""
    v: float = 0.0
    """From -1 to 1."""
    label: str | None = None
    """The class; None for the one that the seed draws."""
    other: str | None = None
    """The class to go to."""
    share: float = 0.0
    """How far on the way to it, from 0 to 1."""
    sliders: Mapping[str, float] = field(default_factory=dict)
    """Name of a direction -> units along it, from -`MAX_UNITS` to `MAX_UNITS`; 0 where it is not named."""

    def __post_init__(self) -> None:
        seeds = (self.seed, self.right, self.up)
        if len(set(seeds)) < 3 or min(seeds) < 0 or max(seeds) > MAX_SEED:
            raise UserError(f"cannot lay a plane through {shown(seeds)}: it takes three seeds from 0 to {MAX_SEED}")
        limits = {"u": (self.u, -1.0, 1.0), "v": (self.v, -1.0, 1.0), "share": (self.share, 0.0, 1.0)}
        limits |= {name: (units, -MAX_UNITS, MAX_UNITS) for name, units in self.sliders.items()}
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise UserError(f"{name} is {shown(value)}, but must be from {least:g} to {most:g}")
        if self.share and self.other is None:
            raise UserError(f"{self.share:g} of the way to another class needs that class: name it as other")

    @property
    def is_seed(self) -> bool:
        """Whether this is where the image of `seed` is."""
        return not (self.u or self.v or self.share or any(self.sliders.values()))


def picture(generator: TrainedGenerator, place: Place, directions: Sequence[Direction] = ()) -> "NDArray[np.uint8]":
    """The image at a place: (M, M) uint8; where the seed itself is, that of `generator.sample`, bit for bit.

    Sliders move along `directions`, from `find_directions`. UserError for a class or a slider that there is not.
    """
    latents = place_latents(generator, place, directions)
    images = render(generator.network, latents) if place.is_seed else render(generator.network, latents, chunk=1)
    image: NDArray[np.uint8] = images[0].numpy()
    return image


def place_latents(generator: TrainedGenerator, place: Place, directions: Sequence[Direction] = ()) -> Tensor:
    """The latent of a place with its class: (1, L_ch + classes, L_w, L_w) float32."""
    known = {direction.name: direction.step for direction in directions}
    unknown = [name for name in place.sliders if name not in known]
    if unknown:
        raise UserError(f"there is no slider {shown(unknown[0])}; there are: {', '.join(known) or 'none'}")
    config = replace(generator.config, num_classes=0)
    seeds = (place.seed, place.right, place.up)
    centre, right, up = seed_latents(config, seeds, torch.zeros(3))
    latent = on_plane(centre, right, up, place.u, place.v)[None]
    steps = [units * known[name] for name, units in place.sliders.items()]
    latent = move(latent, torch.stack(steps).sum(0)) if steps else latent
    classes = _class_shares(generator, place)[None, :, None, None]
    return torch.cat([latent, classes.expand(-1, -1, *latent.shape[2:])], 1)


def on_plane(centre: Tensor, right: Tensor, up: Tensor, u: float, v: float) -> Tensor:
    """The latent at (u, v) of the map through three latents of any one shape: at (0, 0), (1, 0) and (0, 1).

    It is the exponential map of the sphere at `centre`, exp(t) = cos |t| centre + sin |t| t / |t| (Absil, Mahony and
    Sepulchre 2008, section 5.4), on the tangents that lead to `right` and `up`: every straight line through (0, 0) is a
    great circle, walked at even speed. Two normal latents are about 90 degrees apart, and their tangents too, so a unit
    is about 90 degrees either way. Across such a line lengths shrink by sin(r) / r at r radians.
    Latents of one length keep it all over the plane; others pass from one to the other as on `great_circle`.
    """
    (angle_u, tangent_u), (angle_v, tangent_v) = (_tangent(centre, end) for end in (right, up))
    a, b = u * angle_u, v * angle_v
    cosine = torch.cos(angle_between(tangent_u, tangent_v))
    radius = (a * a + b * b + 2 * a * b * cosine).clamp_min(0).sqrt()
    return torch.cos(radius) * centre + torch.sinc(radius / math.pi) * (a * tangent_u + b * tangent_v)


def _tangent(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The angle from one latent to another, and the tangent at the first towards the second, as long as they are."""
    angle = angle_between(start, end)
    return angle, (end - torch.cos(angle) * start) / torch.sin(angle)


def _class_shares(generator: TrainedGenerator, place: Place) -> Tensor:
    """What of each class a place has: (classes,) float32."""
    shares = dict.fromkeys(generator.classes, 0.0)
    for name, share in ((place.label, 1 - place.share), (place.other, place.share)):
        if share or name is not None:
            (own,) = generator.labels(1, place.seed, name)
            shares[own] = shares.get(own, 0.0) + share
    return torch.tensor(list(shares.values()))[: generator.config.num_classes]
