"""Networks for images of twice the size that begin as the ones they grow from.

Net2Net's idea (Chen et al. 2016) for progressive growing (Karras et al. 2018): the new layers first pass on what the
small networks made or saw, so that nothing learnt is lost and no fading in is needed. ReLU passes one sign, so that
two channels carry a picture: itself and its negative.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from cxrgan.errors import UserError
from cxrgan.models import stable
from cxrgan.models.config import ModelConfig

BATCH_NORM_EPS = 1e-5  # PyTorch's own


def grown(small: ModelConfig) -> ModelConfig:
    """The networks for twice the image size with the same deep layers: half as wide at the image."""
    return replace(small, image_size=2 * small.image_size, ngf=small.ngf // 2, ndf=small.ndf // 2)


def check_can_become(small: ModelConfig, large: ModelConfig) -> None:
    """UserError unless networks of `large` can begin with the weights of `small`: the same ones, or grown ones."""
    if large == small or (large.detail and large == replace(small, detail=large.detail)):
        return
    if small.networks != "stable":
        raise UserError("only the networks of the stable recipes can grow; these can start a run of the same settings")
    if small.detail and not large.detail:
        raise UserError(f"a discriminator that has seen detail goes on seeing it; give --detail {small.detail:g}")
    least = 4 * small.seen_channels  # the new layers have half of it, and need two channels a picture
    if min(small.ngf, small.ndf) < least:
        raise UserError(
            f"networks of ngf {small.ngf} and ndf {small.ndf} are too narrow to grow; both must be at least {least}"
        )
    if large != replace(grown(small), detail=large.detail):
        bigger = grown(small)
        raise UserError(
            f"networks for {small.image_size} pixels with ngf {small.ngf}, ndf {small.ndf}, {small.latent_channels} "
            f"latent channels and {small.num_classes} classes can start a run of the same settings, or grow into "
            f"{bigger.image_size} pixels with --ngf {bigger.ngf} --ndf {bigger.ndf} and the rest the same"
        )


def grow_generator(large: nn.Module, small: nn.Module, config: ModelConfig, latents: Tensor) -> None:
    """Give `large`, fresh and of `grown(config)`, the weights of `small`: it then makes small's images, upsampled.

    Before the tanh, and bilinearly. `latents` (N, L_ch + classes, L_w, L_w) tell what the new BatchNorm has to undo; in
    training mode the images are the same as far as a batch has their mean and deviation.
    """
    num, weights, was = config.channels, large.state_dict(), small.state_dict()
    last = was.pop("last.weight")
    large.load_state_dict(was, strict=False)
    new = config.num_doublings  # the place of the new layers behind those of `small`
    double, style = weights[f"doubles.{new - 1}.weight"], f"norms.{new}.style"
    double[:, : 2 * num] = _both_signs(last, dim=1)
    mean, variance = _statistics(small, latents)
    weights[f"norms.{new}.norm.running_mean"][: 2 * num] = _both_signs(mean, dim=0)
    weights[f"norms.{new}.norm.running_var"][: 2 * num] = variance.repeat(2)
    for rows in weights[f"{style}.weight"].chunk(2):
        rows[: 2 * num] = 0
    scale, shift = weights[f"{style}.bias"].chunk(2)
    scale[: 2 * num] = (variance + BATCH_NORM_EPS).sqrt().repeat(2) - 1
    shift[: 2 * num] = _both_signs(mean, dim=0)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    weights["last.weight"].zero_()
    weights["last.weight"][: 2 * num] = _both_signs(_each_channel(num, torch.outer(taps, taps)), dim=0)


def grow_discriminator(large: nn.Module, small: nn.Module, now: ModelConfig, was: ModelConfig) -> None:
    """Give `large`, fresh and of the configuration `now`, the weights of `small`, which was of `was`.

    If its images are twice as large, it judges them reduced to a half. If it sees detail and `small` did not, it makes
    nothing of it at first.
    """
    weights, old = list(large.state_dict().values()), list(small.state_dict().values())
    if now.image_size == was.image_size:
        first, seen = weights.pop(0), old.pop(0) * _larger(now, was)
        first.zero_()
        first[:, : seen.shape[1]] = seen
    else:
        first, second, seen = weights.pop(0), weights.pop(0), old.pop(0)
        pictures = _halved(now, was)
        num = len(pictures)
        first[: 2 * num] = 0
        first[: 2 * num, : pictures.shape[1]] = _both_signs(pictures, dim=0)
        second.zero_()  # of leaky ReLU's two answers, the difference is 1 + slope times the picture
        second[:, : 2 * num] = _both_signs(seen, dim=1) / (1 + was.leaky_relu_slope)
    for new, same in zip(weights, old, strict=True):
        new.copy_(same)


def _halved(now: ModelConfig, was: ModelConfig) -> Tensor:
    """The kernels that make, of what a discriminator of `now` sees, what one of `was` sees of images half the size.

    (seen channels of `was`, those of `now` that are needed, 4, 4). With a and b for the means of 1, 2, 1 pixels down
    and across and m for that of the four pixels that become one, detail is (2 - a - b) of an image; the detail of its
    half is 4 m ((a + b) (2 - a - b) - (a + b) + 2 a b), by cos 2v = 2 cos^2 v - 1, so that kernels of this size make it
    of the detail at the larger size.
    """
    num, smooth, sharp = was.channels, torch.tensor([1.0, 3, 3, 1]) / 8, torch.tensor([0.0, 1, 1, 0]) / 2
    image = _each_channel(num, torch.outer(sharp, sharp))
    if not was.detail:
        return image
    either, both = torch.outer(smooth, sharp) + torch.outer(sharp, smooth), torch.outer(smooth, smooth)
    of_image = _each_channel(num, 4 * was.detail * (2 * both - either))
    of_detail = _each_channel(num, 4 * was.detail / now.detail * either)
    nothing = torch.zeros_like(image)
    return torch.cat([torch.cat([image, nothing], 1), torch.cat([of_image, of_detail], 1)])


def _larger(now: ModelConfig, was: ModelConfig) -> Tensor:
    """By what weights must be multiplied so that detail counts as before: (seen channels of `was`, 1, 1)."""
    factors = [1.0] * was.channels + ([was.detail / now.detail] * was.channels if was.detail else [])
    return torch.tensor(factors)[:, None, None]


def _each_channel(num: int, kernel: Tensor) -> Tensor:
    """A kernel (4, 4) that every channel passes through alone: (num, num, 4, 4)."""
    return torch.eye(num)[:, :, None, None] * kernel


def _both_signs(values: Tensor, dim: int) -> Tensor:
    return torch.cat([values, -values], dim)


@torch.no_grad()
def _statistics(generator: nn.Module, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of the images before the tanh, (channels,) each."""
    assert isinstance(generator, stable.Generator)
    generator.eval()
    drawn = torch.cat([generator.drawn(part, generator.styles(part)) for part in latents.split(64)])
    return drawn.mean((0, 2, 3)), drawn.var((0, 2, 3))
