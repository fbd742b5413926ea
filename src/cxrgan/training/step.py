"""One step of the game: the discriminator learns from real and fake, then the generator from the discriminator.

With a DCGAN recipe the mathematics is the tutorial's. What is faster is how: the discriminator's weights get no
gradient in the generator's turn, nothing waits for a number to reach the CPU, Adam is fused, memory is channels-last
and stays the process's own, and products run in bf16 where the hardware has it, elsewhere there are fewer of them.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxrgan.device import keep_freed_memory
from cxrgan.generation.latents import with_classes
from cxrgan.images import to_float
from cxrgan.models import stable
from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.models.dcgan import initialise
from cxrgan.models.judge import Judge
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.schedule import rates
from cxrgan.training.augment import augment
from cxrgan.training.distributed import ALONE, Processes, share_batch_norm
from cxrgan.training.draws import FAKE, FAKE_OF_G, REAL, REAL_OF_G, Batch, draw, weights_random
from cxrgan.training.graphs import CudaRecorder, Graphs, can_record
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
    discriminator: Judge
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

    def tensors(self) -> list[Tensor]:
        """All that a step changes, where it lies in memory."""
        networks = [value for network in self.networks.values() for value in network.state_dict().values()]
        states = [state for optimizer in self.optimizers.values() for state in optimizer.state.values()]
        return [*networks, *(value for state in states for value in state.values())]

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
    if config.learning_layers:
        assert isinstance(generator, stable.Generator)
        generator.keep_deep_layers(config.learning_layers)
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adam(network: nn.Module) -> torch.optim.Adam:
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if device.type != "cuda":
            return torch.optim.Adam(learning, fused=True)  # each step sets its rates
        rate = torch.zeros((), device=device)  # a tensor, which a CUDA graph reads anew each time
        optimizer = torch.optim.Adam(learning, rate, fused=True, capturable=True)
        optimizer._warned_capturable_if_run_uncaptured = True  # it is meant, now and then
        return optimizer

    average = copy.deepcopy(generator).requires_grad_(False).eval() if config.ema_halflife else None
    return Players(generator, discriminator, average, adam(generator), adam(discriminator))


class Judged(NamedTuple):
    """What came of D's turn."""

    loss: Tensor
    real: Tensor
    fake: Tensor
    """D's logits (B,) of both, before it learnt."""
    penalties: tuple[Tensor, Tensor]
    """R1 and R2, or NaN."""


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
        keep_freed_memory()
        self.augment = config.augment
        """Probability of each augmentation; the loop may adapt it."""
        self.generator: nn.Module = players.generator
        self.discriminator: nn.Module = players.discriminator
        if config.compile:
            self.generator = torch.compile(players.generator, dynamic=False)  # type: ignore[assignment]
            self.discriminator = torch.compile(players.discriminator, dynamic=False)  # type: ignore[assignment]
        self._play: Callable[[Batch], Tensor] = self.play
        if can_record(config, device, processes):
            self._play = Graphs(self.play, players.tensors, CudaRecorder())

    def __call__(self, number: int, real: Tensor, labels: Tensor) -> Tensor:
        """Train step `number` on real images (B, M, M) uint8 of classes (B,) -> the values of `LOGGED`, (9,).

        As many fakes are made, of the same classes; latents and augmentation follow from the seed and the number.
        With several processes each has its share of the batch, B / size images, and all come to the same values.
        """
        config, players = self.config, self.players
        logged = self._play(self.begin(number, real, labels))
        if players.average is not None:
            now = rates(config, number, self.num_steps)
            halflife = min(now.ema_halflife, EMA_WARMUP * number * config.batch_size)
            decay = 0.5 ** (config.batch_size / halflife)
            update_average(players.average, players.generator, decay)
        return logged

    def begin(self, number: int, real: Tensor, labels: Tensor) -> Batch:
        """What the turns of step `number` are given, on the device; the optimisers get the step's rates."""
        config, device = self.config, self.device
        now = rates(config, number, self.num_steps)
        for optimizer in self.players.optimizers.values():
            _set_rates(optimizer.param_groups[0], now.lr, (config.beta1, now.beta2))
        labels = (labels if config.model.num_classes else torch.zeros_like(labels)).to(device)
        images = to_float(real).unsqueeze(1).expand(-1, config.model.channels, -1, -1)
        draws = draw(config, number, len(real) * self.processes.size, self.augment, device, self.processes)
        penalty = None
        if config.gradient_penalty and number % config.penalty_every == 0:
            penalty = torch.full((), now.gradient_penalty / 2 * config.penalty_every, device=device)
        return Batch(images, labels, *draws, penalty)

    def play(self, batch: Batch) -> Tensor:
        """Both turns -> the values of `LOGGED`."""
        players = self.players
        fakes = self.make_fakes(batch)
        judged = self.discriminator_turn(batch, fakes)
        loss_g = self.generator_turn(batch, fakes, judged.real)
        scores = [judged.real.sigmoid().mean(), judged.fake.sigmoid().mean(), (judged.real - judged.fake).mean()]
        norms = [gradient_norm(players.discriminator), gradient_norm(players.generator)]
        logged = torch.stack([judged.loss, loss_g, *scores, *norms, *judged.penalties])
        self.processes.average([logged])
        return logged

    def make_fakes(self, batch: Batch) -> Tensor:
        """G's images of the batch's latents and classes: (B, C, M, M)."""
        with self._autocast():
            fakes: Tensor = self.generator(with_classes(batch.latents, batch.labels, self.config.model.num_classes))
        return fakes

    def discriminator_turn(self, batch: Batch, fakes: Tensor) -> Judged:
        """D learns to tell the batch's images from fakes (B, C, M, M); whoever made these learns nothing."""
        players = self.players
        seen_real, seen_fake = self._view(batch.images, batch, REAL), self._view(fakes.detach(), batch, FAKE)
        logits_real, logits_fake = (self._judge(self.discriminator, x, batch.labels) for x in (seen_real, seen_fake))
        loss = discriminator_loss(real=logits_real, fake=logits_fake, kind=self.config.loss)
        players.optimizer_d.zero_grad()
        loss.backward()
        penalties = self._penalise(batch, seen_real, seen_fake)
        self.processes.average(gradients(players.discriminator))
        players.optimizer_d.step()
        return Judged(loss.detach(), logits_real.detach(), logits_fake.detach(), penalties)

    def generator_turn(self, batch: Batch, fakes: Tensor, against_real: Tensor) -> Tensor:
        """G, whose images are the fakes (B, C, M, M), learns to pass them off as real on D as it is -> its loss.

        `against_real` are D's logits (B,) of the real images from its own turn.
        """
        players = self.players
        players.optimizer_g.zero_grad()
        with _unchanged(players.discriminator):
            loss = self._loss_g(batch, fakes, against_real)
            loss.backward()
        self.processes.average(gradients(players.generator))
        players.optimizer_g.step()
        return loss.detach()

    def _loss_g(self, batch: Batch, fakes: Tensor, against_real: Tensor) -> Tensor:
        against_fake = self._judge(self.discriminator, self._view(fakes, batch, FAKE_OF_G), batch.labels)
        if self.config.loss == "relativistic":  # by D as it is now, of new views: what G's own images are judged by
            against_real = self._judge(self.discriminator, self._view(batch.images, batch, REAL_OF_G), batch.labels)
        return generator_loss(fake=against_fake, real=against_real, kind=self.config.loss)

    def _judge(self, discriminator: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """D's logits (B,) float32 of images (B, C, M, M) as those of their classes (B,)."""
        with self._autocast():
            logits = discriminator(images)
        return logits.float().gather(1, labels[:, None]).squeeze(1)

    def _view(self, images: Tensor, batch: Batch, which: int) -> Tensor:
        """What D sees of images (B, C, M, M) in one of the step's views."""
        if batch.views is not None:
            images = augment(images.float(), batch.views[which])
        return images.contiguous(memory_format=torch.channels_last)

    def _penalise(self, batch: Batch, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Add the gradient of R1 and R2 to D's, where it is their turn; both values, or NaN."""
        if batch.penalty is None:
            nothing = torch.full((), math.nan, device=self.device)
            return nothing, nothing
        some = slice(self.config.penalty_images // self.processes.size)

        discriminator = self.players.discriminator  # a compiled one has no second derivative

        def judge(seen: Tensor) -> Tensor:
            return self._judge(discriminator.judge, seen, batch.labels[some])

        r1, r2 = (gradient_penalty(judge, discriminator.see(images[some])) for images in (real, fake))
        (batch.penalty * (r1 + r2)).backward()
        return r1.detach(), r2.detach()

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


@contextlib.contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Within, no gradient of a network's weights is computed."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _set_rates(group: dict[str, Any], lr: float, betas: tuple[float, float]) -> None:
    group["betas"] = betas
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)  # nothing waits, and it stays where it is
    else:
        group["lr"] = lr


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
