"""One step of the game: the discriminator learns from real and fake, then the generator from the discriminator.

The mathematics is the tutorial's. What is faster is how: the discriminator's weights get no gradient in the
generator's turn, nothing waits for a number to reach the CPU, Adam is fused, memory is channels-last, and
products run in bf16 where the hardware has it.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cxrgan.images import to_float
from cxrgan.models.dcgan import Discriminator, Generator, initialise
from cxrgan.training.losses import discriminator_loss, generator_loss
from cxrgan.training.recipes import TrainConfig

LOGGED = ("loss_d", "loss_g", "d_real", "d_fake")


@dataclass(frozen=True)
class Players:
    """All that training changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator | None
    """Moving average of the generator, where the recipe has one."""
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam

    @property
    def networks(self) -> dict[str, nn.Module]:
        average = {} if self.average is None else {"average": self.average}
        return {"generator": self.generator, "discriminator": self.discriminator, **average}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimizer_g": self.optimizer_g, "optimizer_d": self.optimizer_d}

    @property
    def sampler(self) -> Generator:
        """The generator that samples are drawn from."""
        return self.average or self.generator


def new_players(config: TrainConfig, device: torch.device) -> Players:
    """Freshly initialised networks and optimisers; the weights depend on the seed alone."""
    random = torch.Generator().manual_seed(config.seed)
    generator, discriminator = Generator(config.model), Discriminator(config.model)
    initialise(generator, random)
    initialise(discriminator, random)
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adam(network: nn.Module) -> torch.optim.Adam:
        betas = (config.beta1, config.beta2)
        return torch.optim.Adam(network.parameters(), lr=config.lr, betas=betas, fused=True)

    average = copy.deepcopy(generator).requires_grad_(False).eval() if config.ema_halflife else None
    return Players(generator, discriminator, average, adam(generator), adam(discriminator))


class Step:
    """Callable that trains `players` by one step."""

    def __init__(self, config: TrainConfig, players: Players, device: torch.device) -> None:
        self.config, self.players, self.device = config, players, device
        self.generator: nn.Module = players.generator
        self.discriminator: nn.Module = players.discriminator
        if config.compile:
            self.generator = torch.compile(players.generator, dynamic=False)  # type: ignore[assignment]
            self.discriminator = torch.compile(players.discriminator, dynamic=False)  # type: ignore[assignment]

    def __call__(self, real: Tensor, latents: Tensor) -> Tensor:
        """Real images (B, M, M) uint8 and latents (B, L_ch, L_w, L_w) -> the values of `LOGGED`, (4,) on the device."""
        players = self.players
        images = to_float(real).unsqueeze(1).expand(-1, self.config.model.channels, -1, -1)
        images = images.contiguous(memory_format=torch.channels_last)

        with self._autocast():
            fakes = self.generator(latents.to(self.device))
            logits_real = self.discriminator(images)
            logits_fake = self.discriminator(fakes.detach())
        loss_d = discriminator_loss(real=logits_real, fake=logits_fake)
        players.optimizer_d.zero_grad()
        loss_d.backward()
        players.optimizer_d.step()

        players.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminator(fakes)
        loss_g = generator_loss(fake=logits, kind=self.config.generator_loss)
        players.optimizer_g.zero_grad()
        loss_g.backward()
        players.optimizer_g.step()
        players.discriminator.requires_grad_(True)

        if players.average is not None:
            decay = 0.5 ** (self.config.batch_size / self.config.ema_halflife)
            update_average(players.average, players.generator, decay)
        scores = logits_real.detach().float().sigmoid().mean(), logits_fake.detach().float().sigmoid().mean()
        return torch.stack([loss_d.detach(), loss_g.detach(), *scores])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, BatchNorm's running statistics included."""
    targets, sources = average.state_dict(), network.state_dict()
    floating = [name for name, value in targets.items() if value.is_floating_point()]
    torch._foreach_lerp_([targets[n] for n in floating], [sources[n] for n in floating], 1 - decay)
    for name in targets.keys() - set(floating):  # BatchNorm's step counters
        targets[name].copy_(sources[name])


def step_latents(config: TrainConfig, step: int) -> Tensor:
    """The latents of training step `step`: (batch_size, L_ch, L_w, L_w), decided by seed and step alone."""
    seed = int(np.random.SeedSequence([config.seed, step]).generate_state(1, np.uint64)[0])
    shape = (config.batch_size, *config.model.latent_shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
