"""The probes of samples and of the discriminator against cases whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY
from torch import nn

from cxrgan.models.stable import BatchSpread, Discriminator
from cxrgan.training.probe import opinion, sample_health

RANDOM = np.random.default_rng(0)
REAL = RANDOM.integers(0, 256, (40, 32, 32), dtype=np.uint8)


def test_other_draws_of_the_same_kind_are_as_varied_and_do_not_repeat() -> None:
    health = sample_health(RANDOM.integers(0, 256, (40, 32, 32), dtype=np.uint8), REAL)
    assert abs(health["diversity"] - 1) < 0.05
    assert health["repeats"] == 0
    assert abs(health["grain"] - 1) < 0.05


def test_three_images_over_and_over_are_repeats() -> None:
    health = sample_health(REAL[np.arange(40) % 3], REAL)
    assert health["repeats"] == 1
    assert 0.5 < health["diversity"] < 0.8  # 3 different ones are far from each other


def test_variations_on_one_image_lack_diversity() -> None:
    noise = RANDOM.integers(-5, 6, (40, 32, 32))
    health = sample_health((REAL[0] // 2 + 60 + noise).astype(np.uint8), REAL)
    assert health["diversity"] < 0.1
    assert health["repeats"] == 1


def test_grain_is_high_for_noise_and_low_for_a_wash() -> None:
    ramps = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (40, 32, 1))
    assert sample_health(REAL, ramps)["grain"] > 20
    assert sample_health(ramps, REAL)["grain"] < 0.05


def test_an_opinion_is_of_the_images_own_classes_and_leaves_the_network_as_it_was() -> None:
    class Grey(nn.Module):
        """Logit 0 is the mean grey value in [-1, 1], logit 1 ten times that."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 10.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return x.mean((1, 2, 3))[:, None] * self.scale

    network = Grey()
    images = torch.tensor([0, 255] * 4, dtype=torch.uint8)[:, None, None].expand(8, 8, 8)
    found = opinion(network, images, torch.tensor([0, 1] * 4), channels=1, batch_size=4)
    assert found is not None
    assert found.mean == np.float32(0.5 * (-1 + 10))
    assert found.error == pytest.approx(np.std([-1.0, 10.0] * 4, ddof=1) / 8**0.5)
    assert network.training


def test_the_opinion_of_the_stable_discriminator_does_not_depend_on_how_many_images_it_is_asked_about() -> None:
    torch.manual_seed(0)
    network = Discriminator(replace(TINY.model, networks="stable"))
    last = network[-2]
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        last.weight[:, -1] = 1.0  # the spread of the batch weighs much
    images = torch.from_numpy(RANDOM.integers(0, 256, (200, 32, 32), dtype=np.uint8))
    labels = torch.zeros(200, dtype=torch.int64)

    def asked(num: int, batch_size: int = 32) -> float:
        found = opinion(network, images[:num], labels[:num], channels=1, batch_size=batch_size)
        assert found is not None
        return found.mean

    assert asked(195) == asked(192)
    assert asked(199, 200) == pytest.approx(asked(192), rel=0.01)
    assert abs(asked(192) - asked(64)) < 0.01 * asked(192)
    assert opinion(network, images[:7], labels[:7], channels=1, batch_size=32) is None


def test_batch_spread_is_zero_for_equal_images_and_the_deviation_for_others() -> None:
    spread = BatchSpread()
    assert spread(torch.ones(8, 3, 4, 4))[:, 3].max() < 2e-4
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    y = spread(x)
    assert torch.equal(y[:, :3], x)
    torch.testing.assert_close(y[:, 3], x.std(0, correction=0).mean().expand(8, 4, 4), rtol=1e-3, atol=1e-3)


def test_batch_spread_compares_images_within_groups_of_eight() -> None:
    x = torch.zeros(16, 1, 2, 2)
    x[::2] = torch.arange(8.0)[:, None, None, None]  # images 0, 2, ..., 14 are one group, the odd ones another
    y = BatchSpread()(x)
    assert y[1::2, 1].max() < 2e-4
    assert y[::2, 1].min() > 2


def test_the_stable_discriminator_has_no_batch_norm_and_a_logit_for_each_class() -> None:
    network = Discriminator(replace(TINY.model, networks="stable", num_classes=3))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network(torch.zeros(6, 1, 32, 32)).shape == (6, 3)
