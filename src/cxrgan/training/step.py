"""One step of the game: the discriminator learns from real and fake, then the generator from the discriminator.

With a DCGAN recipe the mathematics is the tutorial's. What is faster is how: the discriminator's weights get no
gradient in the generator's turn, nothing waits for a number to reach the CPU, Adam is fused, memory is channels-last,
and products run in bf16 where the hardware has it.
"""

import contextlib
import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cxrgan.generation.latents import with_classes
from cxrgan.images import to_float
from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.models.dcgan import initialise
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.schedule import rates
from cxrgan.training.augment import augment
from cxrgan.training.distributed import ALONE, Processes, share_batch_norm
from cxrgan.training.losses import discriminator_loss, generator_loss, gradient_penalty

LOSSES = ("loss_d", "loss_g", "d_real", "d_fake", "margin", "grad_d", "grad_g")
PENALTIES = ("r1", "r2")
LOGGED = LOSSES + PENALTIES
"""What a step reports: both losses, the mean probability D gives real and generated images, the mean difference of
their logits, the norms of both networks' gradients, and the penalties, NaN in a step that takes none."""

EMA_WARMUP = 0.05
"""The average's half-life is at most this share of the images seen, lest the first weights linger (Karras et al.)."""


@dataclass(frozen=True)
class Players:
    """All that training changes."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module | None
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
    def sampler(self) -> nn.Module:
        """The generator that samples are drawn from."""
        return self.average or self.generator


def new_players(config: TrainConfig, device: torch.device, processes: Processes = ALONE) -> Players:
    """Freshly initialised networks and optimisers; the weights depend on the seed alone."""
    random = weights_random(config)
    generator, discriminator = build_generator(config.model), build_discriminator(config.model)
    initialise(generator, random)
    initialise(discriminator, random)
    for network in (generator, discriminator):
        share_batch_norm(network, processes)
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adam(network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), fused=True)  # each step sets its rates

    average = copy.deepcopy(generator).requires_grad_(False).eval() if config.ema_halflife else None
    return Players(generator, discriminator, average, adam(generator), adam(discriminator))


class Step:
    """Callable that trains `players` by one step."""

    def __init__(
        self,
        config: TrainConfig,
        players: Players,
        device: torch.device,
        num_steps: int,
        processes: Processes = ALONE,
    ) -> None:
        """`num_steps` is the length of the run, over which scheduled settings change; `processes` those who train."""
        self.config, self.players, self.device, self.num_steps = config, players, device, num_steps
        self.processes = processes
        self.augment = config.augment
        """Probability of each augmentation; the loop may adapt it."""
        self.generator: nn.Module = players.generator
        self.discriminator: nn.Module = players.discriminator
        if config.compile:
            self.generator = torch.compile(players.generator, dynamic=False)  # type: ignore[assignment]
            self.discriminator = torch.compile(players.discriminator, dynamic=False)  # type: ignore[assignment]

    def __call__(self, number: int, real: Tensor, labels: Tensor) -> Tensor:
        """Train step `number` on real images (B, M, M) uint8 of classes (B,) -> the values of `LOGGED`, (9,).

        As many fakes are made, of the same classes; latents and augmentation follow from the seed and the number.
        With several processes each has its share of the batch, B / size images, and all come to the same values.
        """
        config, players, processes = self.config, self.players, self.processes
        random, now = step_random(config, number), rates(config, number, self.num_steps)
        for optimizer in players.optimizers.values():
            optimizer.param_groups[0].update(lr=now.lr, betas=(config.beta1, now.beta2))
        labels = labels.to(self.device) if config.model.num_classes else torch.zeros_like(labels).to(self.device)
        num = len(real) * processes.size
        latents = torch.randn(num, *config.model.latent_shape, generator=random)
        latents = processes.share(latents).to(self.device)
        images = to_float(real).unsqueeze(1).expand(-1, config.model.channels, -1, -1)

        with self._autocast():
            fakes = self.generator(with_classes(latents, labels, config.model.num_classes))
        seen_real, seen_fake = self._view(images, random), self._view(fakes.detach(), random)
        logits_real, logits_fake = (self._judge(self.discriminator, x, labels) for x in (seen_real, seen_fake))
        loss_d = discriminator_loss(real=logits_real, fake=logits_fake, kind=config.loss)
        players.optimizer_d.zero_grad()
        loss_d.backward()
        penalties = self._penalise(number, now.gradient_penalty, seen_real, seen_fake, labels)
        processes.average(gradients(players.discriminator))
        players.optimizer_d.step()

        players.discriminator.requires_grad_(False)
        against_fake = self._judge(self.discriminator, self._view(fakes, random), labels)
        against_real = logits_real.detach()
        if config.loss == "relativistic":  # by D as it is now, of new views: what G's own images are judged by
            against_real = self._judge(self.discriminator, self._view(images, random), labels)
        loss_g = generator_loss(fake=against_fake, real=against_real, kind=config.loss)
        players.optimizer_g.zero_grad()
        loss_g.backward()
        processes.average(gradients(players.generator))
        players.optimizer_g.step()
        players.discriminator.requires_grad_(True)

        if players.average is not None:
            halflife = min(now.ema_halflife, EMA_WARMUP * number * config.batch_size)
            decay = 0.5 ** (config.batch_size / halflife)
            update_average(players.average, players.generator, decay)
        real_, fake_ = logits_real.detach(), logits_fake.detach()
        scores = [real_.sigmoid().mean(), fake_.sigmoid().mean(), (real_ - fake_).mean()]
        norms = [gradient_norm(players.discriminator), gradient_norm(players.generator)]
        logged = torch.stack([loss_d.detach(), loss_g.detach(), *scores, *norms, *penalties])
        processes.average([logged])
        return logged

    def _judge(self, discriminator: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """D's logits (B,) float32 of images (B, C, M, M) as those of their classes (B,)."""
        with self._autocast():
            logits: Tensor = discriminator(images)
        return logits.float().gather(1, labels[:, None]).squeeze(1)

    def _view(self, images: Tensor, random: torch.Generator) -> Tensor:
        """What D sees of images (B, C, M, M)."""
        if self.augment:
            images = augment(images.float(), self.augment, random, self.processes)
        return images.contiguous(memory_format=torch.channels_last)

    def _penalise(self, number: int, gamma: float, real: Tensor, fake: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Add gamma / 2 times the gradient of R1 and R2 to D's, where it is their turn; both values, or NaN."""
        config = self.config
        if not config.gradient_penalty or number % config.penalty_every:
            nothing = torch.tensor(math.nan, device=self.device)
            return nothing, nothing
        some = slice(config.penalty_images // self.processes.size)

        def judge(images: Tensor) -> Tensor:  # a compiled network has no second derivative
            return self._judge(self.players.discriminator, images, labels[some])

        r1, r2 = gradient_penalty(judge, real[some]), gradient_penalty(judge, fake[some])
        (gamma / 2 * config.penalty_every * (r1 + r2)).backward()
        return r1.detach(), r2.detach()

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, BatchNorm's running statistics included."""
    targets, sources = average.state_dict(), network.state_dict()
    floating = [name for name, value in targets.items() if value.is_floating_point()]
    torch._foreach_lerp_([targets[n] for n in floating], [sources[n] for n in floating], 1 - decay)
    for name in targets.keys() - set(floating):  # BatchNorm's step counters
        targets[name].copy_(sources[name])


def gradient_norm(network: nn.Module) -> Tensor:
    """Euclidean norm of all gradients of a network together -> scalar."""
    norm: Tensor = torch.stack(torch._foreach_norm(gradients(network))).norm()
    return norm


def gradients(network: nn.Module) -> list[Tensor]:
    """Those that a network's parameters have."""
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def step_random(config: TrainConfig, number: int) -> torch.Generator:
    """The random numbers of a training step, decided by the seed and the step's number alone."""
    return _generator(np.random.SeedSequence([config.seed, number]))


def weights_random(config: TrainConfig) -> torch.Generator:
    """The random numbers of the first weights: not those of a step, nor those that are the latent of the same seed."""
    return _generator(np.random.SeedSequence([config.seed], spawn_key=(0,)))


def _generator(sequence: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
