"""Places in the latent space: the plane, the way between classes, the sliders, and the seed's own image."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY
from torch import Tensor

from cxrgan.errors import UserError
from cxrgan.generation.directions import Direction
from cxrgan.generation.explore import MAX_UNITS, Place, on_plane, picture, place_latents
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import CHUNK, great_circle, seed_latents
from cxrgan.models.build import build_generator
from cxrgan.models.config import ModelConfig

CLASSES = {"NORMAL": 30, "BACTERIA": 20, "VIRUS": 50}
SEEDS = (4, 7, 1)


def of_model(model: ModelConfig) -> TrainedGenerator:
    torch.manual_seed(0)
    network = build_generator(model).requires_grad_(False)
    with torch.no_grad():  # fresh weights make grey images: these differ
        for weights in network.parameters():
            weights.mul_(4)
    return TrainedGenerator("tiny", model, network, 1, CLASSES if model.num_classes else {})


STABLE = of_model(replace(TINY.model, networks="stable", num_classes=3))
PLAIN = of_model(replace(TINY.model, latent_size=1, image_size=64))
WIDE = of_model(replace(TINY.model, latent_size=5, image_size=64))


def at(seeds: Tensor, u: float, v: float) -> Tensor:
    centre, right, up = seeds
    return on_plane(centre, right, up, u, v)


def towards(generator: TrainedGenerator, name: str = "tilt") -> Direction:
    return Direction(name, torch.ones(generator.config.latent_shape) / 4, 1.0, 1.0, {name: 1.0})


@pytest.mark.parametrize("generator", [STABLE, PLAIN, WIDE])
@pytest.mark.parametrize("label", [None, "VIRUS"])
def test_the_origin_is_the_seeds_own_image(generator: TrainedGenerator, label: str | None) -> None:
    if label and not generator.classes:
        label = None
    place = Place(*SEEDS, label=label, sliders={"tilt": 0.0})
    assert place.is_seed
    own = generator.sample(1, seed=SEEDS[0], label=label)[0]
    assert np.array_equal(picture(generator, place, [towards(generator)]), own)
    moved = picture(generator, replace(place, sliders={"tilt": 1.0}), [towards(generator)])
    assert not np.array_equal(moved, own)


@pytest.mark.parametrize("generator", [STABLE, PLAIN, WIDE])
def test_the_plane_passes_through_its_seeds(generator: TrainedGenerator) -> None:
    label = "NORMAL" if generator.classes else None
    for seed, u, v in zip(SEEDS, (0, 1, 0), (0, 0, 1), strict=True):
        made = picture(generator, Place(*SEEDS, u=u, v=v, label=label)).astype(int)
        own = generator.sample(1, seed=seed, label=label)[0]
        assert np.abs(made - own).max() <= 1
        assert (made != own).mean() < 0.01


def test_a_walk_to_the_right_is_the_great_circle_that_interpolation_takes() -> None:
    config = replace(STABLE.config, num_classes=0)
    first, last = seed_latents(config, SEEDS[:2], torch.zeros(2))
    for share in (0.0, 0.2, 0.5, 1.0):
        latent = place_latents(STABLE, Place(*SEEDS, u=share, label="NORMAL"))[0, : config.latent_channels]
        torch.testing.assert_close(latent, great_circle(first, last, share))
    way = STABLE.interpolate(SEEDS[:2], 5, "NORMAL")
    made = picture(STABLE, Place(*SEEDS, u=0.25, label="NORMAL")).astype(int)
    assert np.abs(made - way[1]).max() <= 1


def test_a_great_circle_has_its_ends_bit_for_bit_and_its_middle_half_way() -> None:
    first, last = torch.randn(2, 50, generator=torch.Generator().manual_seed(3))
    assert great_circle(first, last, 0) is first
    assert great_circle(first, last, 1) is last
    right_angle = great_circle(torch.tensor([2.0, 0]), torch.tensor([0, 2.0]), 0.5)
    torch.testing.assert_close(right_angle, torch.tensor([math.sqrt(2), math.sqrt(2)]))


def test_the_plane_keeps_the_length_of_latents_that_share_it() -> None:
    points = torch.nn.functional.normalize(torch.randn(3, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    for u, v in np.random.default_rng(0).uniform(-1, 1, (50, 2)):
        assert float(at(points, u, v).norm()) == pytest.approx(1, abs=1e-5)


def test_any_place_of_three_seeds_has_a_usual_length() -> None:
    config = ModelConfig(latent_channels=128)
    for seed in range(20):
        latents = seed_latents(config, (seed, seed + 100, seed + 200), torch.zeros(3))
        lengths = latents.flatten(1).norm(dim=1)
        for u, v in np.random.default_rng(seed).uniform(-1, 1, (10, 2)):
            length = at(latents, u, v).norm()
            assert 0.95 * lengths.min() <= length <= 1.05 * lengths.max()


def test_lines_through_the_origin_are_walked_at_even_speed() -> None:
    centre, right, up = 3 * torch.eye(3)
    for angle in (0.0, 0.4, 2.0, 4.0):
        u, v = math.cos(angle), math.sin(angle)
        for share in (0.1, 0.5, 1.0):
            point = on_plane(centre, right, up, share * u, share * v)
            turned = torch.arccos(torch.dot(point, centre) / 9)
            assert float(turned) == pytest.approx(share * math.pi / 2, abs=1e-3)


def test_the_map_is_smooth_at_the_origin() -> None:
    latents = seed_latents(ModelConfig(latent_channels=128), SEEDS, torch.zeros(3))
    here = at(latents, 0, 0)
    steps = [float((at(latents, u, v) - here).norm()) for u, v in ((1e-3, 0), (0, -1e-3), (-1e-3, 0))]
    assert steps == pytest.approx([1e-3 * math.pi / 2 * float(here.norm())] * 3, rel=0.15)


def test_a_share_of_another_class_mixes_the_channels_and_ends_at_that_class() -> None:
    place = Place(*SEEDS, label="VIRUS", other="NORMAL", share=0.25)
    assert place_latents(STABLE, place)[0, -3:, 0, 0].tolist() == [0.25, 0, 0.75]
    there = picture(STABLE, replace(place, share=1.0)).astype(int)
    assert np.abs(there - STABLE.sample(1, seed=SEEDS[0], label="NORMAL")[0]).max() <= 1


def test_without_a_label_a_place_has_the_class_that_its_seed_draws() -> None:
    (own,) = STABLE.labels(1, SEEDS[0])
    channels = place_latents(STABLE, Place(*SEEDS, u=0.3))[0, -3:, 0, 0].tolist()
    assert channels == [float(name == own) for name in CLASSES]


def test_sliders_add_up_and_keep_the_length() -> None:
    directions = [towards(PLAIN, "a"), replace(towards(PLAIN, "b"), step=-torch.ones(PLAIN.config.latent_shape) / 4)]
    start = place_latents(PLAIN, Place(*SEEDS, u=0.2))
    moved = place_latents(PLAIN, Place(*SEEDS, u=0.2, sliders={"a": 2.0}), directions)
    torch.testing.assert_close(moved.norm(), start.norm())
    step = moved - start * (moved * start).sum() / (start * start).sum()
    assert torch.cosine_similarity(step.flatten(), directions[0].step.flatten(), dim=0) > 0.5
    both = place_latents(PLAIN, Place(*SEEDS, u=0.2, sliders={"a": 2.0, "b": 2.0}), directions)
    torch.testing.assert_close(both, start)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"right": 4}, "three seeds"),
        ({"up": -1}, "three seeds"),
        ({"seed": 2**32}, "three seeds"),
        ({"u": 1.01}, "u is 1.01, but must be from -1 to 1"),
        ({"v": math.nan}, "v is nan, but must be from -1 to 1"),
        ({"other": "VIRUS", "share": -0.1}, "share is -0.1, but must be from 0 to 1"),
        ({"share": 0.1}, "name it as other"),
        ({"sliders": {"tilt": math.inf}}, "tilt is inf"),
        ({"sliders": {"tilt": MAX_UNITS + 0.1}}, "from -3 to 3"),
        ({"sliders": {"nose": 1.0}}, "there is no slider 'nose'; there are: tilt"),
        ({"label": "MUMPS"}, "'MUMPS': its classes are NORMAL, BACTERIA, VIRUS"),
        ({"other": "MUMPS"}, "'MUMPS'"),
    ],
)
def test_a_place_that_is_none_is_refused(place: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        picture(STABLE, Place(**{"seed": 4, "right": 7, "up": 1, **place}), [towards(STABLE)])


def test_a_generator_without_classes_goes_to_none() -> None:
    with pytest.raises(UserError, match="it was not trained by class"):
        picture(PLAIN, Place(*SEEDS, other="NORMAL", share=0.5))


def test_the_seeds_own_image_is_made_as_sample_makes_it_and_others_alone() -> None:
    """In the passes of the usual number, as another may round otherwise; a pointer does not wait for so many."""
    passes: list[int] = []
    hook = STABLE.network.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    picture(STABLE, Place(*SEEDS))
    picture(STABLE, Place(*SEEDS, u=0.1))
    hook.remove()
    assert passes == [CHUNK, 1]


@pytest.mark.parametrize("name", ["cxr-64", "cxr-128"])
def test_a_shipped_generators_origin_is_the_image_of_sample(name: str) -> None:
    generator = load_generator(name)
    assert np.array_equal(picture(generator, Place(3, 5, 9)), generator.sample(1, seed=3)[0])
