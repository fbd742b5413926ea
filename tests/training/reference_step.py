"""The step of `fast-64 --conditional`, and with detail enlarged, again, plain and slow, to be read beside the papers.

Nothing here comes from `cxrgan.training`: losses, penalties, augmentation, Adam and the average are written anew, with
the recipe's numbers. The networks are the package's. Each step asks `random` in this order: the latents;
then for each of four views (what D sees of the real and of the fake images in its turn, of the fake and of the real
ones in G's turn) the vertical shifts, the horizontal ones, contrast and brightness.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from cxrgan.models.judge import Judge

LEARNING_RATE, BETA2, EPSILON = 5e-4, 0.99, 1e-8  # beta1 is 0: Adam remembers no direction
GAMMA, PENALTY_EVERY, PENALTY_IMAGES = 0.025, 8, 16
HALFLIFE, WARMUP = 10_000, 0.05  # images; share of the images seen so far
MOST_SHIFT, MOST_BRIGHTNESS, MOST_CONTRAST = 1 / 8, 0.3, 0.4


@dataclass(frozen=True)
class Numbers:
    """What the step came to."""

    loss_d: float
    loss_g: float
    d_real: float
    d_fake: float
    margin: float
    r1: float | None
    r2: float | None


class ReferenceStep:
    """Trains copies of G and D; `gradients_g` and `gradients_d` are those of the last step, by parameter."""

    def __init__(self, generator: nn.Module, discriminator: Judge, detail: float = 0) -> None:
        self.detail = detail
        self.generator, self.discriminator = copy.deepcopy(generator), copy.deepcopy(discriminator)
        self.average = copy.deepcopy(generator)
        self.adam_g, self.adam_d = PlainAdam(self.generator), PlainAdam(self.discriminator)
        self.gradients_g: list[Tensor] = []
        self.gradients_d: list[Tensor] = []

    def __call__(self, number: int, real: Tensor, labels: Tensor, random: torch.Generator) -> Numbers:
        """Step `number`, from 1, on real images (B, M, M) uint8 of classes (B,), of which there are two."""
        batch = len(real)
        latents = torch.randn(batch, 128, 1, 1, generator=random)
        one_hot = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[labels].reshape(batch, 2, 1, 1)
        images = (real.float() / 255 * 2 - 1).reshape(batch, 1, *real.shape[1:])
        fakes = self.generator(torch.cat([latents, one_hot], 1))

        # D's turn: every real image should be judged above the fake one beside it
        seen_real, seen_fake = altered(images, random), altered(fakes.detach(), random)
        logits_real, logits_fake = self.judge(seen_real, labels), self.judge(seen_fake, labels)
        loss_d = minus_log_sigmoid(logits_real - logits_fake).mean()
        objective, r1, r2 = loss_d, None, None
        if number % PENALTY_EVERY == 0:
            r1 = self.squared_slope(seen_real[:PENALTY_IMAGES], labels[:PENALTY_IMAGES])
            r2 = self.squared_slope(seen_fake[:PENALTY_IMAGES], labels[:PENALTY_IMAGES])
            objective = loss_d + PENALTY_EVERY * GAMMA / 2 * (r1 + r2)
        self.gradients_d = list(torch.autograd.grad(objective, list(self.discriminator.parameters())))
        self.adam_d.update(self.gradients_d)

        # G's turn: D as it is now should judge every fake image above the real one
        judged_fake = self.judge(altered(fakes, random), labels)
        judged_real = self.judge(altered(images, random), labels)
        loss_g = minus_log_sigmoid(judged_fake - judged_real).mean()
        self.gradients_g = list(torch.autograd.grad(loss_g, list(self.generator.parameters())))
        self.adam_g.update(self.gradients_g)

        halflife = min(HALFLIFE, WARMUP * number * batch)
        self.move_average(kept=0.5 ** (batch / halflife))
        return Numbers(
            loss_d=loss_d.item(),
            loss_g=loss_g.item(),
            d_real=(1 / (1 + (-logits_real).exp())).mean().item(),
            d_fake=(1 / (1 + (-logits_fake).exp())).mean().item(),
            margin=(logits_real.mean() - logits_fake.mean()).item(),
            r1=None if r1 is None else r1.item(),
            r2=None if r2 is None else r2.item(),
        )

    def judge(self, images: Tensor, labels: Tensor) -> Tensor:
        """D's logit of each image as one of its class."""
        return self.judge_seen(self.seen(images), labels)

    def seen(self, images: Tensor) -> Tensor:
        """Images (N, 1, M, M), and behind them how they differ from their four neighbours, enlarged."""
        if not self.detail:
            return images
        laplacian = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]).reshape(1, 1, 3, 3) / 4
        fine = conv2d(pad(images, (1, 1, 1, 1), "replicate"), laplacian)
        return torch.cat([images, self.detail * fine], 1)

    def judge_seen(self, seen: Tensor, labels: Tensor) -> Tensor:
        logits = self.discriminator.judge(seen)
        return torch.stack([logits[i, labels[i]] for i in range(len(seen))])

    def squared_slope(self, images: Tensor, labels: Tensor) -> Tensor:
        """The squared norm of D's gradient by what it sees of each image, on average."""
        seen = self.seen(images).detach().requires_grad_(True)
        (slopes,) = torch.autograd.grad(self.judge_seen(seen, labels).sum(), seen, create_graph=True)
        return torch.stack([(slope * slope).sum() for slope in slopes]).mean()

    def move_average(self, kept: float) -> None:
        """Weights and running statistics move towards G's; counters are G's."""
        now = self.generator.state_dict()
        for name, value in self.average.state_dict().items():
            value.copy_(kept * value + (1 - kept) * now[name] if value.is_floating_point() else now[name])


class PlainAdam:
    """Adam with beta1 = 0: each gradient over the root of the running mean of its squares (Kingma & Ba 2015)."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.count = 0

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        self.count += 1
        for parameter, gradient, square in zip(self.parameters, gradients, self.squares, strict=True):
            square.copy_(BETA2 * square + (1 - BETA2) * gradient**2)
            unbiased = square / (1 - BETA2**self.count)
            parameter.copy_(parameter - LEARNING_RATE * gradient / (unbiased.sqrt() + EPSILON))


def minus_log_sigmoid(difference: Tensor) -> Tensor:
    return (1 + (-difference).exp()).log()


def altered(images: Tensor, random: torch.Generator) -> Tensor:
    """Images (N, 1, M, M) shifted by whole pixels, mirrored at the border, of other contrast and brightness."""
    num, size = len(images), images.shape[-1]
    down, right, contrast, brightness = (uniform(num, random) for _ in range(4))
    views = []
    for i, image in enumerate(images):
        rows, columns = (mirrored(size, round(float(draw[i]) * MOST_SHIFT * size)) for draw in (down, right))
        moved = image[:, rows][:, :, columns]
        mean = moved.mean()
        views.append(mean + (1 + MOST_CONTRAST * contrast[i]) * (moved - mean) + MOST_BRIGHTNESS * brightness[i])
    return torch.stack(views)


def uniform(num: int, random: torch.Generator) -> Tensor:
    """(num,) in [-1, 1]; the first draw decides whether an image is altered at all: with probability 1, always."""
    torch.rand(num, generator=random)
    return 2 * torch.rand(num, generator=random) - 1


def mirrored(size: int, shift: int) -> list[int]:
    """Which pixel of a line comes to stand at each place when the line moves by `shift`."""
    line = np.pad(np.arange(size), size, mode="symmetric")
    return [int(line[size + place - shift]) for place in range(size)]
