"""The networks that images are measured with, by name."""

from typing import Literal

Ruler = Literal["domain", "inception", "inception-imagenet", "xrv", "rad-dino"]
"""The networks that metrics can be measured with: this project's own, the FID's, ImageNet's classifier for the reports'
Inception Score, and two of other people."""

RULERS: tuple[Ruler, ...] = ("domain", "inception", "inception-imagenet")
"""Those that a finished run is measured with."""
