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

def grown(small: ModelConfig) -> ModelConfig:
    """The networks for twice the image size with the same deep layers: half as wide at the image."""
    return replace(small, image_size=2 * small.image_size, ngf=small.ngf // 2, ndf=small.ndf // 2)


def check_can_become(small: ModelConfig, large: ModelConfig) -> None:
    """UserError unless networks of `large` can begin with the weights of `small`: the same ones, or grown ones."""
    if large == small:
        return
    if small.networks != "stable":
        raise UserError("only the networks of the stable recipes can grow; these can start a run of the same settings")
    if large != grown(small):
        bigger = grown(small)
        raise UserError(
            f"networks for {small.image_size} pixels with ngf {small.ngf}, ndf {small.ndf}, {small.latent_channels} "
            f"latent channels and {small.num_classes} classes can start a run of the same settings, or grow into "
            f"{bigger.image_size} pixels with --ngf {bigger.ngf} --ndf {bigger.ndf} and the rest the same"
        )


@torch.no_grad()
def grow_generator(large: nn.Module, small: nn.Module, config: ModelConfig, latents: Tensor) -> None:
    """Give `large`, fresh and of `grown(config)`, the weights of `small`: it then makes small's images, upsampled.

    Before the tanh, and bilinearly. `latents` (N, L_ch + classes, L_w, L_w) tell what the new BatchNorm has to undo; in
    training mode the images are the same as far as a batch has their mean and deviation.
    """
    assert isinstance(large, stable.Generator) and isinstance(small, stable.Generator)
    num = config.channels
    kept = {name: value for name, value in small.state_dict().items() if not name.startswith("last.")}
    large.load_state_dict(kept, strict=False)
    double, norm = large.doubles[-1], large.norms[-1]
    assert isinstance(double.weight, Tensor) and isinstance(norm, stable.ModulatedNorm)
    double.weight[:, : 2 * num] = _both_signs(small.last.weight, dim=1)
    mean, variance = _statistics(small, latents)
    statistics = norm.norm
    assert statistics.running_mean is not None and statistics.running_var is not None
    statistics.running_mean[: 2 * num] = _both_signs(mean, dim=0)
    statistics.running_var[: 2 * num] = variance.repeat(2)
    scale, shift = norm.style.bias.chunk(2)
    scale[: 2 * num] = (variance + statistics.eps).sqrt().repeat(2) - 1
    shift[: 2 * num] = _both_signs(mean, dim=0)
    for rows in norm.style.weight.chunk(2):
        rows[: 2 * num] = 0
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    bilinear = torch.eye(num)[:, :, None, None] * torch.outer(taps, taps)
    large.last.weight.zero_()
    large.last.weight[: 2 * num] = _both_signs(bilinear, dim=0)


@torch.no_grad()
def grow_discriminator(large: nn.Module, small: nn.Module, config: ModelConfig) -> None:
    """Give `large`, fresh and of `grown(config)`, the weights of `small`: it then judges images reduced to a half."""
    assert isinstance(large, stable.Discriminator) and isinstance(small, stable.Discriminator)
    num = config.channels
    for new, old in zip(list(large)[4:], list(small)[2:], strict=True):
        new.load_state_dict(old.state_dict())
    first, second, was_first = large[0], large[2], small[0]
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d) and isinstance(was_first, nn.Conv2d)
    mean_of_four = nn.functional.pad(torch.full((2, 2), 0.25), (1, 1, 1, 1))
    first.weight[: 2 * num] = _both_signs(torch.eye(num)[:, :, None, None] * mean_of_four, dim=0)
    second.weight.zero_()  # of leaky ReLU's two answers, the difference is 1 + slope times the picture
    second.weight[:, : 2 * num] = _both_signs(was_first.weight, dim=1) / (1 + config.leaky_relu_slope)


def _both_signs(values: Tensor, dim: int) -> Tensor:
    return torch.cat([values, -values], dim)


def _statistics(generator: stable.Generator, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of the images before the tanh, (channels,) each."""
    generator.eval()
    drawn = torch.cat([generator.drawn(part, generator.styles(part)) for part in latents.split(64)])
    return drawn.mean((0, 2, 3)), drawn.var((0, 2, 3))
