"""Truncated styles: nothing at 1, one style at 0, and always the same image of a seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from cxrgan.cli.main import main
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import seed_labels, seed_latents
from cxrgan.models import stable
from cxrgan.models.build import build_generator
from cxrgan.models.stable import NUM_OF_MEAN, Truncated


@pytest.fixture(scope="module")
def shipped() -> TrainedGenerator:
    return load_generator("cxr-64")


def test_at_one_nothing_changes(shipped: TrainedGenerator) -> None:
    assert np.array_equal(shipped.sample(3, truncation=1.0), shipped.sample(3))
    almost = shipped.sample(3, truncation=1 - 1e-9).images.astype(int)
    assert np.abs(almost - shipped.sample(3).images).max() <= 1


def test_less_truncation_is_more_variety(shipped: TrainedGenerator) -> None:
    spread = [shipped.sample(32, label="NORMAL", truncation=psi).images.std(0).mean() for psi in (0.0, 0.5, 1.0, 1.5)]
    assert spread == sorted(spread)
    assert spread[0] < 0.9 * spread[2]


def test_the_image_of_a_seed_is_the_same_whatever_the_batch(shipped: TrainedGenerator) -> None:
    many = shipped.sample(20, seed=5, truncation=0.6)
    assert np.array_equal(shipped.sample(1, seed=17, label=many.labels[12], truncation=0.6)[0], many[12])


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("latent_size", [1, 5])
def test_styles_lie_on_the_way_from_the_mean_of_their_class(num_classes: int, latent_size: int) -> None:
    model = replace(
        TINY.model,
        networks="stable",
        num_classes=num_classes,
        latent_size=latent_size,
        image_size=64,
        latent_channels=6,
    )
    network = build_generator(model)
    assert isinstance(network, stable.Generator)
    latents = seed_latents(model, range(7), seed_labels([1] * num_classes, range(7)))
    seen: list[torch.Tensor] = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "synthesise", lambda x, style: seen.append(style))
        for psi in (0.0, 0.25, 2.0):
            Truncated(network, model, psi)(latents)
        styles = network.styles(latents)
        draws = torch.randn(NUM_OF_MEAN, *model.latent_shape, generator=torch.Generator().manual_seed(0))
        for index, latent in enumerate(latents):
            own = latent[6:].expand(NUM_OF_MEAN, -1, -1, -1)
            mean = network.styles(torch.cat([draws, own], 1)).mean(0)
            for psi, found in zip((0.0, 0.25, 2.0), seen, strict=True):
                torch.testing.assert_close(found[index], mean + psi * (styles[index] - mean), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("psi", [-0.1, 2.1, float("nan"), float("inf")])
def test_a_truncation_that_cannot_be_is_refused(shipped: TrainedGenerator, psi: float) -> None:
    with pytest.raises(UserError, match="but must be from 0 to 2; 1 is none"):
        shipped.sample(1, truncation=psi)


def test_networks_without_styles_refuse_it() -> None:
    plain = TrainedGenerator("old", TINY.model, build_generator(TINY.model), 1, {})
    assert len(plain.sample(2)) == 2
    with pytest.raises(UserError, match="old has no styles to truncate"):
        plain.sample(2, truncation=0.7)


def test_the_command_line_truncates(shipped: TrainedGenerator, tmp_path: Path) -> None:
    arguments = ["generate", "cxr-64", "--num", "2", "--format", "npz", "--truncation", "0.5"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    with np.load(tmp_path / "out" / "images.npz") as made:
        assert np.array_equal(made["images"], shipped.sample(2, truncation=0.5))
    way = shipped.interpolate((1, 2), 3, "NORMAL", truncation=0.5)
    assert np.array_equal(way[0], shipped.sample(1, seed=1, label="NORMAL", truncation=0.5)[0])
