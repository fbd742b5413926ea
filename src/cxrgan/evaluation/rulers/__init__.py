"""The networks that images are measured with, by name."""

from typing import Literal

DomainName = Literal["cxr-domain-v1", "cxr-domain-v2"]
"""This project's own networks, as rows of metrics and files of weights name them."""

Ruler = Literal["domain", "domain-v2", "inception", "inception-imagenet", "xrv", "rad-dino"]
"""The networks that metrics can be measured with: this project's own two, the FID's, ImageNet's classifier for the
reports' Inception Score, and two of other people."""

SHIPPED: tuple[Ruler, ...] = ("domain", "domain-v2")
"""Those that come with the package, as do features of real images by them."""

RULERS: tuple[Ruler, ...] = ("domain", "domain-v2", "inception", "inception-imagenet")
"""Those that a finished run is measured with. `domain` comes first: it also measures runs while they train and chooses
their best checkpoint. `domain-v2` chooses nothing, so that it can report what was chosen."""
