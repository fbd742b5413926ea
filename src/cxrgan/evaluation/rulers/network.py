"""What a ruler is to those who measure with it."""

from typing import Protocol

import torch


class FeatureNetwork(Protocol):
    """A network that metrics are measured with."""

    @property
    def name(self) -> str:
        """What metric rows call it; another name for other weights."""

    @property
    def sha256(self) -> str:
        """Of all that decides its numbers: the weights and the precision."""

    @property
    def resize(self) -> str:
        """How it brings images to its own size."""

    @property
    def main_tap(self) -> str:
        """The tap for all metrics but the Frechet distance, which is measured at every one.

        One of `logits` means that the network gives the Inception Score alone.
        """

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, 1, H, W) uint8 -> tap -> (N, D) float32; taps that begin with `logits` are for the Inception Score.

        The images come on the CPU; the network takes them to where it is, and what it gives may stay there.
        """
