"""Directions found from images, against generators whose attributes are known functions of the latent."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxrgan.generation.directions import NUM_FITTED, Direction, find_directions, move, ridge
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.models.build import build_generator
from cxrgan.models.config import ModelConfig

CONFIG = ModelConfig(image_size=32, latent_channels=48)
GREY = torch.eye(48)[0]  # what the brightness of `Planted` follows
RAMP = 0.6 * torch.eye(48)[0] + 0.8 * torch.eye(48)[1]  # what its ramp follows: much of the same


class Planted(nn.Module):
    """Images whose brightness and whose ramp from left to right are linear in the latent; a class adds brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, latents: Tensor) -> Tensor:
        z = latents.flatten(1)
        grey, ramp = z[:, :48] @ GREY, z[:, :48] @ RAMP
        across = torch.linspace(-1, 1, 32)
        lines = 0.1 * grey[:, None] + 0.08 * ramp[:, None] * across + 0.2 * z[:, 48:49].sum(1, keepdim=True)
        return lines[:, None, None, :].expand(-1, 1, 32, -1)


def measure(images: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float64]]:
    grey = images.mean((1, 2))
    return {
        "grey": grey,
        "ramp": images[:, :, 16:].mean((1, 2)) - images[:, :, :16].mean((1, 2)),
        "size": np.full(len(images), 32.0),
        "chance": np.modf(np.sin(grey * 9876.5) * 1234.5)[0],
    }


def planted(num_classes: int = 0) -> TrainedGenerator:
    classes = {f"class {index}": 10 for index in range(num_classes)}
    return TrainedGenerator("planted", replace(CONFIG, num_classes=num_classes), Planted(), 1, classes)


@pytest.fixture(scope="module", params=[0, 2, 3])
def found(request: pytest.FixtureRequest) -> Mapping[str, Direction]:
    return {direction.name: direction for direction in find_directions(planted(request.param), measure)}


def test_what_was_planted_is_found_and_nothing_else_moves(found: Mapping[str, Direction]) -> None:
    for name, other in (("grey", "ramp"), ("ramp", "grey")):
        direction = found[name]
        assert direction.r2 > 0.98
        assert direction.works
        assert direction.effect == pytest.approx(1, abs=0.1)
        assert direction.effects[other] == pytest.approx(0, abs=0.1)


def test_a_direction_is_the_least_move_that_changes_its_attribute_alone(found: Mapping[str, Direction]) -> None:
    least = torch.linalg.pinv(torch.stack([GREY, RAMP])).T
    for name, true in zip(("grey", "ramp"), least, strict=True):
        step = found[name].step.flatten()
        assert torch.cosine_similarity(step, true, dim=0) > 0.99
        assert float(step.norm() / true.norm()) == pytest.approx(1, abs=0.15)


def test_the_deviation_is_that_within_a_class(found: Mapping[str, Direction]) -> None:
    assert found["grey"].deviation == pytest.approx(0.1 * 127.5, rel=0.1)  # the first class is brighter by twice that


def test_an_attribute_that_nothing_changes_has_a_direction_that_does_nothing(found: Mapping[str, Direction]) -> None:
    still = found["size"]
    assert (still.r2, still.deviation, still.effect, still.works) == (0, 0, 0, False)
    assert not still.step.any()


def test_an_attribute_that_no_line_foresees_is_reported_as_such(found: Mapping[str, Direction]) -> None:
    chance = found["chance"]
    assert chance.r2 < 0.05
    assert chance.effect == 0
    assert not chance.works
    assert not chance.step.any()


def test_directions_are_always_the_same_and_leave_the_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    first, second = (find_directions(planted(2), measure) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.step, b.step)
        assert (a.name, a.r2, a.deviation, a.effects) == (b.name, b.r2, b.deviation, b.effects)


def test_outliers_do_not_spoil_a_direction() -> None:
    def spoilt(images: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float64]]:
        found = dict(measure(images))
        found["grey"][::50] = 1e6
        return found

    step, true = find_directions(planted(), spoilt)[0].step.flatten(), torch.linalg.pinv(torch.stack([GREY, RAMP])).T[0]
    assert torch.cosine_similarity(step, true, dim=0) > 0.9


@pytest.mark.parametrize("networks", ["dcgan", "stable"])
def test_networks_with_and_without_styles_and_latents_of_any_shape_have_directions(networks: str) -> None:
    model = ModelConfig(32, latent_channels=50, latent_size=5, ngf=1, networks=networks, num_classes=3)  # type: ignore[arg-type]
    assert model.latent_channels * model.latent_size**2 > NUM_FITTED
    torch.manual_seed(0)
    generator = TrainedGenerator("new", model, build_generator(model), 1, {"a": 1, "b": 1, "c": 1})
    for direction in find_directions(generator, lambda images: {"grey": images.mean((1, 2))}):
        assert direction.step.shape == (50, 5, 5)
        assert torch.isfinite(direction.step).all()


def test_a_move_keeps_the_length_of_a_latent() -> None:
    latents, step = torch.randn(5, 7, 3, 3, generator=torch.Generator().manual_seed(1)), torch.ones(7, 3, 3)
    moved = move(latents, step)
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), latents.flatten(1).norm(dim=1))
    assert torch.equal(move(latents, 0 * step), latents)
    assert (moved * step > latents * step).float().mean() > 0.8


@pytest.mark.parametrize(("num", "width"), [(30, 5), (30, 60)])
def test_each_image_is_foreseen_as_by_a_fit_without_it(num: int, width: int) -> None:
    random = np.random.default_rng(0)
    x, groups = random.normal(size=(num, width)), np.arange(num) % 2
    y = x[:, :2] @ np.array([[1.0, 0], [0.5, 2]]) + random.normal(size=(num, 2)) + 3 * groups[:, None]

    def fitted(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Coefficients on x, penalised, and on the groups, not."""
        design = np.concatenate([x, np.eye(2)[groups]], 1)[rows]
        penalty = width * np.diag([1.0] * width + [0, 0])
        found: NDArray[np.float64] = np.linalg.solve(design.T @ design + penalty, design.T @ y[rows])
        return found

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = values - np.stack([values[groups == group].mean(0) for group in (0, 1)])[groups]
        return found

    everything = np.ones(num, bool)
    coefficients, r2 = ridge(centred(x), centred(y), np.full(num, num // 2))
    np.testing.assert_allclose(coefficients, fitted(everything)[:width], atol=1e-9)
    design = np.concatenate([x, np.eye(2)[groups]], 1)
    left_out = np.stack([y[i] - design[i] @ fitted(np.arange(num) != i) for i in range(num)])
    np.testing.assert_allclose(r2, 1 - (left_out**2).sum(0) / (centred(y) ** 2).sum(0), atol=1e-9)
