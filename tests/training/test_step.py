"""One training step against the tutorial's, and the moving average against its formula."""

from dataclasses import replace

import pytest
import torch
from reference_step import ReferenceStep
from tiny import TINY
from torch.testing import assert_close

from benchmarks.train_step import PlainLoop
from cxrgan.device import can_compile
from cxrgan.generation.latents import seed_latents
from cxrgan.images import to_float
from cxrgan.models import convolution
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64
from cxrgan.training.draws import step_random
from cxrgan.training.step import LOSSES, Step, new_players, update_average

CPU = torch.device("cpu")
NO_LABELS = torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize(("channels", "least_width"), [(1, 128), (3, 128), (3, 1)])
def test_a_fast_fp32_step_equals_the_tutorials(
    channels: int, least_width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "MIN_CHANNELS_WINOGRAD", least_width)
    model = ModelConfig(image_size=32, channels=channels, latent_channels=16, ngf=8, ndf=8)
    config = replace(TINY, model=model, batch_size=16)
    players, plain = new_players(config, CPU), PlainLoop(config)
    plain.generator.load_state_dict(players.generator.state_dict())
    plain.discriminator.load_state_dict(players.discriminator.state_dict())
    step = Step(config, players, CPU, 100)

    for number in range(1, 3):  # the second step meets Adam's moments
        real = torch.randint(0, 256, (16, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
        z = torch.randn(16, *model.latent_shape, generator=step_random(config, number))
        logged = step(number, real, torch.zeros(16, dtype=torch.int64))[:4]
        expected = plain.step(to_float(real).unsqueeze(1).repeat(1, channels, 1, 1), z)
        assert_close(logged, torch.tensor(expected), rtol=1e-4, atol=1e-5)
        for ours, theirs in ((players.generator, plain.generator), (players.discriminator, plain.discriminator)):
            for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
                if ours is players.generator:  # theirs adds the generator's turn to the discriminator's gradient
                    # by the norm: where rounding turns a ReLU off, which depends on the processor, single values differ
                    assert (mine.grad - reference.grad).norm() < 0.01 * reference.grad.norm()  # type: ignore[union-attr, operator]
                apart = (mine - reference).abs() / config.lr  # Adam enlarges the rounding of a gradient near 0
                assert apart.mean() < 2e-3
                assert apart.max() < 0.5
            for name, buffer in ours.named_buffers():
                assert_close(buffer, theirs.get_buffer(name), rtol=1e-4, atol=1e-6)


def test_a_recommended_step_in_float32_is_the_plain_one_but_for_rounding() -> None:
    """With a penalty; the numbers themselves are compared in float64, in `test_reference_step`."""
    model = replace(FAST_64.model, image_size=32, ngf=8, ndf=8, num_classes=2)
    config = replace(FAST_64, model=model, conditional=True, batch_size=24, device="cpu", precision="fp32")
    players = new_players(config, CPU)
    reference = ReferenceStep(players.generator, players.discriminator)
    real = torch.randint(0, 256, (24, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(24) % 2
    logged = Step(config, players, CPU, 100)(8, real, labels)
    expected = reference(8, real, labels, step_random(config, 8))
    assert_close(logged[:2], torch.tensor([expected.loss_d, expected.loss_g]), rtol=1e-4, atol=0)
    for network, gradients in (
        (players.discriminator, reference.gradients_d),
        (players.generator, reference.gradients_g),
    ):
        wanted = torch.cat([gradient.flatten() for gradient in gradients])
        mine = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])  # type: ignore[union-attr]
        assert (mine - wanted).norm() < 0.01 * wanted.norm()


def test_the_generators_turn_leaves_the_discriminator_alone() -> None:
    players = new_players(TINY, CPU)
    real = torch.zeros(8, 32, 32, dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    first = next(players.discriminator.parameters())
    players.optimizer_g.register_step_pre_hook(lambda *_: seen.append(first.grad.clone()))  # type: ignore[union-attr]
    players.optimizer_d.register_step_pre_hook(lambda *_: seen.append(first.grad.clone()))  # type: ignore[union-attr]
    Step(TINY, players, CPU, 100)(1, real, NO_LABELS)
    of_its_own_turn, after_the_generators = seen
    assert torch.equal(of_its_own_turn, after_the_generators)
    assert all(parameter.requires_grad for parameter in players.discriminator.parameters())


def test_the_average_follows_its_half_life_with_batch_norm_statistics() -> None:
    players = new_players(replace(TINY, ema_halflife=100), CPU)
    assert players.average is not None
    before = {name: value.clone() for name, value in players.average.state_dict().items()}
    with torch.no_grad():
        for value in players.generator.state_dict().values():
            value.add_(1)
    update_average(players.average, players.generator, decay=0.25)
    for name, value in players.average.state_dict().items():
        assert_close(value, before[name] + (0.75 if value.is_floating_point() else 1))


def test_a_steps_random_numbers_depend_on_seed_and_step_alone() -> None:
    def draw(config: TrainConfig, number: int) -> torch.Tensor:
        return torch.randn(8, generator=step_random(config, number))

    assert torch.equal(draw(TINY, 5), draw(TINY, 5))
    assert not torch.equal(draw(TINY, 5), draw(TINY, 6))
    assert not torch.equal(draw(TINY, 5), draw(replace(TINY, seed=1), 5))


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_first_weights_share_no_random_numbers_with_latents_and_steps(seed: int) -> None:
    """A seed's latent was the beginning of the first layer: correlation 0.86 at seed 0."""
    config = replace(FAST_64, seed=seed, device="cpu", precision="fp32")
    weights = torch.cat([p.flatten()[:4096] for p in new_players(config, CPU).generator.parameters() if p.dim() > 1])
    latent = seed_latents(config.model, [seed], torch.zeros(1, dtype=torch.int64)).flatten()
    first_step = torch.randn(128, generator=step_random(config, 1))
    for numbers in (latent, first_step):
        windows = weights.unfold(0, len(numbers), 1)
        correlations = torch.corrcoef(torch.cat([numbers[None], windows[::8]]))[0, 1:]
        assert correlations.abs().max() < 0.45  # of 128 numbers: five standard deviations


@pytest.mark.skipif(not can_compile("cpu"), reason="torch.compile finds no C++ compiler here")
def test_a_compiled_step_computes_the_same() -> None:
    rows = []
    for compiled in (False, True):
        config = replace(TINY, compile=compiled)
        real = torch.arange(8 * 32 * 32).remainder(256).to(torch.uint8).view(8, 32, 32)
        rows.append(Step(config, new_players(config, CPU), CPU, 100)(1, real, NO_LABELS)[: len(LOSSES)])
    assert_close(rows[0], rows[1], rtol=1e-4, atol=1e-5)
